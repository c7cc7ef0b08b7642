# make             builds bin/flambeau
# make demo        one feed, one process, URLs to open
# make rig         flambeau, a feed, MinIO and Prometheus as processes, URLs to open; RIG='-shift 1000' moves its ports
# make test        everything that a commit must pass; installs what is missing (Debian, as root)
# make test-long   the same with five minutes a player and twenty kills
GO ?= go
browsers := ^Test(DemoPlays|PlayersCross.*|KilledAndStartedAgain.*)$$

.PHONY: build demo rig test test-long lint tools fuzz
build:
	$(GO) build -trimpath -o bin/flambeau ./cmd/flambeau

demo: build
	./bin/flambeau demo

rig: build
	@GO="$(GO)" sh testdata/tools.sh rig
	$(GO) build -trimpath -o bin/rig ./deploy/rig
	@exec ./bin/rig $(RIG)

lint:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt wants: $$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

tools:
	@GO="$(GO)" sh testdata/tools.sh

# The world takes all the processor that is left over; SRT's clocks are those of packets; most tests of the process wait; browsers stall where
# others take their time.
test: tools lint
	$(GO) test -timeout 20m $$($(GO) list ./... | grep -v -e /cmd/flambeau -e /ingest/srt$$)
	@echo "the world, beside SRT and the process"; nice -n 19 $(GO) test -timeout 20m ./cmd/flambeau/world & world=$$!; \
		$(GO) test -timeout 20m ./ingest/srt && $(GO) test -timeout 20m -parallel 6 -skip '$(browsers)' ./cmd/flambeau; it=$$?; \
		wait $$world && exit $$it
	$(GO) test -timeout 20m -parallel 3 -run '$(browsers)' ./cmd/flambeau

test-long: tools lint
	FLAMBEAU_TEST_PLAY_SECONDS=300 FLAMBEAU_TEST_HOSTILE_MB=500 FLAMBEAU_TEST_KILLS=20 FLAMBEAU_TEST_OUTAGE_SECONDS=60 FLAMBEAU_TEST_PAIR_SEEDS=1000 FLAMBEAU_TEST_PAIR_SECONDS=48 FLAMBEAU_TEST_SPOOL_MIB=64 $(GO) test -count 1 -timeout 90m ./...

# Ten minutes a parser. What is interesting is made small for thirty runs, not for a minute: else a parser of long inputs does nothing else.
fuzz:
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
		$(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 10m -fuzzminimizetime 30x -parallel 1 $$p || exit 1; done; done
