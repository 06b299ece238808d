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
	"sync"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// Decode reads an attempt's inputs into the struct that to points to, by the rules of encoding/json, but for names in other letters: as for a
// schema, Host is not host. Its error is of the executor with that id, from
// [executors.Invalid]; it names the field, and shows no value.
func Decode(id string, call *executors.Call, to any) error {
	inputs := json.RawMessage(rawjson.Exact(call.Inputs, namesOf(reflect.TypeOf(to).Elem())))
	err := json.Unmarshal(inputs, to)
	if err == nil {
		return nil
	}
	if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if field := cmp.Or(bad.Field, wrong(inputs, to)); field != "" {
			return executors.Invalid(id, fmt.Sprintf("%s must not be a %s", field, kindOf(bad.Value)))
		}
	} else if field := wrong(inputs, to); field != "" { // the error may show the value
		return executors.Invalid(id, field+" has a value that can't be read")
	}
	return executors.Invalid(id, "inputs are not a JSON object")
}

// names are the fields of structs, by their type.
var names sync.Map

// namesOf are the names that a struct gives its fields in JSON.
func namesOf(t reflect.Type) []string {
	if known, ok := names.Load(t); ok {
		return known.([]string)
	}
	var all []string
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			all = append(all, name)
		}
	}
	names.Store(t, all)
	return all
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
