package access

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// Said is one claim, as a person reads it.
type Said struct {
	Claim string `json:"claim"`
	Value string `json:"value"`
}

// Inspection is what a token says. Nobody has checked it.
type Inspection struct {
	Format    string `json:"format"`    // JWT or CAT
	Algorithm string `json:"algorithm"` // "": none of ours
	Key       string `json:"key"`
	Token     string `json:"token"` // as the books call it
	Claims    []Said `json:"claims"`
}

// Inspect takes a token apart, without any key.
func Inspect(token string) (Inspection, error) {
	if err := written(token); err != nil {
		return Inspection{}, err
	}
	p, err := parse(token)
	if err != nil {
		return Inspection{}, err
	}
	said := p.said()
	slices.SortFunc(said, func(a, b Said) int { return strings.Compare(a.Claim, b.Claim) })
	return Inspection{p.format, p.algorithm, p.kid, tokenID(p.signed), said}, nil
}

func jwtSaid(payload []byte) (said []Said) {
	members, _ := object(payload)
	for name, v := range members {
		said = append(said, Said{name, strings.Trim(string(v), `"`)})
	}
	return said
}

func catSaid(payload []byte) (said []Said) {
	var members map[any]cbor.RawMessage
	_ = reading.Unmarshal(payload, &members) // what can't be read says nothing
	for label, v := range members {
		claim := labelText(label)
		if n, ok := labelNumber(label); ok && catLabels[n].name != "" {
			claim = catLabels[n].name
		}
		text, err := cbor.Diagnose(v)
		if err != nil {
			text = fmt.Sprintf("%d bytes", len(v))
		}
		var plain string
		if cborText(v, &plain) {
			text = plain
		}
		said = append(said, Said{claim, text})
	}
	return said
}

// MarshalJSON keeps an inspection without claims a list.
func (i Inspection) MarshalJSON() ([]byte, error) {
	type plain Inspection
	if i.Claims == nil {
		i.Claims = []Said{}
	}
	return json.Marshal(plain(i))
}
