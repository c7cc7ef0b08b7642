package codec

import (
	"bytes"
	"testing"

	"flambeau/packager/media"
)

// FuzzDescribe: whatever parameters come, there is an error, or a description within the limits and a box of it.
func FuzzDescribe(f *testing.F) {
	f.Add(true, sps{mbs: 120, rows: 68, timing: true, units: 1, scale: 50}.nal(), pps)
	f.Add(true, sps{mbs: 45, rows: 18, fields: true, crop: 3, chroma: 3, depth: 2}.nal(), pps)
	f.Add(true, []byte("\x67\x64\x00\x28\xac\xd9\x40\x78\x02\x27\xe5\xc0\x44\x00\x00\x03\x00\x04\x00\x00\x03\x00\xc8\x3c\x60\xc6\x58"), pps)
	f.Add(false, []byte{0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80}, []byte{})
	f.Add(false, []byte{0x2b, 0x0a, 0x88}, []byte{})
	f.Fuzz(func(t *testing.T, pictures bool, first, second []byte) {
		track := audio(first)
		if pictures {
			track = video(first, second)
		}
		d, err := Describe(track)
		entry, entryErr := SampleEntry(track)
		if (err == nil) != (entryErr == nil) {
			t.Fatalf("description: %v; sample entry: %v", err, entryErr)
		}
		if err != nil {
			return
		}
		if track.Kind == media.Video && !soundPicture(d) || track.Kind == media.Audio && !soundSound(d) {
			t.Fatalf("%+v", d)
		}
		var b bytes.Buffer
		if err := entry.Encode(&b); err != nil || uint64(b.Len()) != entry.Size() {
			t.Fatalf("%d bytes of %d: %v", b.Len(), entry.Size(), err)
		}
	})
}

func soundPicture(d Description) bool {
	return len(d.Codec) == len("avc1.64001f") && d.Width > 0 && d.Width <= MaxWidth && d.Height > 0 && d.Height <= MaxHeight &&
		d.SARWidth > 0 && d.SARHeight > 0 && (d.FrameNum == 0) == (d.FrameDen == 0) && d.FrameNum <= maxFrameRate*max(d.FrameDen, 1)
}

func soundSound(d Description) bool {
	return d.SampleRate >= MinSampleRate && d.OutputRate() <= MaxSampleRate && d.Channels > 0 && d.Channels <= 24 &&
		(d.FrameLength == 960 || d.FrameLength == 1024)
}
