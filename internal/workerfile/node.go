package workerfile

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// node is a value of the file, and where it stands in its JSON.
type node struct {
	at      int
	kind    jsontext.Kind // '{', '[', '"', '0', 't', 'f' or 'n'
	raw     []byte
	members []member
	items   []*node
}

// member is a part of an object. Names that are there twice stay, as faults.
type member struct {
	name string
	at   int // of the name
	node *node
}

// key is the last member of a name, nil if there is none.
func (n *node) key(name string) *member {
	for i := len(n.members) - 1; i >= 0; i-- {
		if n.members[i].name == name {
			return &n.members[i]
		}
	}
	return nil
}

// text is the value of a string.
func (n *node) text() string {
	out, _ := jsontext.AppendUnquote(nil, n.raw) // it was read
	return string(out)
}

// syntaxFault is where a text stops being JSON.
type syntaxFault struct {
	at     int
	reason string
}

// parser makes nodes of JSON.
type parser struct {
	text []byte
	d    *jsontext.Decoder
}

// parse reads the whole text.
func parse(text []byte) (*node, *syntaxFault) {
	p := &parser{text, jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true))}
	n, fault := p.value(0)
	if fault == nil {
		if _, err := p.d.ReadToken(); !errors.Is(err, io.EOF) {
			fault = &syntaxFault{p.next(), "not valid JSON: something follows the end of the object"}
		}
	}
	return n, fault
}

// next is where the next token begins.
func (p *parser) next() int {
	i := int(p.d.InputOffset())
	for i < len(p.text) && bytes.IndexByte([]byte(" \t\r\n,:"), p.text[i]) >= 0 {
		i++
	}
	return i
}

// fault is that of the reader, whose own words may show the text.
func (p *parser) fault(err error) *syntaxFault {
	at, reason := p.next(), "not valid JSON"
	if bad, ok := errors.AsType[*jsontext.SyntacticError](err); ok && bad.ByteOffset > int64(at) {
		at = int(bad.ByteOffset)
	}
	if at >= len(p.text) {
		reason += ": it ends too early"
	} else {
		reason += ": look at the commas, quotes and brackets here"
	}
	return &syntaxFault{min(at, len(p.text)), reason}
}

// value reads the next value.
func (p *parser) value(depth int) (*node, *syntaxFault) {
	n := &node{at: p.next(), kind: p.d.PeekKind()}
	if depth > maxDepth {
		return nil, &syntaxFault{n.at, "nested deeper than 32 levels"}
	}
	if n.kind != '{' && n.kind != '[' {
		raw, err := p.d.ReadValue()
		if err != nil {
			return nil, p.fault(err)
		}
		n.raw = bytes.Clone(raw)
		return n, nil
	}
	if _, err := p.d.ReadToken(); err != nil {
		return nil, p.fault(err)
	}
	for {
		switch p.d.PeekKind() {
		case '}', ']':
			if _, err := p.d.ReadToken(); err != nil {
				return nil, p.fault(err)
			}
			n.raw = p.text[n.at:p.d.InputOffset()]
			return n, nil
		}
		m := member{at: p.next()}
		if n.kind == '{' {
			name, err := p.d.ReadToken()
			if err != nil {
				return nil, p.fault(err)
			}
			m.name = name.String()
		}
		var fault *syntaxFault
		if m.node, fault = p.value(depth + 1); fault != nil {
			return nil, fault
		}
		if n.kind == '{' {
			n.members = append(n.members, m)
		} else {
			n.items = append(n.items, m.node)
		}
	}
}
