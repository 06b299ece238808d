package secrets

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// stars replace what must not be seen.
const stars = "***"

// Redactor takes secrets out of what an attempt says: plain, and in the forms that programs commonly write them in. It is the second line:
// that executors keep credentials out of their texts is the first. A nil Redactor changes nothing. Safe for concurrent use.
//
// It leaves secrets of fewer than four bytes, and what a program has encoded in other ways.
type Redactor struct{ forms []form } // the longest first

// form is one way in which a secret may be written.
type form struct {
	text string
	// edge is from how many bytes on a part of the form at the end of a text, or at its beginning, is taken out too: of a line or an output
	// that was cut within it. 0: never.
	edge int
}

// Bounds of [form.edge]. Shorter parts could be found by trying: what a task writes comes back as *** if it was right.
const leastEdge, mostEdge = 10, 16

// newRedactor makes one for these secrets, nil if there is nothing to look for.
func newRedactor(secrets []string) *Redactor {
	texts := map[string]bool{}
	for _, s := range secrets {
		addForms(texts, s)
	}
	if len(texts) == 0 {
		return nil
	}
	r := &Redactor{forms: make([]form, 0, len(texts))}
	for text := range texts {
		edge := min(max(leastEdge, (len(text)+1)/2), mostEdge)
		if edge >= len(text) {
			edge = 0
		}
		r.forms = append(r.forms, form{text, edge})
	}
	slices.SortFunc(r.forms, byLength)
	return r
}

// byLength orders forms, the longest first.
func byLength(a, b form) int {
	return cmp.Or(cmp.Compare(len(b.text), len(a.text)), strings.Compare(a.text, b.text))
}

// NewRedactor makes one for secrets that came to an executor by another way than inputs. It is nil if there is nothing to look for.
func NewRedactor(secrets ...string) *Redactor { return newRedactor(secrets) }

// With is a Redactor that takes out these secrets, too.
func (r *Redactor) With(secrets ...string) *Redactor {
	more := newRedactor(secrets)
	if r == nil || more == nil {
		return cmp.Or(r, more)
	}
	all := slices.Concat(r.forms, more.forms)
	slices.SortFunc(all, byLength)
	return &Redactor{slices.CompactFunc(all, func(a, b form) bool { return a.text == b.text })}
}

// Text is a text without secrets.
func (r *Redactor) Text(text string) string {
	if r == nil || text == "" {
		return text
	}
	for i := range r.forms {
		text = strings.ReplaceAll(text, r.forms[i].text, stars)
	}
	if strings.IndexByte(text, '\n') >= 0 {
		text = r.wrapped(text)
	} else if r.within(text) {
		return stars
	}
	for i := range r.forms {
		text = r.forms[i].cutEnd(r.forms[i].cutBegin(text))
	}
	return text
}

// Shows reports whether a text that is stored as it is has a secret in it, in any form: of those of at least eight bytes, as shorter ones are in many names.
func (r *Redactor) Shows(text string) bool {
	return r != nil && slices.ContainsFunc(r.forms, func(f form) bool { return len(f.text) >= leastLine && strings.Contains(text, f.text) })
}

// within reports whether a line is a part of a form that was broken into lines, of those that are told one by one.
func (r *Redactor) within(line string) bool {
	line = strings.TrimSpace(line)
	return len(line) >= mostEdge && slices.ContainsFunc(r.forms, func(f form) bool { return strings.Contains(f.text, line) })
}

// piece is a part of a text that has no line break, nor what lines are indented by.
type piece struct {
	joined int // where it is in the text without breaks
	at     int // where it was
}

