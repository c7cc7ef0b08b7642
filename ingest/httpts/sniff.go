package httpts

import "bytes"

const (
	// headSize is how many bytes are looked at before a body is believed to be a transport stream.
	headSize = 4096
	// inRow is how many packets must follow each other for that.
	inRow = 5
)

// beginnings are what other things begin with.
var beginnings = []struct {
	text string
	at   int
	is   string
}{
	{"#EXTM3U", 0, "an HLS playlist"}, {"<!doctype html", 0, "a web page"}, {"<html", 0, "a web page"}, {"<?xml", 0, "XML"}, {"<mpd", 0, "a DASH manifest"},
	{"{", 0, "JSON"}, {"ftyp", 4, "MP4"}, {"styp", 4, "MP4"}, {"moof", 4, "MP4"}, {"FLV", 0, "FLV"}, {"\x1aE\xdf\xa3", 0, "Matroska"}, {"\x1f\x8b", 0, "gzip"},
	{"OggS", 0, "Ogg"}, {"ID3", 0, "audio alone"}, {"\x00\x00\x01\xba", 0, "an MPEG programme stream"}, {"RIFF", 0, "RIFF"},
}

// sniff says what the first bytes of a body are; ok: a transport stream, of packets of 188, 192 or 204 bytes.
func sniff(b []byte) (is string, ok bool) {
	if len(b) == 0 {
		return "nothing", false
	}
	for _, size := range []int{188, 192, 204} {
		for first := 0; first < size && first < len(b); first++ {
			if rowOf(b[first:], size) {
				return "", true
			}
		}
	}
	text := bytes.ToLower(bytes.TrimLeft(b[:min(len(b), 256)], "\ufeff \t\r\n"))
	for _, o := range beginnings {
		if len(text) > o.at && bytes.HasPrefix(text[o.at:], bytes.ToLower([]byte(o.text))) {
			return o.is, false
		}
	}
	return "something unknown", false
}

// rowOf tells whether packets follow each other: inRow of them, or as many as there are, but two.
func rowOf(b []byte, size int) bool {
	n := 0
	for ; n < inRow && n*size < len(b); n++ {
		if b[n*size] != 0x47 {
			return false
		}
	}
	return n >= 2
}
