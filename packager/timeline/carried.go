package timeline

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// A segment carries its row in its last box, a uuid box of this user type; see FORMAT.md.
const carriedType = "\x27\x6d\xa8\x21\x34\x80\x5d\x93\x87\xa5\x24\x60\xf0\x87\x6f\x5b"

// MaxCarried is how much of a segment's end CarriedIn has to be given so that it finds any row but one of very many key frames.
const MaxCarried = 16 << 10

// ErrNotCarried says that a segment's end holds no row.
var ErrNotCarried = errors.New("timeline: no row at the end of the segment")

// CarriedIn finds a segment's row in the end of the segment. Size and hash are not said there.
func CarriedIn(end []byte) (r RenditionRow, record string, err error) {
	const header = 8
	i := bytes.LastIndex(end, []byte("uuid"+carriedType)) - 4
	if i < 0 || int64(binary.BigEndian.Uint32(end[i:])) != int64(len(end)-i) {
		return r, "", ErrNotCarried
	}
	return ParseCarried(end[i+header+len(carriedType):])
}

// ParseCarried reads what stands in that box: the name of the generation's record, and the row without size and hash.
func ParseCarried(text []byte) (r RenditionRow, record string, err error) {
	head, line, ok := bytes.Cut(text, []byte{'\n'})
	var number int
	if _, serr := fmt.Sscanf(string(head), "generation %d %s", &number, &record); !ok || serr != nil {
		return r, "", errors.New("it does not say which generation it is of")
	}
	if r, err = ParseRow(string(line)); err != nil {
		return r, "", err
	}
	if r.Generation != number {
		return r, "", fmt.Errorf("it is of generation %d and %d", number, r.Generation)
	}
	return r, record, nil
}
