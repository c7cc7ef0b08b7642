#!/bin/sh
# Installs what the tests need and this machine lacks: Debian, as root.
set -eu

# Two S3 stores, compiled behind everything else: minutes the first time. For tests on the loopback only.
bin="$(${GO:-go} env GOPATH)/bin"
install() { # name, package, module, version
	${GO:-go} version -m "$bin/$1" 2>/dev/null | grep -qF "mod	$3	$4	" && return
	echo "installing $1"
	GOBIN="$bin" ${GO:-go} install "$2@$4"
}
(
	install minio github.com/minio/minio github.com/minio/minio v0.0.0-20260212201848-7aac2a2c5b7c
	install versitygw github.com/versity/versitygw/cmd/versitygw github.com/versity/versitygw v1.8.0
) &
stores=$!

need=""
for command in ffmpeg chromium node npm promtool; do
	command -v $command >/dev/null 2>&1 && continue
	case $command in
	node) need="$need nodejs" ;;
	promtool) need="$need prometheus" ;; # it may start a service of that name, which hurts nobody
	*) need="$need $command" ;;
	esac
done
[ -e /usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf ] || need="$need fonts-dejavu-core"
if [ -n "$need" ]; then
	echo "installing$need"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need >/dev/null
fi
cd "$(dirname "$0")/players"
if ! cmp -s package-lock.json node_modules/.installed; then
	npm ci --no-audit --no-fund --silent
	cp package-lock.json node_modules/.installed
fi
wait $stores
