// Package rawjson checks, compacts and decodes JSON where every task passes through. It accepts the same texts as
// encoding/json: names may repeat, and strings may contain invalid UTF-8.
//
// It owns the choice of the decoder: the one planned as encoding/json/v2, which takes a third of the time. It must not know
// what the texts mean.
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

// Compact copies the text without needless space. Its error says where the text is not JSON.
func Compact(text []byte) ([]byte, error) {
	return jsontext.AppendFormat(make([]byte, 0, len(text)), text, compacting)
}

// Unmarshal decodes text into the value that to points to. Names are case-sensitive, unknown names are ignored, and the last
// of repeated names counts.
func Unmarshal(text []byte, to any) error { return json.Unmarshal(text, to, lenient) }
