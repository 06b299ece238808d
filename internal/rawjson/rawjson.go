// Package rawjson checks, compacts and decodes JSON where every task passes through. It accepts the same texts as
// encoding/json, where strings may contain invalid UTF-8, but for names that an object has twice: what users write must not have
// them, and of those in results only the last is kept.
//
// It owns the choice of the decoder: the one planned as encoding/json/v2, which takes a third of the time. It must not know
// what the texts mean.
package rawjson

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var (
	lenient    = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	unique     = jsontext.AllowInvalidUTF8(true)
	compacting = json.JoinOptions(unique, jsontext.PreserveRawStrings(true))
)

// MaxDepth is how deep arrays and objects may nest in a text that comes from outside: a request, a task's inputs, a
// result. What is made of such texts nests a little deeper (a result is merged into inputs, which a tree's answer holds): every
// reader must take that, and those of Go, Python and Postgres stop at 1000 or later.
const MaxDepth = 256

// Why a text from outside can't be accepted.
var (
	ErrNotJSON = errors.New("not JSON")
	ErrDepth   = fmt.Errorf("nested deeper than %d levels", MaxDepth)
)

// Check reports why a text from outside can't be accepted, with [ErrNotJSON] or [ErrDepth]. It looks neither for invalid UTF-8 nor for
// names that repeat.
func Check(text []byte) error {
	if err := CheckDepth(text, 0); err != nil {
		return err
	}
	if !jsontext.Value(text).IsValid(lenient) {
		return ErrNotJSON
	}
	return nil
}

// CheckDepth reports that a text, which need not be JSON, would nest deeper than [MaxDepth] once so many levels are put around it.
func CheckDepth(text []byte, around int) error {
	if len(text)+around > MaxDepth && Depth(text)+around > MaxDepth { // a short text can't
		return ErrDepth
	}
	return nil
}

// Depth is how deep arrays and objects nest in a text that need not be JSON. It takes no memory.
func Depth(text []byte) (deepest int) {
	level := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = SkipString(text, i) - 1
		case '[', '{':
			level++
			deepest = max(deepest, level)
		case ']', '}':
			level--
		}
	}
	return deepest
}

// Compact copies a text from outside without needless space. Its error is [ErrDepth], a *[RepeatedError], or says where the text is not
// JSON.
func Compact(text []byte) ([]byte, error) {
	if err := CheckDepth(text, 0); err != nil {
		return nil, err
	}
	out, err := jsontext.AppendFormat(make([]byte, 0, len(text)), text, compacting)
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return nil, cmp.Or(CheckNames(text), err) // it may end before the name that it has twice has a value
	}
	return out, err
}

// Unmarshal decodes text into the value that to points to. Names are case-sensitive, unknown names are ignored, and the last
// of repeated names counts.
func Unmarshal(text []byte, to any) error { return json.Unmarshal(text, to, lenient) }

// Unquote decodes a string that is given in its quotes, out of a valid text of valid UTF-8. It reports false if an escape stands for half a
// character, in whose place is U+FFFD then: that makes two different texts one.
func Unquote(quoted []byte) (text string, whole bool) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1]), true
	}
	decoded, err := jsontext.AppendUnquote(nil, quoted)
	return string(decoded), err == nil
}
