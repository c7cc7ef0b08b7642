// Package testdata holds the feed that flambeau demo plays. README.md says how it is made again.
package testdata

import _ "embed"

// Demo is an MPEG-TS of 24 s that loops without a seam: H.264 640x360p25 with a key frame every 2 s, and two AAC tracks,
// English and French.
//
//go:embed demo.ts
var Demo []byte
