#!/bin/sh
# Installs what the tests need and this machine lacks. Debian, as root.
set -eu
need=""
command -v ffmpeg >/dev/null 2>&1 || need="$need ffmpeg"
command -v chromium >/dev/null 2>&1 || need="$need chromium"
if [ -n "$need" ]; then
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $need >/dev/null
fi
