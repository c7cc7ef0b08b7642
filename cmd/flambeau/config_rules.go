package main

import (
	"fmt"
	"net/url"
	"time"
)

// rules finds what only several values together can break. A value that was bad by itself is not blamed again: its default,
// or nothing, stands in its place.
func (r *reader) rules(d *draft) {
	r.required(d)
	r.listeners(d.Listen)
	r.timing("defaults", d.defaults)
	ids, ports := map[string]place{}, map[string]place{}
	for i, c := range d.Channels {
		path := fmt.Sprintf("channels[%d]", i)
		r.channel(path, c)
		r.unique(ids, path+".id", c.ID, "channel %q is there already")
		for j, in := range c.Inputs {
			at := fmt.Sprintf("%s.inputs[%d]", path, j)
			r.unique(ports, at+".url", boundAddress(in.URL), "address %q is bound by another input")
			r.files(at, in)
		}
		c.fill(d.defaults)
		r.timing(path, timing{c.Segment, c.Part, c.Window, c.Archive})
		if c.Pair {
			r.pair(path, c)
		}
	}
}

// pair: two workers write the same numbers and bytes only of inputs that carry a clock which both see, and each needs a name of its own.
func (r *reader) pair(path string, c ChannelConfig) {
	if _, ok := r.places["worker"]; !ok {
		r.note(r.places[path+".pair"], `pair: key "worker" is missing: two workers need two names`)
	}
	for j, in := range c.Inputs {
		if w, _ := wayOf(in.URL); w.alone != "" {
			r.note(r.places[fmt.Sprintf("%s.inputs[%d].url", path, j)], "url: %s: a paired channel takes none", w.alone)
		}
	}
}

// files: a secret stands in one place, and what a way in has no use for is not given.
func (r *reader) files(path string, in InputConfig) {
	w, ok := wayOf(in.URL)
	if !ok {
		return
	}
	if in.SecretFile != "" && w.secret == "" {
		r.note(r.places[path+".secret_file"], "secret_file: %s:// has no secret", w.schemes[0])
	} else if in.SecretFile != "" && hasSecret(in.URL) {
		r.note(r.places[path+".secret_file"], "secret_file: %s is in the URL already", w.secret)
	}
	if in.CAFile != "" && !w.roots {
		r.note(r.places[path+".ca_file"], "ca_file: %s:// has no TLS", w.schemes[0])
	}
}

func hasSecret(rawURL string) bool {
	u, err := url.Parse(rawURL)
	if err != nil {
		return false
	}
	_, password := u.User.Password()
	return password || u.Query().Has("passphrase")
}

func (r *reader) required(d *draft) {
	top := place{File: r.file, Line: 1, Column: 1}
	if _, ok := r.places["store"]; !ok {
		r.note(top, `key "store" is missing`)
	}
	if at, ok := r.places["channels"]; !ok {
		r.note(top, `key "channels" is missing`)
	} else if len(d.Channels) == 0 && !r.blamed(at) {
		r.note(at, "channels: want at least one")
	}
}

func (r *reader) channel(path string, c ChannelConfig) {
	at := r.places[path]
	if r.blamed(at) && c.ID == "" && len(c.Inputs) == 0 {
		return // it is no section at all, and that is told
	}
	if _, ok := r.places[path+".id"]; !ok {
		r.note(at, `channel without "id"`)
	}
	inputs, ok := r.places[path+".inputs"]
	if !ok {
		r.note(at, `channel without "inputs"`)
	} else if len(c.Inputs) == 0 && !r.blamed(inputs) {
		r.note(inputs, "inputs: want at least one")
	}
	for j := range c.Inputs {
		in := fmt.Sprintf("%s.inputs[%d]", path, j)
		if _, ok := r.places[in+".url"]; !ok && !r.blamed(r.places[in]) {
			r.note(r.places[in], `input without "url"`)
		}
	}
}

// blamed tells whether there is a problem at this place already.
func (r *reader) blamed(at place) bool {
	for _, p := range r.problems {
		if p.place == at {
			return true
		}
	}
	return false
}

// unique notes a value that an earlier one has taken. "" is none.
func (r *reader) unique(seen map[string]place, path, v, format string) {
	if v == "" {
		return
	}
	if first, taken := seen[v]; taken {
		r.note(r.places[path], format+", on line %d", v, first.Line)
		return
	}
	seen[v] = r.places[path]
}

func (r *reader) listeners(l ListenConfig) {
	seen := map[string]string{}
	for _, a := range []struct{ name, address string }{{"media", l.Media}, {"admin", l.Admin}, {"metrics", l.Metrics}, {"edge", l.Edge}} {
		if first, taken := seen[a.address]; taken && !anyPort(a.address) {
			r.note(r.blame("listen."+a.name, "listen."+first), "listen: %s and %s are both %q", first, a.name, a.address)
		}
		if a.address != "" {
			seen[a.address] = a.name
		}
	}
}

// timing checks four lengths against each other. Who says the culprit nearest to the channel is blamed.
func (r *reader) timing(path string, t timing) {
	near := func(a, b string) place {
		return r.blame(path+"."+a, path+"."+b, "defaults."+a, "defaults."+b)
	}
	if t.part > t.segment {
		r.note(near("part", "segment"), "part %s is longer than a segment of %s", short(t.part), short(t.segment))
	}
	if least := minWindow * t.segment; t.window < least {
		r.note(near("window", "segment"), "window %s is less than %d segments of %s: want at least %s", short(t.window), minWindow, short(t.segment), short(least))
	}
	if t.archive < t.window {
		r.note(near("archive", "window"), "archive %s is less than the window of %s", short(t.archive), short(t.window))
	}
}

// minWindow is the least number of segments in a live playlist (Apple HLS Authoring Specification, 8.11).
const minWindow time.Duration = 6

// blame is the first of these paths that was given.
func (r *reader) blame(paths ...string) place {
	for _, p := range paths {
		if at, ok := r.places[p]; ok {
			return at
		}
	}
	return place{File: r.file, Line: 1, Column: 1}
}
