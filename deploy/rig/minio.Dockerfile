# The version that testdata/tools.sh installs; a test holds them together. Minutes the first time.
FROM golang:1.26-bookworm AS build
RUN CGO_ENABLED=0 go install -trimpath github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends curl && rm -rf /var/lib/apt/lists/*
COPY --from=build /go/bin/minio /usr/bin/minio
ENTRYPOINT ["/bin/sh", "-c"]