// wrapped takes forms out of a text of several lines that are spread over some of them, as programs wrap base64; also the beginning of one at the end of the text, and the end of one
// at its beginning.
func (r *Redactor) wrapped(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	var pieces []piece
	for at := 0; at < len(text); {
		end := len(text)
		if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		line := strings.TrimRight(text[at:end], "\r\n")
		if at > 0 {
			line = strings.TrimLeft(line, " \t")
			pieces = append(pieces, piece{b.Len(), at + strings.Index(text[at:end], line)})
		} else {
			pieces = append(pieces, piece{0, 0})
		}
		b.WriteString(line)
		at = end
	}
	joined := b.String()
	var found [][2]int
	for i := range r.forms {
		f := &r.forms[i]
		if len(f.text) < leastEdge {
			continue
		}
		for from := 0; ; {
			at := strings.Index(joined[from:], f.text)
			if at < 0 {
				break
			}
			found = append(found, [2]int{from + at, from + at + len(f.text)})
			from += at + len(f.text)
		}
		if cut := f.cutEnd(joined); cut != joined {
			found = append(found, [2]int{len(cut) - len(stars), len(joined)})
		}
		if cut := f.cutBegin(joined); cut != joined {
			found = append(found, [2]int{0, len(joined) - len(cut) + len(stars)})
		}
	}
	if len(found) == 0 {
		return text
	}
	slices.SortFunc(found, func(a, b [2]int) int { return cmp.Compare(a[0], b[0]) })
	where := func(joined int) int { // of a byte
		i, is := slices.BinarySearchFunc(pieces, joined, func(p piece, at int) int { return cmp.Compare(p.joined, at) })
		if !is {
			i--
		}
		for i+1 < len(pieces) && pieces[i+1].joined == joined { // empty lines
			i++
		}
		return pieces[i].at + joined - pieces[i].joined
	}
	var out strings.Builder
	done, until := 0, 0 // in the text, and in the joined one
	for _, one := range found {
		if one[1] <= until {
			continue
		}
		if one[0] >= until {
			out.WriteString(text[done:where(one[0])])
			out.WriteString(stars)
		}
		until = one[1]
		done = where(until-1) + 1
	}
	out.WriteString(text[done:])
	return out.String()
}

// cutEnd takes away the beginning of the form at the end of a text.
func (f *form) cutEnd(text string) string {
	if f.edge == 0 || len(text) < f.edge {
		return text
	}
	from := max(0, len(text)-len(f.text)+1)
	for {
		i := strings.Index(text[from:], f.text[:f.edge])
		if i < 0 {
			return text
		}
		if from += i; strings.HasPrefix(f.text, text[from:]) {
			return text[:from] + stars
		}
		from++
	}
}

// cutBegin takes away the end of the form at the beginning of a text.
func (f *form) cutBegin(text string) string {
	if f.edge == 0 || len(text) < f.edge {
		return text
	}
	tail := f.text[len(f.text)-f.edge:]
	for end := min(len(text), len(f.text)-1); ; end-- {
		i := strings.LastIndex(text[:end], tail)
		if i < 0 {
			return text
		}
		if end = i + f.edge; strings.HasSuffix(f.text, text[:end]) {
			return stars + text[end:]
		}
	}
}

// JSON is a valid JSON text without secrets, valid again. It looks into strings, names and numbers.
func (r *Redactor) JSON(text []byte) []byte {
	if r == nil {
		return text
	}
	plainly := r.mayShow(text)
	if !plainly && bytes.IndexByte(text, '\\') < 0 {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		from := i
		switch c := text[i]; {
		case c == '"':
			i = rawjson.SkipString(text, i)
			if !plainly && bytes.IndexByte(text[from:i], '\\') < 0 {
				break
			}
			plain := unquoted(text[from:i])
			if clean := r.Text(plain); clean != plain {
				out, _ = jsontext.AppendQuote(out, clean) // U+FFFD for what is no UTF-8
				continue
			}
		case c == '-' || c >= '0' && c <= '9':
			i = rawjson.SkipValue(text, i)
			if r.holds(string(text[from:i])) {
				out = append(out, `"`+stars+`"`...)
				continue
			}
		default:
			i++
		}
		out = append(out, text[from:i]...)
	}
	return out
}

// mayShow reports whether a form, or a part of it that would be cut, is in a text without being escaped.
func (r *Redactor) mayShow(text []byte) bool {
	for i := range r.forms {
		f := &r.forms[i]
		if f.edge == 0 && bytes.Contains(text, []byte(f.text)) ||
			f.edge > 0 && (bytes.Contains(text, []byte(f.text[:f.edge])) || bytes.Contains(text, []byte(f.text[len(f.text)-f.edge:]))) {
			return true
		}
	}
	return false
}

// holds reports whether a form is in a text.
func (r *Redactor) holds(text string) bool {
	return slices.ContainsFunc(r.forms, func(f form) bool { return strings.Contains(text, f.text) })
}
