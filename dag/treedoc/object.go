package treedoc

import (
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// Object makes a payload (inputs, params, schemas, custom) of text that comes by another way than a document: it
// demands a JSON object as strictly as [Read] does, and drops the white space. Nothing and null give nil. The error's
// text is safe to show and names no field. The result may share memory with data.
func Object(data []byte) (json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("must be valid UTF-8")
	}
	s := scanner{text: data}
	if s.next() == 0 && s.at == len(data) {
		return nil, nil
	}
	v, err := s.whole()
	if err != nil {
		return nil, errors.New(notJSON(PositionOf(data, err.at), err.reason))
	}
	switch {
	case isNull(v):
		return nil, nil
	case v.raw[0] != '{':
		return nil, errors.New("must be an object")
	case v.spaced:
		return appendCompact(make([]byte, 0, len(v.raw)), v), nil
	}
	return v.raw, nil
}

// Syntax is where a text stops being JSON, and why; an empty reason: it is JSON. That it is UTF-8, its caller has to see to.
func Syntax(text []byte) (at Position, reason string) {
	s := scanner{text: text}
	if _, err := s.whole(); err != nil {
		return PositionOf(text, err.at), err.reason
	}
	return Position{}, ""
}

// whole is the one value that the text is.
func (s *scanner) whole() (part, *syntaxError) {
	v, err := s.value()
	if s.space(); err == nil && s.at < len(s.text) {
		err = s.unexpected("the end")
	}
	bad, _ := errors.AsType[*syntaxError](err)
	return v, bad
}
