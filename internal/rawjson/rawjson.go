// Package rawjson checks, compacts and decodes JSON where every task's passes by. It takes the same texts as
// encoding/json: repeated names are allowed, and strings may hold what is not UTF-8.
//
// It owns the choice of the decoder, which is what encoding/json/v2 is to be, and takes a third of the time. It must not
// know what the texts mean.
package rawjson

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var (
	lenient    = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	compacting = json.JoinOptions(lenient, jsontext.PreserveRawStrings(true))
)

// Valid reports whether text is JSON.
func Valid(text []byte) bool { return jsontext.Value(text).IsValid(lenient) }

// Compact is the text without needless space, in memory of its own. The error says where it is not JSON.
func Compact(text []byte) ([]byte, error) {
	return jsontext.AppendFormat(make([]byte, 0, len(text)), text, compacting)
}

// Unmarshal decodes text into what to points to. Names must be spelled as there; those that it does not know are left
// out, and of a repeated one the last counts.
func Unmarshal(text []byte, to any) error { return json.Unmarshal(text, to, lenient) }
