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
	for i := range r.forms {
		text = r.forms[i].cutEnd(r.forms[i].cutBegin(text))
	}
	return text
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
