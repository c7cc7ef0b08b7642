package timeline

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// What is where below a channel's prefix. Writers and readers share these names and nothing else; FORMAT.md says what the
// objects hold.

// Hash is a SHA-256.
type Hash [32]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Short is the first 32 bits, in hex: what stands in names.
func (h Hash) Short() string { return hex.EncodeToString(h[:4]) }

// IsZero tells whether h was ever set.
func (h Hash) IsZero() bool { return h == Hash{} }

// ParseHash reads what String wrote.
func ParseHash(s string) (h Hash, err error) {
	if len(s) != 64 {
		return h, fmt.Errorf("timeline: hash of %d characters", len(s))
	}
	_, err = hex.Decode(h[:], []byte(s))
	return h, err
}

// MarshalText and UnmarshalText put a Hash into JSON as hex.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

func (h *Hash) UnmarshalText(b []byte) (err error) { *h, err = ParseHash(string(b)); return err }

// ShapeKey names the one create-only object that fixes a channel's shape.
func ShapeKey(channel string) string { return channel + "/shape.json" }

// AnchorKey names a proposal for generation number, whose bytes have that hash.
func AnchorKey(channel string, number int, hash Hash) string {
	return fmt.Sprintf("%s/anchor/%d-%s.json", channel, number, hash.Short())
}

// InitKey names an initialization segment by its content.
func InitKey(channel, rendition string, hash Hash) string {
	return channel + "/init/" + rendition + "/" + hash.String() + ".mp4"
}

// SegmentKey names the object of a slot. Twelve digits keep byte order equal to slot order for 30,000 years of seconds.
func SegmentKey(channel, rendition string, slot int64) string {
	return fmt.Sprintf("%s/seg/%s/%012d.m4s", channel, rendition, slot)
}

// SegmentPrefix is what all segments of a rendition begin with.
func SegmentPrefix(channel, rendition string) string { return channel + "/seg/" + rendition + "/" }

// ParseSegmentKey reads the rendition and slot out of what SegmentKey made.
func ParseSegmentKey(channel, key string) (rendition string, slot int64, ok bool) {
	rest, ok := strings.CutPrefix(key, channel+"/seg/")
	if !ok {
		return "", 0, false
	}
	rendition, name, ok := strings.Cut(rest, "/")
	if !ok {
		return "", 0, false
	}
	n, err := fmt.Sscanf(name, "%d.m4s", &slot)
	return rendition, slot, n == 1 && err == nil && SegmentKey(channel, rendition, slot) == key
}

// RootPrefix is what the roots of all workers of a channel begin with.
func RootPrefix(channel string) string { return channel + "/index/live/" }

// RootKey names a worker's root: its newest rows and the names of its pages. Only that worker writes it.
func RootKey(channel, worker string) string { return RootPrefix(channel) + worker + ".idx" }

// PageKey names a page: create-only; span is "minute", "hour" or "day", t its start as Unix seconds.
func PageKey(channel, span string, t int64, worker string, revision int) string {
	return fmt.Sprintf("%s/index/%s/%d.%s.%d.idx", channel, span, t, worker, revision)
}

// LossKey names a loss record.
func LossKey(channel string, slot int64, worker string, hash Hash) string {
	return fmt.Sprintf("%s/loss/%012d.%s.%s.json", channel, slot, worker, hash.Short())
}

// LossPrefix is what all loss records of a channel begin with.
func LossPrefix(channel string) string { return channel + "/loss/" }

// CheckName refuses what can't be a channel's, rendition's or worker's name: [a-z0-9][a-z0-9-]{0,62}.
func CheckName(s string) error {
	if len(s) == 0 || len(s) > 63 {
		return fmt.Errorf("%q: 1 to 63 characters", s)
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' && i > 0) {
			return fmt.Errorf("%q: only a-z, 0-9 and, not first, -", s)
		}
	}
	return nil
}

// AnchorKeyNamed is AnchorKey for a name out of an index.
func AnchorKeyNamed(channel string, n GenerationName) string {
	return fmt.Sprintf("%s/anchor/%d-%s.json", channel, n.Number, n.Hash)
}

// ParsePageKey reads what PageKey made.
func ParsePageKey(channel, key string) (span string, t int64, ok bool) {
	rest, ok := strings.CutPrefix(key, channel+"/index/")
	if !ok {
		return "", 0, false
	}
	span, name, ok := strings.Cut(rest, "/")
	if !ok {
		return "", 0, false
	}
	seconds, _, ok := strings.Cut(name, ".")
	t, err := strconv.ParseInt(seconds, 10, 64)
	return span, t, ok && err == nil
}

// AltKey names a second copy of a slot, kept aside because its name was taken by other bytes.
func AltKey(channel, rendition string, slot int64, hash Hash) string {
	return fmt.Sprintf("%s/alt/%s/%d-%s.m4s", channel, rendition, slot, hash.Short())
}

// Immutable tells whether an object of this name never changes while it is there. Roots change, the floor rises, pins come and go;
// of a name that is not known here nothing is promised.
func Immutable(key string) bool {
	_, rest, _ := strings.Cut(key, "/")
	switch kind, below, _ := strings.Cut(rest, "/"); kind {
	case "shape.json", "anchor", "init", "seg", "alt", "loss":
		return true
	case "index":
		return strings.HasPrefix(below, "minute/") || strings.HasPrefix(below, "hour/") || strings.HasPrefix(below, "day/")
	}
	return false
}

// ParseAltKey reads the rendition and slot out of what AltKey made.
func ParseAltKey(channel, key string) (rendition string, slot int64, ok bool) {
	rest, ok := strings.CutPrefix(key, channel+"/alt/")
	if !ok {
		return "", 0, false
	}
	rendition, name, _ := strings.Cut(rest, "/")
	number, hash, ok := strings.Cut(strings.TrimSuffix(name, ".m4s"), "-")
	slot, err := strconv.ParseInt(number, 10, 64)
	return rendition, slot, ok && err == nil && fmt.Sprintf("%s/alt/%s/%d-%s.m4s", channel, rendition, slot, hash) == key
}
