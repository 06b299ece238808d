package treefile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// locate is where a field of a task stands in a document, or as near to it as there is something: the task, or the document. path is
// as faults have it: "dependencies[2].required".
func locate(document []byte, index int, path string) (offset int) {
	l := &locator{text: document, d: json.NewDecoder(bytes.NewReader(document))}
	l.found = l.next()
	if l.tasks() {
		l.element(index, path)
	} else if index == 0 { // the document is the task
		l = &locator{text: document, d: json.NewDecoder(bytes.NewReader(document))}
		l.descend(path)
	}
	return l.found
}

// locator walks through JSON, which may stop being JSON somewhere.
type locator struct {
	text  []byte
	d     *json.Decoder
	found int
}

// next is where the next token begins.
func (l *locator) next() int {
	i := int(l.d.InputOffset())
	for i < len(l.text) && strings.IndexByte(" \t\r\n,:", l.text[i]) >= 0 {
		i++
	}
	return i
}

// tasks steps to the first task of the array, if there is one.
func (l *locator) tasks() bool {
	first, err := l.d.Token()
	if err != nil || first == json.Delim('[') {
		return err == nil
	}
	for l.d.More() {
		key, err := l.d.Token()
		if err != nil {
			return false
		}
		if key == "tasks" {
			open, err := l.d.Token()
			return err == nil && open == json.Delim('[')
		}
		if l.skip() != nil {
			return false
		}
	}
	return false
}

func (l *locator) skip() error {
	var value json.RawMessage
	return l.d.Decode(&value)
}

// element goes into one element of the array that it is in.
func (l *locator) element(index int, path string) {
	for ; index > 0 && l.d.More(); index-- {
		if l.skip() != nil {
			return
		}
	}
	if l.d.More() {
		l.found = l.next()
		l.descend(path)
	}
}

// descend looks for the path in the value that comes next.
func (l *locator) descend(path string) {
	if path == "" {
		return
	}
	open, err := l.d.Token()
	if err != nil {
		return
	}
	var index int
	if open == json.Delim('[') {
		if n, _ := fmt.Sscanf(path, "[%d]", &index); n == 1 {
			l.element(index, strings.TrimPrefix(path[strings.IndexByte(path, ']')+1:], "."))
		}
		return
	}
	if open != json.Delim('{') {
		return
	}
	for l.d.More() {
		at := l.next()
		key, err := l.d.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			return
		}
		rest, meant := strings.CutPrefix(path, name)
		switch {
		case meant && rest == "": // the last one counts, which is the second if it is there twice
			l.found = at
		case meant && (rest[0] == '.' || rest[0] == '['):
			l.found = at
			l.descend(strings.TrimPrefix(rest, "."))
			return
		}
		if l.skip() != nil {
			return
		}
	}
}
