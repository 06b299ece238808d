package inputs

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/taskgrove/taskgrove/executors"
)

// Decode reads an attempt's inputs into what to points to, by the rules of encoding/json. Its error is of the executor with that id, from
// [executors.Invalid]; it names the field, and shows no value.
func Decode(id string, call *executors.Call, to any) error {
	err := json.Unmarshal(call.Inputs, to)
	if err == nil {
		return nil
	}
	if field, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && field.Field != "" {
		return executors.Invalid(id, fmt.Sprintf("%s must not be a %s", field.Field, field.Value))
	}
	return executors.Invalid(id, "inputs are not a JSON object")
}
