package cmaf

import "slices"

// segmentType is the styp of every segment: a CMAF segment (ISO/IEC 23000-19) and a DASH media segment (ISO/IEC 23009-1,
// 6.3.4.2).
const segmentType = "\x00\x00\x00\x20styp" + "cmfs\x00\x00\x00\x00" + "cmfs" + "msdh" + "cmf2" + "iso6"

// rowType is the user type of the box that holds a segment's row: the UUID of version 5 (RFC 9562, 5.5) of the name
// "urn:flambeau:segment-row:1" in the name space of URLs:
// 276da821-3480-5d93-87a5-2460f0876f5b.
const rowType = "\x27\x6d\xa8\x21\x34\x80\x5d\x93\x87\xa5\x24\x60\xf0\x87\x6f\x5b"

// MaxRow is the longest row, in bytes. A longer one is refused by Parse; AppendRow panics.
const MaxRow = 1 << 20

const uuidSize = headerSize + len(rowType)

// AppendSegmentType appends what a segment begins with.
func AppendSegmentType(dst []byte) []byte { return append(dst, segmentType...) }

// AppendRow appends the last box of a segment, which carries the line that an index holds of it. Players skip it (ISO/IEC
// 14496-12, 4.2: what is not recognized is ignored).
func AppendRow(dst, line []byte) []byte {
	if len(line) > MaxRow {
		panic("cmaf: a row of more than 1 MiB: somebody put more key frames into it than an index takes")
	}
	b := slices.Grow(dst, uuidSize+len(line))
	b = appendBox(b, uuidSize+len(line), "uuid")
	b = append(b, rowType...)
	return append(b, line...)
}

// AppendTombstone appends a segment that isn't: its row, and no media.
func AppendTombstone(dst, line []byte) []byte { return AppendRow(AppendSegmentType(dst), line) }
