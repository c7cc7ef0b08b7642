// Package mpegts takes an MPEG transport stream (ISO/IEC 13818-1) apart: bytes in, media.Event out.
//
//	Write ─► framer ─► packet ─┬─► sections ─► PAT, PMT ─► which tracks there are ─► media.Begin
//	         sync,             ├─► sections ─► SCTE-35                             ─► media.Cue
//	         188/192/204       └─► PES ─► parser (h264, adts …)                    ─► *media.Sample
//
//	                           what is damaged on the way, wherever it is noticed  ─► media.Lost
//
// It has no goroutine, no clock and no socket. The same bytes give the same events however they are cut into writes. No
// input makes it fail: what is wrong is dropped and counted under one of Reasons.
package mpegts
