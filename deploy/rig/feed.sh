#!/bin/sh
# A test feed, as a contributor would send it: a picture with the time of day (UTC, hours to frames) in it, two languages with tones
# that are told apart by ear, MPEG-TS by UDP.
#   sh feed.sh udp://127.0.0.1:5004
set -eu
font=/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf
draw=null
if [ -e $font ]; then
	draw="drawtext=fontfile=$font:fontcolor=white:box=1:boxcolor=black@0.7:boxborderw=8:fontsize=36:timecode='$(date -u +%H\\:%M\\:%S)\\:00':rate=25:x=(w-tw)/2:y=h-th-24"
fi
# One filter over the beep each second: 440 Hz under it is English, 660 Hz French.
tone() { echo "aevalsrc=0.1*sin(2*PI*$1*t)+0.3*sin(2*PI*880*t)*lt(mod(t\,1)\,0.1):s=48000"; }
exec ffmpeg -hide_banner -nostdin -loglevel warning -re -f lavfi -i "testsrc2=size=640x360:rate=25" -f lavfi -i "$(tone 440)" -f lavfi -i "$(tone 660)" \
	-map 0 -map 1 -map 2 -vf "$draw" -c:v libx264 -preset ultrafast -b:v 1M -maxrate 1M -bufsize 1M -g 50 -keyint_min 50 -sc_threshold 0 -pix_fmt yuv420p \
	-c:a aac -b:a 64k -ac 2 -metadata:s:a:0 language=eng -metadata:s:a:1 language=fra -f mpegts "$1?pkt_size=1316"
