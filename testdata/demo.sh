#!/bin/sh
# Makes demo.ts again: 24 s that loop without a seam. 600 pictures of 25 fps and 1125 AAC frames of 1024/48000 s are both
# exactly 24 s; the sound is periodic in 1 s and cut, frame by frame, out of the middle of a longer encode, so that the
# last frame's overlap fits the first's.
#   sh demo.sh demo.ts     (ffmpeg 5.1, DejaVu fonts)
set -eu
out=$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
q="-hide_banner -nostdin -loglevel error -y"
box="fontfile=/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf:fontcolor=white:box=1:boxcolor=black@0.7:boxborderw=8"
ffmpeg $q -f lavfi -i "testsrc2=size=640x360:rate=25:duration=24" \
	-vf "drawtext=$box:fontsize=36:timecode='00\:00\:00\:00':rate=25:x=(w-tw)/2:y=h-th-24,drawtext=$box:fontsize=24:text='flambeau':x=(w-tw)/2:y=24" \
	-c:v libx264 -profile:v high -preset slow -threads 1 -b:v 450k -maxrate 600k -bufsize 600k -g 50 -keyint_min 50 -sc_threshold 0 -bf 2 \
	-pix_fmt yuv420p -flags +bitexact -x264-params "colorprim=bt709:transfer=bt709:colormatrix=bt709" -fflags +bitexact -f mp4 "$tmp/v.mp4"
for tone in eng:440 fra:660; do
	ffmpeg $q -f lavfi -i "aevalsrc='0.1*sin(2*PI*${tone#*:}*t)+0.3*sin(2*PI*880*t)*lt(mod(t,1),0.1)':s=48000:d=72" -ac 2 \
		-c:a aac -b:a 64k -flags +bitexact -bsf:a "noise=drop='lt(n,1125)+gte(n,2250)'" -f adts "$tmp/${tone%:*}.aac"
done
ffmpeg $q -i "$tmp/v.mp4" -i "$tmp/eng.aac" -i "$tmp/fra.aac" -map 0 -map 1 -map 2 -c copy \
	-metadata:s:a:0 language=eng -metadata:s:a:1 language=fra -fflags +bitexact -mpegts_flags +resend_headers -f mpegts "$out"
