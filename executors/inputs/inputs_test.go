package inputs_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

func check(t *testing.T, c *inputs.Checker, executor, task, in string) error {
	t.Helper()
	call, _ := conformance.Call(t, in)
	if task != "" {
		call.Schemas = json.RawMessage(`{"method": "x_executor", "input_schema": ` + task + `}`)
	}
	return c.Check(executors.Description{ID: "x_executor", Name: "X Executor", Inputs: json.RawMessage(executor)}, call)
}

func TestCheck(t *testing.T) {
	const (
		url   = `{"type": "object", "properties": {"url": {"type": "string"}, "n": {"type": "integer", "minimum": 1}}, "required": ["url"]}`
		pre   = "[x_executor] Input validation failed for X Executor: "
		draft = `{"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"m": {"type": "string", "format": "email"}}}`
	)
	checker := inputs.NewChecker(0)
	for name, row := range map[string]struct{ executor, task, inputs, want string }{
		"no schema":                     {``, ``, `{"a": 1}`, ""},
		"not an object":                 {``, ``, `[]`, pre + "inputs are not a JSON object"},
		"fine":                          {url, `{"properties": {"url": {"maxLength": 9}}}`, `{"url": "x", "n": 3, "more": true}`, ""},
		"missing for the executor":      {url, ``, `{}`, "[x_executor] url is required in inputs"},
		"the first that is missing":     {`{"required": ["z", "a"]}`, ``, `{}`, "[x_executor] z is required in inputs"},
		"a wrong type":                  {url, ``, `{"url": 7}`, pre + "url: got number, want string"},
		"several faults":                {url, ``, `{"url": null, "n": 0}`, pre + "n: must be at least 1; url: got null, want string"},
		"a boolean is no integer":       {url, ``, `{"url": "", "n": true}`, pre + "n: got boolean, want integer"},
		"missing for the task":          {url, `{"type": "object", "required": ["b", "a"]}`, `{"url": "x"}`, pre + "Missing required parameters: ['a', 'b']"},
		"the task's schema, nested":     {``, `{"properties": {"a": {"items": {"required": ["b"]}}}}`, `{"a": [{"b": 1}, {}]}`, pre + "a.1: missing property 'b'"},
		"enum":                          {``, `{"properties": {"a": {"enum": ["x", "y"]}}}`, `{"a": "hunter2"}`, pre + "a: value must be one of 'x', 'y'"},
		"null is left out of types":     {`{"properties": {"a": {"type": ["null", "number"]}}}`, ``, `{"a": "soon"}`, pre + "a: got string, want number"},
		"and of an enum":                {`{"properties": {"a": {"enum": ["x", 1, null]}}}`, ``, `{"a": "y"}`, pre + "a: value must be one of 'x', 1"},
		"but if there is only null":     {`{"properties": {"a": {"enum": [null]}}}`, ``, `{"a": "y"}`, pre + "a: value must be one of null"},
		"pattern, without the value":    {``, `{"properties": {"a": {"pattern": "^x"}}}`, `{"a": "hunter2"}`, pre + `a: does not match the pattern "^x"`},
		"anyOf":                         {``, `{"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}`, `{"a": 1}`, pre + "a: matches none of the allowed forms"},
		"additional properties":         {``, `{"additionalProperties": false}`, `{"a": 1}`, pre + "additional properties 'a' not allowed"},
		"formats are not checked":       {``, `{"properties": {"m": {"type": "string", "format": "email"}}}`, `{"m": "no"}`, ""},
		"in older drafts neither":       {``, draft, `{"m": "no"}`, ""},
		"simplified: fine":              {``, `{"a": {"type": "integer", "required": true}, "b": {"required": false}}`, `{"a": 1}`, ""},
		"simplified: missing":           {``, `{"a": {"type": "integer", "required": true}, "b": {}}`, `{}`, pre + "Missing required parameters: ['a']"},
		"simplified: string by default": {``, `{"a": {"description": "text"}}`, `{"a": 1}`, pre + "a: got number, want string"},
		"simplified: nested":            {``, `{"a": {"type": "object", "properties": {"b": {"type": "number", "required": true}}}}`, `{"a": {}}`, pre + "a: missing property 'b'"},
		"simplified: a field type":      {``, `{"type": {"type": "string", "required": true}}`, `{}`, pre + "Missing required parameters: ['type']"},
		"simplified: field properties":  {``, `{"properties": {"type": "object", "required": true}}`, `{}`, pre + "Missing required parameters: ['properties']"},
		"an empty schema":               {``, `{}`, `{"a": 1}`, ""},
		"null is no schema":             {``, `null`, `{"a": 1}`, ""},
		"a schema that is a text":       {``, `"x"`, `{}`, pre + "schemas.input_schema can't be used: it is not an object"},
		"a schema of false":             {``, `false`, `{}`, pre + "is not allowed"},
		"references within":             {``, `{"$defs": {"s": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/s"}}}`, `{"a": 1}`, pre + "a: got number, want string"},
	} {
		t.Run(name, func(t *testing.T) {
			err := check(t, checker, row.executor, row.task, row.inputs)
			if got := fmt.Sprint(err); err == nil && row.want != "" || err != nil && got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
			if err != nil && !executors.IsPermanent(err) {
				t.Error("may be retried")
			}
		})
	}
}

