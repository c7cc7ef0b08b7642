#!/bin/sh
# Installs what the tests need and this machine lacks: Debian, as root.
set -eu
need=""
for command in ffmpeg chromium node npm; do
	command -v $command >/dev/null 2>&1 && continue
	case $command in
	node) need="$need nodejs" ;;
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
