#!/bin/sh
# Installs what the tests need and this machine lacks: Debian, as root. tools.sh rig: only what make rig needs.
set -eu
commands="ffmpeg promtool chromium node npm srt-live-transmit"
[ "${1:-}" = rig ] && commands="ffmpeg promtool"

# Two S3 stores, compiled behind everything else: minutes the first time. For tests on the loopback only.
bin="$(${GO:-go} env GOPATH)/bin"
install() { # name, package, module, version
	${GO:-go} version -m "$bin/$1" 2>/dev/null | grep -qF "mod	$3	$4	" && return
	echo "installing $1"
	GOBIN="$bin" ${GO:-go} install "$2@$4"
}
(
	install minio github.com/minio/minio github.com/minio/minio v0.0.0-20260212201848-7aac2a2c5b7c
	[ "${1:-}" = rig ] || install versitygw github.com/versity/versitygw/cmd/versitygw github.com/versity/versitygw v1.8.0
) &
stores=$!

need=""
for command in $commands; do
	command -v $command >/dev/null 2>&1 && continue
	case $command in
	node) need="$need nodejs" ;;
	promtool) need="$need prometheus" ;;
	srt-live-transmit) need="$need srt-tools" ;;
	*) need="$need $command" ;;
	esac
done
[ -e /usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf ] || need="$need fonts-dejavu-core"
[ -e /usr/share/zoneinfo/iso3166.tab ] || need="$need tzdata"
if [ -n "$need" ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "not here:$need. As root: apt-get install$need"
		exit 1
	fi
	echo "installing$need"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need >/dev/null
	# Debian starts it as a service, on the port that make rig has in mind for its own.
	case $need in *prometheus*) systemctl disable --now prometheus >/dev/null 2>&1 || true ;; esac
fi
if [ "${1:-}" = rig ]; then
	wait $stores
	exit
fi
cd "$(dirname "$0")"
for folder in players tokens; do
	cmp -s $folder/package-lock.json $folder/node_modules/.installed && continue
	(cd $folder && npm ci --no-audit --no-fund --silent --ignore-scripts)
	cp $folder/package-lock.json $folder/node_modules/.installed
done
wait $stores
