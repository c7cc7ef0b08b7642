# docker build -t flambeau --build-arg VERSION=1.2.3 --build-arg REVISION=$(git rev-parse HEAD) .
# docker run --network host -v ./flambeau.yml:/etc/flambeau/flambeau.yml:ro -v flambeau:/var/lib/flambeau flambeau
#
# Host network: multicast does not reach a bridge.

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
ARG REVISION=
ARG TARGETOS
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
      -ldflags "-s -w -X main.version=$VERSION -X main.revision=$REVISION" -o /out/flambeau ./cmd/flambeau \
 && mkdir -p /out/var/lib/flambeau

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/flambeau /usr/bin/flambeau
# A volume mounted here takes over the owner: nobody but this user writes to the store.
COPY --from=build --chown=65532:65532 /out/var/lib/flambeau /var/lib/flambeau
USER 65532:65532
WORKDIR /var/lib/flambeau
EXPOSE 8080 8082
# No HEALTHCHECK: there is no shell to run one. Ask :8082/livez and /readyz from outside.
ENTRYPOINT ["/usr/bin/flambeau"]
CMD ["serve", "-c", "/etc/flambeau/flambeau.yml"]
