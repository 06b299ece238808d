package env

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// parsed is what is found in one file.
type parsed struct {
	file   string
	prefix string
	values Values
	faults Faults
	notes  Faults
}

func (p *parsed) fault(line, column int, format string, args ...any) {
	p.faults = append(p.faults, Fault{p.file, line, column, fmt.Sprintf(format, args...)})
}

// put notes a value, whose name is valid. The last one of a name counts.
func (p *parsed) put(name, text string, line, column int) {
	switch {
	case strings.ContainsRune(text, 0):
		p.fault(line, column, "the value of %s contains a NUL, which can't be stored", shown(name))
	case !utf8.ValidString(text):
		p.fault(line, column, "the value of %s is not text in UTF-8", shown(name))
	case len(p.values) == MaxNames && p.values[name] == Value{}:
		p.fault(line, column, "it has more than %d names", MaxNames)
	default:
		p.values[name] = Value{text, p.file, line}
	}
}

// full is a name with the prefix. ok is false of one that templates can't name.
func (p *parsed) full(name string) (full string, ok bool) {
	full = p.prefix + name
	return full, ValidName(full)
}

// useless notes a name that has no effect.
func (p *parsed) useless(name string, line, column int) {
	p.notes = append(p.notes, Fault{p.file, line, column, fmt.Sprintf("templates can't name %s, so that it has no effect: letters, digits and _ can be in a name, and no digit first", shown(name))})
}

var bom = []byte("\xef\xbb\xbf")

// dotenv reads lines of the form KEY=VALUE. White space around both is dropped, and so are "export " before a key and one pair of matching quotes around a
// value. Lines that begin with # or have no = are ignored. There are no escapes, and nothing is put into values.
func (p *parsed) dotenv(text []byte) {
	text = bytes.TrimPrefix(text, bom)
	number := 0
	for len(text) > 0 {
		number++
		line := text
		if end := bytes.IndexAny(text, "\r\n"); end >= 0 {
			line = text[:end]
			if bytes.HasPrefix(text[end:], []byte("\r\n")) {
				end++
			}
			text = text[end+1:]
		} else {
			text = nil
		}
		if !utf8.Valid(line) {
			p.fault(number, 0, "it is not text in UTF-8")
			continue
		}
		p.line(string(line), number)
		if len(p.faults) > MaxFaults {
			return
		}
	}
}

func (p *parsed) line(line string, number int) {
	trimmed := strings.TrimSpace(line)
	key, value, is := strings.Cut(trimmed, "=")
	if strings.HasPrefix(trimmed, "#") || !is {
		return
	}
	if rest, ok := strings.CutPrefix(key, "export"); ok && strings.TrimLeft(rest, " \t") != rest {
		key = strings.TrimLeft(rest, " \t")
	}
	key = strings.TrimSpace(key)
	name, ok := p.full(key)
	if !ok {
		column := utf8.RuneCountInString(line[:strings.Index(line, trimmed)]) + 1
		if key == "" {
			p.fault(number, column, "there is no name before the =")
		} else {
			p.fault(number, column, "%s can't be a name: want letters, digits and _, with no digit first", shown(name))
		}
		return
	}
	value = strings.TrimSpace(value)
	if n := len(value); n >= 2 && value[0] == value[n-1] && (value[0] == '"' || value[0] == '\'') {
		value = value[1 : n-1]
	}
	p.put(name, value, number, 0)
}

// json reads an object. null is left out, true and false are these words, numbers are as they are written, and lists and objects are JSON without white space.
func (p *parsed) json(text []byte) {
	text = bytes.TrimPrefix(text, bom)
	d := jsontext.NewDecoder(bytes.NewReader(text)) // it refuses names that are there twice, and what is no UTF-8
	at := func(offset int64) (line, column int) { return place(text, offset) }
	bad := func(err error) {
		offset := d.InputOffset()
		if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
			offset = syntax.ByteOffset
		}
		line, column := at(offset)
		switch {
		case errors.Is(err, jsontext.ErrDuplicateName):
			p.fault(line, column, "a name is there twice in one object")
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			p.fault(line, column, "the JSON ends too early")
		default:
			p.fault(line, column, "it is no JSON")
		}
	}
	switch kind := d.PeekKind(); kind {
	case '{':
	case 0:
		_, err := d.ReadToken()
		bad(err)
		return
	default:
		line, column := at(d.InputOffset())
		p.fault(line, column, "want a JSON object of names and values")
		return
	}
	if _, err := d.ReadToken(); err != nil {
		bad(err)
		return
	}
	for d.PeekKind() == '"' {
		token, err := d.ReadToken()
		if err != nil {
			bad(err)
			return
		}
		name := token.String()
		line, column := at(d.InputOffset() - 1) // its last quote: names have no line breaks
		column = max(1, column-utf8.RuneCountInString(name)-1)
		value, err := d.ReadValue()
		if err != nil {
			bad(err)
			return
		}
		full, ok := p.full(name)
		if !ok {
			p.useless(full, line, column)
			continue
		}
		if text, given := textOf(value); given {
			p.put(full, text, line, column)
		}
	}
	if _, err := d.ReadToken(); err != nil { // the end of the object
		bad(err)
		return
	}
	end := d.InputOffset()
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		line, column := at(end)
		p.fault(line, column, "something follows the object")
	}
}

// textOf is a JSON value as a text; false: it is null.
func textOf(value jsontext.Value) (text string, given bool) {
	switch value.Kind() {
	case 'n':
		return "", false
	case '"':
		_ = json.Unmarshal(value, &text) // it was read
		return text, true
	case '{', '[':
		value = value.Clone()
		_ = value.Compact() // likewise
	}
	return string(value), true
}

// place is where an offset is.
func place(text []byte, offset int64) (line, column int) {
	before := text[:min(max(0, offset), int64(len(text)))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte{'\n'}) + 1, utf8.RuneCount(before[start:]) + 1
}
