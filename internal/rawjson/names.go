package rawjson

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// RepeatedError reports a name that an object has twice.
type RepeatedError struct {
	Path string // of the name within the text: ".a[2].b"
}

// Error names it. The text is safe to show, and as long as the text's names are.
func (e *RepeatedError) Error() string {
	return strings.TrimPrefix(e.Path, ".") + ": must not be there twice"
}

// CheckNames reports the first name that an object within a valid text has twice, with a *[RepeatedError]. Names are compared as they are
// decoded. It takes memory in proportion to the names of one object.
func CheckNames(text []byte) error {
	if bytes.Count(text, []byte(":")) < 2 || jsontext.Value(text).IsValid(unique) {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(text), unique)
	for {
		_, err := d.ReadToken()
		bad, ok := errors.AsType[*jsontext.SyntacticError](err)
		switch {
		case ok && errors.Is(err, jsontext.ErrDuplicateName):
			return &RepeatedError{path(d, bad.JSONPointer)}
		case err != nil: // its end, or it is not JSON
			return nil
		}
	}
}

// path writes a pointer as fields of tasks are written. d stands there.
func path(d *jsontext.Decoder, to jsontext.Pointer) string {
	var b strings.Builder
	level := 0
	for token := range to.Tokens() {
		level++
		if kind, _ := d.StackIndex(level); kind == '[' {
			fmt.Fprintf(&b, "[%s]", token)
		} else {
			b.WriteString("." + token)
		}
	}
	return b.String()
}

// LastNames checks a text as [Check] does, and takes out what readers overlook: of a name that an object has several times, all but
// the last. A text without such is returned as it is.
func LastNames(text []byte) ([]byte, error) {
	if err := CheckDepth(text, 0); err != nil {
		return nil, err
	}
	if jsontext.Value(text).IsValid(unique) {
		return text, nil
	}
	var overlooked []span
	d := jsontext.NewDecoder(bytes.NewReader(text), lenient)
	var stack []*members
	for {
		if n := len(stack); n > 0 && stack[n-1] != nil && d.PeekKind() == '"' && isName(d) {
			quoted, err := d.ReadValue()
			if err != nil {
				return nil, ErrNotJSON
			}
			overlooked = stack[n-1].add(quoted, int(d.InputOffset())-len(quoted), overlooked)
			continue
		}
		token, err := d.ReadToken()
		if err != nil {
			break
		}
		switch token.Kind() {
		case '{':
			stack = append(stack, &members{at: map[string]int{}})
		case '[':
			stack = append(stack, nil)
		case '}', ']':
			stack = stack[:len(stack)-1]
		}
	}
	if !jsontext.Value(text).IsValid(lenient) {
		return nil, ErrNotJSON
	}
	return without(text, overlooked), nil
}

// isName reports whether what comes next in an object is a name.
func isName(d *jsontext.Decoder) bool {
	_, length := d.StackIndex(d.StackDepth())
	return length%2 == 0
}

// span is a part of a text.
type span struct{ from, to int }

// members are those of one object: each from its name to the name of the next.
type members struct {
	spans []span
	at    map[string]int // index of the last of a name
}

// add takes the next name in, which ends the member before, and adds the earlier member of this name to the overlooked.
func (m *members) add(quoted []byte, from int, overlooked []span) []span {
	name, _ := jsontext.AppendUnquote(nil, quoted) // checked before
	if n := len(m.spans); n > 0 {
		m.spans[n-1].to = from
	}
	if earlier, ok := m.at[string(name)]; ok {
		overlooked = append(overlooked, m.spans[earlier])
	}
	m.at[string(name)] = len(m.spans)
	m.spans = append(m.spans, span{from: from})
	return overlooked
}

// without copies a text but for parts of it, which may hold one another.
func without(text []byte, parts []span) []byte {
	slices.SortFunc(parts, func(a, b span) int { return a.from - b.from })
	out := make([]byte, 0, len(text))
	at := 0
	for _, p := range parts {
		if p.from >= at {
			out = append(out, text[at:p.from]...)
			at = p.to
		}
	}
	return append(out, text[at:]...)
}
