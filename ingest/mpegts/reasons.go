package mpegts

// reason is why something of the feed was dropped, or is not what it should be.
type reason uint8

const (
	lostSync       reason = iota // bytes skipped in search of a sync byte
	badPacket                    // packets with an impossible header or adaptation field
	transportError               // packets that a demodulator marked as broken
	continuity                   // packets missing, by their continuity counter
	duplicate                    // packets sent more than twice
	scrambled                    // packets, or PES packets, that are encrypted
	badSection                   // sections cut off, too long, or without sense
	badCRC                       // sections whose CRC is wrong
	noProgramme                  // PATs without the programme that was asked for
	unannounced                  // packets before the programme was known
	tooMany                      // programmes and streams beyond the limits
	badPES                       // PES packets with a broken header
	shortPES                     // PES packets that end before their length
	badTimestamp                 // timestamps without their marker bits, or not fit to be a pair
	noTime                       // units without a timestamp, and without one to count from
	noParameters                 // units before the parameters that they need
	badParameters                // parameter sets that can't be read
	badSyntax                    // elementary streams that break their own syntax
	unsupported                  // frames of a kind that we do not take apart yet
	damaged                      // units dropped because bytes of them are missing
	tooBig                       // units beyond MaxUnit, or beyond what MaxBuffered leaves
	queueFull                    // events dropped because nobody called Next
	reasonCount
)

// Reasons is the closed list of what errors are counted under, and of what media.Lost may say.
var Reasons = []string{
	lostSync: "sync", badPacket: "packet", transportError: "transport_error", continuity: "continuity",
	duplicate: "duplicate", scrambled: "scrambled", badSection: "section", badCRC: "crc", noProgramme: "no_programme",
	unannounced: "unannounced", tooMany: "too_many", badPES: "pes", shortPES: "pes_short", badTimestamp: "timestamp",
	noTime: "no_time", noParameters: "no_parameters", badParameters: "parameters", badSyntax: "syntax",
	unsupported: "unsupported", damaged: "damaged", tooBig: "too_big", queueFull: "queue",
}

func (r reason) String() string { return Reasons[r] }

// Errors counts, by reason, since New. Every reason is there from the start. The unit is the one that the reason speaks of:
// bytes for "sync", else packets, sections or units.
func (d *Demuxer) Errors() map[string]uint64 {
	m := make(map[string]uint64, reasonCount)
	for r, n := range d.errors {
		m[Reasons[r]] = n
	}
	return m
}

func (d *Demuxer) count(r reason, n int) { d.errors[r] += uint64(n) }
