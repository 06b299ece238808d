package inputs

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

// Decode reads an attempt's inputs into what to points to, by the rules of encoding/json. Its error is of the executor with that id, from
// [executors.Invalid]; it names the field, and shows no value.
func Decode(id string, call *executors.Call, to any) error {
	err := json.Unmarshal(call.Inputs, to)
	if err == nil {
		return nil
	}
	if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if field := cmp.Or(bad.Field, wrong(call.Inputs, to)); field != "" {
			return executors.Invalid(id, fmt.Sprintf("%s must not be a %s", field, kindOf(bad.Value)))
		}
	} else if field := wrong(call.Inputs, to); field != "" { // the error may show the value
		return executors.Invalid(id, field+" has a value that can't be read")
	}
	return executors.Invalid(id, "inputs are not a JSON object")
}

// kindOf is what encoding/json says of a value's kind, without the value, which follows that of texts and numbers.
func kindOf(value string) string {
	for _, kind := range []string{"string", "number"} {
		if strings.HasPrefix(value, kind+" ") {
			return kind
		}
	}
	return value
}

// wrong is the first input that can't be read into what to points to; empty: none of them is to blame. Since Go 1.27 encoding/json does not say
// it of types that read themselves.
func wrong(inputs json.RawMessage, to any) string {
	var all map[string]json.RawMessage
	if json.Unmarshal(inputs, &all) != nil {
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		one, err := json.Marshal(map[string]json.RawMessage{name: all[name]})
		if err == nil && json.Unmarshal(one, reflect.New(reflect.TypeOf(to).Elem()).Interface()) != nil {
			return name
		}
	}
	return ""
}
