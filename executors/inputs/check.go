package inputs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/taskgrove/taskgrove/executors"
)

// Checker checks inputs, and caches compiled schemas. Safe for concurrent use.
type Checker struct{ schemas *cache }

// DefaultCapacity is how many compiled schemas a [Checker] caches by default.
const DefaultCapacity = 256

// NewChecker makes a checker that caches up to capacity compiled schemas (0: [DefaultCapacity]), the most recently used ones.
func NewChecker(capacity int) *Checker {
	if capacity <= 0 {
		capacity = DefaultCapacity
	}
	return &Checker{schemas: newCache(capacity)}
}

// Check checks the call's inputs against the executor's schema, then against the task's own. A violation is a permanent
// failure from [executors.Invalid]. Its text names the field and the reason, and shows no input values.
func (c *Checker) Check(d executors.Description, call *executors.Call) error {
	own, err := taskSchema(call.Schemas)
	if err != nil {
		return failed(d, err)
	}
	if in := bytes.TrimSpace(call.Inputs); len(in) == 0 || in[0] != '{' {
		return failed(d, errors.New("inputs are not a JSON object"))
	}
	if len(d.Inputs) == 0 && len(own) == 0 {
		return nil
	}
	standards, err := c.compiled(standard, d.Inputs)
	if err != nil {
		return failed(d, fmt.Errorf("the executor's own schema can't be used: %w", err))
	}
	owns, err := c.compiled(either, own)
	if err != nil {
		return failed(d, fmt.Errorf("schemas.input_schema can't be used: %w", err))
	}
	if standards.keeps(call.Inputs) && owns.keeps(call.Inputs) {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(call.Inputs))
	if err != nil {
		return failed(d, errors.New("inputs are not valid JSON"))
	}
	missing, other := violations(standards, value)
	if len(missing) > 0 { // spec 8.2, 8.3 and their like
		return executors.Invalid(d.ID, missing[0]+" is required in inputs")
	}
	if len(other) > 0 {
		return failed(d, errors.New(strings.Join(other, "; ")))
	}
	missing, reasons := violations(owns, value)
	if len(missing) > 0 {
		slices.Sort(missing)
		for i, name := range missing {
			missing[i] = "'" + name + "'"
		}
		reasons = slices.Insert(reasons, 0, "Missing required parameters: ["+strings.Join(missing, ", ")+"]")
	}
	if len(reasons) > 0 {
		return failed(d, errors.New(strings.Join(reasons, "; ")))
	}
	return nil
}

// anything is a schema that allows everything.
var anything = json.RawMessage("{}")

func (c *Checker) compiled(f form, text json.RawMessage) (*compiled, error) {
	if len(text) == 0 {
		text = anything
	}
	return c.schemas.get(f, text)
}

// taskSchema is schemas.input_schema, or nil.
func taskSchema(schemas json.RawMessage) (json.RawMessage, error) {
	const key = `input_schema`
	if !bytes.Contains(schemas, []byte(key)) {
		return nil, nil
	}
	var s struct {
		Input json.RawMessage `json:"input_schema"`
	}
	if err := json.Unmarshal(schemas, &s); err != nil {
		return nil, errors.New("schemas are not a JSON object")
	}
	if bytes.Equal(s.Input, []byte("null")) {
		return nil, nil
	}
	return s.Input, nil
}

// failed makes the text of spec 3.12.
func failed(d executors.Description, reason error) error {
	name := d.Name
	if name == "" {
		name = d.ID
	}
	return executors.Invalid(d.ID, fmt.Sprintf("Input validation failed for %s: %v", name, reason))
}