func TestUnusableSchemasFailTheTask(t *testing.T) {
	checker := inputs.NewChecker(0)
	for name, schema := range map[string]string{
		"remote reference":    `{"$ref": "http://127.0.0.1:1/schema.json"}`,
		"file reference":      `{"properties": {"a": {"$ref": "file:///etc/passwd"}}}`,
		"another meta-schema": `{"$schema": "http://127.0.0.1:1/meta.json", "type": "object"}`,
		"unknown type":        `{"type": "float"}`,
		"bad pattern":         `{"properties": {"a": {"pattern": "("}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second time from the cache
				err := check(t, checker, "", schema, `{"a": "x"}`)
				if err == nil || !strings.HasPrefix(err.Error(), "[x_executor] Input validation failed for X Executor: schemas.input_schema can't be used: ") {
					t.Errorf("got %v", err)
				}
				if err != nil && strings.Contains(err.Error(), "root:") {
					t.Errorf("a file was read: %v", err)
				}
			}
		})
	}
}

func TestNumbersOfAnySizeAreHarmless(t *testing.T) {
	start := time.Now()
	for _, n := range []string{"1e999999999", "1e-999999999", "-1e400", strings.Repeat("9", 10_000)} {
		for _, schema := range []string{`{"properties": {"n": {"type": "integer"}}}`, `{"properties": {"n": {"minimum": 5, "multipleOf": 0.1}}}`, `{"properties": {"n": {"enum": [1, 2]}}}`} {
			_ = check(t, inputs.NewChecker(0), "", schema, `{"n": `+n+`}`)
		}
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %v", took)
	}
}

func TestMoreSchemasThanAreKept(t *testing.T) {
	checker := inputs.NewChecker(4)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 50 {
				schema := fmt.Sprintf(`{"properties": {"n": {"minimum": %d}}}`, i%9)
				err := check(t, checker, "", schema, `{"n": 4}`)
				if (err == nil) != (i%9 <= 4) {
					t.Errorf("minimum %d: %v", i%9, err)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkCheck(b *testing.B) {
	checker := inputs.NewChecker(0)
	d := executors.Description{ID: "x", Inputs: json.RawMessage(`{"type": "object", "properties": {"url": {"type": "string"}, "n": {"type": "integer"}}, "required": ["url"]}`)}
	call := &executors.Call{Inputs: json.RawMessage(`{"url": "http://example.test/a/b", "n": 3}`)}
	for b.Loop() {
		if err := checker.Check(d, call); err != nil {
			b.Fatal(err)
		}
	}
}
