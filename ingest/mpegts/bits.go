package mpegts

// bitReader reads a few fields. Past the end it gives zeros and remembers that it did.
type bitReader struct {
	b    []byte
	at   int // in bits
	fail bool
}

func (r *bitReader) bit() uint32 {
	if r.at>>3 >= len(r.b) {
		r.fail = true
		return 0
	}
	v := r.b[r.at>>3] >> (7 - r.at&7) & 1
	r.at++
	return uint32(v)
}

func (r *bitReader) flag() bool { return r.bit() == 1 }

func (r *bitReader) u(n int) (v uint32) {
	for range n {
		v = v<<1 | r.bit()
	}
	return v
}

// skip passes over bits that nobody wants to know.
func (r *bitReader) skip(n int) {
	r.at += n
	r.fail = r.fail || r.at > 8*len(r.b)
}

// ue is ISO/IEC 14496-10, 9.1.
func (r *bitReader) ue() uint32 {
	zeros := 0
	for r.bit() == 0 {
		if zeros++; zeros > 31 || r.fail {
			r.fail = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.u(zeros)
}

func (r *bitReader) se() int32 {
	v := r.ue()
	if v&1 == 1 {
		return int32(v/2) + 1
	}
	return -int32(v / 2)
}

// unescape takes emulation prevention bytes out (ISO/IEC 14496-10, 7.3.1) until dst is full.
func unescape(dst, src []byte) []byte {
	n, zeros := 0, 0
	for _, b := range src {
		if n == len(dst) {
			break
		}
		if zeros >= 2 && b == 3 {
			zeros = 0
			continue
		}
		dst[n] = b
		n++
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return dst[:n]
}
