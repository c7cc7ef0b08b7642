package rights

// match tells whether a pattern fits the whole of a name: * is any letters or none, ? is one, everything else is itself. A star that turns
// out to be too short is made longer, and only the last one: time is the product of both lengths at most.
func match(pattern, name string) bool {
	p, n := 0, 0
	star, from := -1, 0 // the last star, and where in name what follows it was tried
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			from++
			p, n = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

func matchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if match(p, name) {
			return true
		}
	}
	return false
}
