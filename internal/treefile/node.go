package treefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/taskgrove/taskgrove/dag/treedoc"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// node is a value of a tree file, and where it stands in its JSON. What was made of another value stands where that stands.
type node struct {
	at      int
	kind    jsontext.Kind // '{', '[', '"', '0', 't', 'f' or 'n'
	text    string        // of a string, or the digits of a number
	members []member
	items   []*node
}

// member is a part of an object. Names that are there twice stay, as faults.
type member struct {
	name  string
	at    int // of the name
	value *node
}

// get is the first member of a name, or nil.
func (n *node) get(name string) *node {
	for i := range n.members {
		if n.members[i].name == name {
			return n.members[i].value
		}
	}
	return nil
}

// given is a member that is there, and not null: null is the same as a missing key.
func (n *node) given(name string) *node {
	if v := n.get(name); v != nil && v.kind != 'n' {
		return v
	}
	return nil
}

// is reports whether there is a value of a kind.
func (n *node) is(kind jsontext.Kind) bool { return n != nil && n.kind == kind }

// isText reports whether the node is this string.
func (n *node) isText(text string) bool { return n != nil && n.kind == '"' && n.text == text }

func textNode(at int, text string) *node { return &node{at: at, kind: '"', text: text} }

func boolNode(at int, is bool) *node {
	if is {
		return &node{at: at, kind: 't'}
	}
	return &node{at: at, kind: 'f'}
}

// object is one with members, all of which stand where it does unless they say otherwise.
func object(at int, members ...member) *node { return &node{at: at, kind: '{', members: members} }

const noNUL = "must not hold a NUL character"

// unsound tells what no value may have, wherever in it: a name that an object has twice, and a NUL character.
func (n *node) unsound(path string, tell func(at int, path, reason string)) {
	if n.kind == '"' && strings.IndexByte(n.text, 0) >= 0 {
		tell(n.at, path, noNUL)
	}
	seen := map[string]bool{}
	for _, m := range n.members {
		below := join(path, treedoc.Short(m.name))
		switch {
		case seen[m.name]:
			tell(m.at, below, "must not be there twice")
		case strings.IndexByte(m.name, 0) >= 0:
			tell(m.at, below, noNUL)
		}
		seen[m.name] = true
		m.value.unsound(below, tell)
	}
	for i, item := range n.items {
		item.unsound(fmt.Sprintf("%s[%d]", path, i), tell)
	}
}

// copyAt is the value, with all that is in it, as if it stood elsewhere.
func (n *node) copyAt(at int) *node {
	out := *n
	out.at = at
	out.members, out.items = nil, nil
	for _, m := range n.members {
		out.members = append(out.members, member{m.name, at, m.value.copyAt(at)})
	}
	for _, item := range n.items {
		out.items = append(out.items, item.copyAt(at))
	}
	return &out
}

// size is about how many bytes the value takes in JSON.
func (n *node) size() int {
	total := len(n.text) + 4
	for _, m := range n.members {
		total += len(m.name) + 4 + m.value.size()
	}
	for _, item := range n.items {
		total += item.size() + 1
	}
	return total
}

// nodeParser makes nodes of JSON.
type nodeParser struct {
	text []byte
	d    *jsontext.Decoder
}

// parseNode reads a whole text. at is where it stops being JSON that may be read.
func parseNode(text []byte) (n *node, at int, err error) {
	p := &nodeParser{text, jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true))}
	if n, err = p.value(0); err != nil {
		return nil, p.next(), err
	}
	if _, err = p.d.ReadToken(); err != io.EOF {
		return nil, p.next(), errors.New("something follows")
	}
	return n, 0, nil
}

// nodes is the file's JSON as nodes.
func (f *File) nodes() (*node, error) {
	n, at, err := parseNode(f.JSON)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, rawjson.ErrDepth):
		return nil, refusedAt(f.PlaceAt(at), err.Error())
	}
	if where, reason := treedoc.Syntax(f.JSON); reason != "" {
		return nil, refusedAt(f.place(where), "not valid JSON: "+reason)
	}
	return nil, refusedAt(f.PlaceAt(at), "not valid JSON")
}

// next is where the next token begins.
func (p *nodeParser) next() int {
	i := int(p.d.InputOffset())
	for i < len(p.text) && bytes.IndexByte([]byte(" \t\r\n,:"), p.text[i]) >= 0 {
		i++
	}
	return i
}

func (p *nodeParser) value(depth int) (*node, error) {
	if depth > rawjson.MaxDepth {
		return nil, rawjson.ErrDepth
	}
	n := &node{at: p.next(), kind: p.d.PeekKind()}
	token, err := p.d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch n.kind {
	case '"', '0':
		n.text = token.String()
	case '{':
		for p.d.PeekKind() != '}' {
			m := member{at: p.next()}
			if token, err = p.d.ReadToken(); err != nil {
				return nil, err
			}
			m.name = token.String()
			if m.value, err = p.value(depth + 1); err != nil {
				return nil, err
			}
			n.members = append(n.members, m)
		}
		_, err = p.d.ReadToken()
	case '[':
		for p.d.PeekKind() != ']' {
			item, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
		_, err = p.d.ReadToken()
	}
	return n, err
}

// printer writes nodes as JSON, and where each part of it comes from.
type printer struct {
	out  []byte
	from []source
}

// source says where in the file's JSON a part of the tree's stands.
type source struct{ offset, at int }

func (p *printer) mark(at int) { p.from = append(p.from, source{len(p.out), at}) }

func (p *printer) value(n *node) {
	p.mark(n.at)
	switch n.kind {
	case '"':
		p.quoted(n.text)
	case '0':
		p.out = append(p.out, n.text...)
	case 't':
		p.out = append(p.out, "true"...)
	case 'f':
		p.out = append(p.out, "false"...)
	case '{':
		p.out = append(p.out, '{')
		for i, m := range n.members {
			if i > 0 {
				p.out = append(p.out, ',')
			}
			p.mark(m.at)
			p.quoted(m.name)
			p.out = append(p.out, ':')
			p.value(m.value)
		}
		p.out = append(p.out, '}')
	case '[':
		p.out = append(p.out, '[')
		for i, item := range n.items {
			if i > 0 {
				p.out = append(p.out, ',')
			}
			p.value(item)
		}
		p.out = append(p.out, ']')
	default:
		p.out = append(p.out, "null"...)
	}
}

func (p *printer) quoted(text string) {
	p.out, _ = jsontext.AppendQuote(p.out, text) // it was read
}

// json is the value as JSON.
func (n *node) json() []byte {
	p := &printer{}
	p.value(n)
	return p.out
}

// decoded is the value as [encoding/json] decodes it, with numbers as they are written.
func (n *node) decoded() any {
	switch n.kind {
	case '"':
		return n.text
	case '0':
		return json.Number(n.text)
	case 't', 'f':
		return n.kind == 't'
	case '{':
		out := make(map[string]any, len(n.members))
		for _, m := range n.members {
			out[m.name] = m.value.decoded()
		}
		return out
	case '[':
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = item.decoded()
		}
		return out
	}
	return nil
}

// nodeOf is a decoded value as a node that stands somewhere.
func nodeOf(at int, v any) *node {
	text, err := json.Marshal(v)
	if err != nil {
		return &node{at: at, kind: 'n'}
	}
	n, _, err := parseNode(text)
	if err != nil {
		return &node{at: at, kind: 'n'}
	}
	return n.copyAt(at)
}
