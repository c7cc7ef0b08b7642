# make        builds bin/flambeau
# make demo   one feed, one process, URLs to open
# make test   everything that a commit must pass; installs what is missing
GO ?= go

.PHONY: build demo test lint tools
build:
	$(GO) build -trimpath -o bin/flambeau ./cmd/flambeau

demo: build
	./bin/flambeau demo

lint:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt wants: $$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

tools:
	@sh testdata/tools.sh

test: tools lint
	$(GO) test -timeout 9m ./...
