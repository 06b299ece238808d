package executors

import (
	"encoding/json"
	"reflect"
)

// SchemasOf are the schemas of a type as inputs and as an output; the type may be made by reflection.
func SchemasOf(t reflect.Type) (in, out json.RawMessage, err error) {
	read, err := derive(t, inward)
	if err != nil {
		return nil, nil, err
	}
	written, err := derive(t, outward)
	if err != nil {
		return nil, nil, err
	}
	return read.text(), written.text(), nil
}
