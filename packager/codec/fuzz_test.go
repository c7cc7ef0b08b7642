package codec

import (
	"bytes"
	"slices"
	"testing"

	"flambeau/packager/media"
)

// FuzzDescribe: whatever parameters come, there is an error, or a description within the limits and a box of it.
func FuzzDescribe(f *testing.F) {
	f.Add(byte(0), sps{mbs: 120, rows: 68, timing: true, units: 1, scale: 50}.nal(), pps)
	f.Add(byte(0), sps{mbs: 45, rows: 18, fields: true, crop: 3, chroma: 3, depth: 2}.nal(), pps)
	f.Add(byte(0), []byte("\x67\x64\x00\x28\xac\xd9\x40\x78\x02\x27\xe5\xc0\x44\x00\x00\x03\x00\x04\x00\x00\x03\x00\xc8\x3c\x60\xc6\x58"), pps)
	f.Add(byte(1), []byte{0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80}, []byte{})
	f.Add(byte(1), []byte{0x2b, 0x0a, 0x88}, []byte{})
	f.Add(byte(2), []byte{0x10, 0x3d, 0x40}, []byte{})
	f.Add(byte(3), []byte{0, 0, 0x20, 0x0f, 0, 1, 16}, []byte{})
	f.Add(byte(4), []byte{0xff, 0xfd, 4, 0}, []byte{})
	f.Add(byte(5), []byte("\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x3c\xa0\x0a\x08\x0b\x9f\x79\x65\x79\x24\xca\xe0\x10\x00\x00\x03\x00\x10\x00\x00\x03\x01\x90\x80"), []byte("\x44\x01\xc1\x73\xd0\x89"))
	f.Fuzz(func(t *testing.T, kind byte, first, second []byte) {
		track := audio(first)
		switch kind % 6 {
		case 0:
			track = video(first, second)
		case 5:
			track = video([]byte{0x40, 1, 0x0c, 1}, first, second)
			track.Codec = media.H265
		default:
			track.Codec = []media.Codec{media.AAC, media.AC3, media.EAC3, media.MPEGAudio}[kind%6-1]
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
	return len(d.Codec) >= len("avc1.64001f") && d.Width > 0 && d.Width <= MaxWidth && d.Height > 0 && d.Height <= MaxHeight &&
		d.SARWidth > 0 && d.SARHeight > 0 && (d.FrameNum == 0) == (d.FrameDen == 0) && d.FrameNum <= maxFrameRate*max(d.FrameDen, 1)
}

func soundSound(d Description) bool {
	return d.SampleRate >= MinSampleRate && d.OutputRate() <= MaxSampleRate && d.Channels > 0 && d.Channels <= 24 &&
		slices.Contains([]int{384, 576, 960, 1024, 1152, 1536}, d.FrameLength)
}
