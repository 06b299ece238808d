package generate

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/taskgrove/taskgrove/internal/rawjson"
)

const (
	maxAnswerBytes = 1 << 20 // of text
	maxDepth       = 48      // of the tasks within the answer
	maxLooked      = 8       // times the answer's length: how much is looked through for the tasks
)

// Why an answer can't be read.
var (
	errNoArray = errors.New("the answer holds no JSON array of tasks")
	errLarge   = fmt.Errorf("the answer has more than %d bytes", maxAnswerBytes)
)

// findTasks finds the tasks in a model's answer: the first JSON array of objects, with a fence around it or not, with prose before and
// after it; also in {"tasks": [...]}. A single object with a name is a tree of one task. What begins like the array and is no valid JSON
// is an error, so that what follows a fault is not taken for the whole.
func findTasks(answer string) ([]byte, error) {
	if len(answer) > maxAnswerBytes {
		return nil, errLarge
	}
	text := []byte(answer)
	var none []byte // an array without elements: it counts if there is no other
	for at, room := 0, maxLooked*len(text)+1024; ; {
		next := bytes.IndexAny(text[at:], "[{")
		if next < 0 || room < 0 {
			if none != nil {
				return none, nil
			}
			return nil, errNoArray
		}
		at += next
		length, err := valueAt(text[at:])
		room -= length
		if err != nil {
			if text[at] == '[' && follows(text[at+1:], '{') || text[at] == '{' && follows(text[at+1:], '"') {
				return nil, err
			}
			at++
			continue
		}
		value := text[at : at+length]
		switch {
		case value[0] == '{':
			if tasks := tasksOf(value); tasks != nil {
				return tasks, nil
			}
			length = 1 // the tasks may be within
		case follows(value[1:], '{'):
			return value, nil
		case follows(value[1:], ']'):
			none = value
		}
		at += length
	}
}

// follows reports whether a character is the next one but for white space.
func follows(text []byte, c byte) bool {
	i := rawjson.SkipSpace(text, 0)
	return i < len(text) && text[i] == c
}

// tasksOf are the tasks that an object holds, or is; nil: it is about something else.
func tasksOf(object []byte) []byte {
	named := false
	for name, value := range rawjson.Members(object) {
		switch key, _ := rawjson.Unquote(name); key {
		case "tasks":
			if value[0] == '[' {
				return value
			}
		case "name":
			named = value[0] == '"'
		}
	}
	if !named {
		return nil
	}
	return append(append([]byte("["), object...), ']')
}

// valueAt is how many bytes the JSON value takes that a text begins with, or was looked at until a fault. Objects with a name twice are
// faulty: readers differ in which one counts.
func valueAt(text []byte) (length int, err error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	for {
		if _, err := d.ReadToken(); err != nil {
			at := int(d.InputOffset())
			if bad, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
				at = max(at, int(bad.ByteOffset))
				err = bad.Err
			}
			return at + 1, fmt.Errorf("the JSON has a fault at byte %d, behind %q: %w", at, before(text, at), err)
		}
		if d.StackDepth() > maxDepth {
			return int(d.InputOffset()), fmt.Errorf("the JSON is nested over %d levels deep", maxDepth)
		}
		if d.StackDepth() == 0 {
			return int(d.InputOffset()), nil
		}
	}
}

// before is the text that stands right before a place, to find it by.
func before(text []byte, at int) string {
	at = min(at, len(text))
	return string(bytes.ToValidUTF8(text[max(0, at-40):at], nil))
}
