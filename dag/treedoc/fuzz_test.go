package treedoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// decodeSlowly is the twin: the document by encoding/json into maps, then the payloads, texts and unknown keys of each
// task looked up there. It knows neither faults of fields nor keys that are there twice.
func decodeSlowly(data []byte) (tasks []map[string]any, ok bool) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	if o, is := v.(map[string]any); is {
		if inner, wrapped := o["tasks"]; wrapped {
			v = inner
		} else {
			v = []any{o}
		}
	}
	list, ok := v.([]any)
	if !ok {
		return nil, false
	}
	for _, item := range list {
		t, ok := item.(map[string]any)
		if !ok {
			return nil, false
		}
		tasks = append(tasks, t)
	}
	return tasks, true
}

// agrees compares a task with its slow twin.
func agrees(t *dag.Task, slow map[string]any) error {
	for field, got := range map[string]string{"name": t.Name, "id": t.ID, "user_id": t.UserID, "parent_id": t.ParentRef, "pool": t.Pool} {
		if want, _ := slow[field].(string); got != want {
			return fmt.Errorf("%s = %q, want %q", field, got, want)
		}
	}
	for field, got := range map[string]json.RawMessage{"inputs": t.Inputs, "params": t.Params, "schemas": t.Schemas} {
		if err := same(field, got, slow[field]); err != nil {
			return err
		}
	}
	var custom any
	for k, v := range slow {
		if keys[k] != keyUnknown || v == nil {
			continue
		}
		if custom == nil {
			custom = map[string]any{}
		}
		custom.(map[string]any)[k] = v
	}
	if err := same("custom", t.Custom, custom); err != nil {
		return err
	}
	deps, _ := slow["dependencies"].([]any)
	if len(deps) != len(t.Dependencies) {
		return fmt.Errorf("%d dependencies, want %d", len(t.Dependencies), len(deps))
	}
	for i, d := range deps {
		want := dag.Dependency{}
		switch d := d.(type) {
		case string:
			want.Ref, want.Legacy = d, true
		case map[string]any:
			want.Ref, _ = d["id"].(string)
			if name, _ := d["name"].(string); want.Ref == "" && name != "" {
				want.Ref, want.ByName = name, true
			}
			want.Type, _ = d["type"].(string)
			required, given := d["required"].(bool)
			want.Optional = given && !required
		}
		if got := t.Dependencies[i]; got != want {
			return fmt.Errorf("dependency %d = %+v, want %+v", i, got, want)
		}
	}
	return nil
}

func same(field string, got json.RawMessage, want any) error {
	if got == nil {
		if want != nil {
			return fmt.Errorf("%s is missing, want %v", field, want)
		}
		return nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, got); err != nil || !bytes.Equal(compact.Bytes(), got) {
		return fmt.Errorf("%s = %q is not compact JSON: %v", field, got, err)
	}
	d := json.NewDecoder(bytes.NewReader(got))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || !reflect.DeepEqual(v, want) {
		return fmt.Errorf("%s = %s, want %v", field, got, want)
	}
	return nil
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		``, `null`, `[]`, `{}`, `[{"name":"a"},{"name":"b","parent_id":"a","dependencies":["a",{"id":"b","required":false,"type":"x"},{"name":"c"}]}]`,
		`{"tasks":[{"id":"1","inputs":{"a":[1,-2.5e3,true,null]}, "params":{} ,"schemas":{"method":"m"}}]}`, `{"tasks" : {}}`,
		`[{"retry":{"max_attempts":3,"backoff":"fixed","initial_delay":1.5},"timeout":1,"not_before":"2030-01-01T00:00:00Z","on_lost":"fail"}]`,
		`[{"a\u0062":"\ud83d\ude00\ud800","x": { "y" : "\" ]}" }}]`, "[{\"name\":\"\xff\"}]", `[{"a":1,"a":2}]`, `[{"a":{]}]`, `[{"name":"a"}`, `[{}]]`,
		`[{"inputs":{"\\":"\\"}}]`, `{"tasks":[],"x":1}`, `[{"priority":1e999}]`, "[\x00]", `[{"a":"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fast, err := collect(Parse(data, Options{}))
		streamed, streamErr := collect(Read(iotest.OneByteReader(bytes.NewReader(data)), Options{}))
		if !reflect.DeepEqual(fast, streamed) || fmt.Sprint(err) != fmt.Sprint(streamErr) {
			t.Fatalf("Parse = %v, %v\nRead = %v, %v", fast, err, streamed, streamErr)
		}
		slow, ok := decodeSlowly(data)
		if err != nil {
			return // what is refused, and how, the tables say; here nothing wrong may be accepted
		}
		if !ok || len(slow) != len(fast) {
			t.Fatalf("Parse = %d tasks, want %d (%v)", len(fast), len(slow), ok)
		}
		for i := range fast {
			if err := agrees(&fast[i], slow[i]); err != nil {
				t.Fatalf("task %d: %v", i, err)
			}
		}
	})
}

// FuzzScan holds the scanner against encoding/json: it accepts the same texts, but for those that nest too deep. Names that it is sure of
// are different.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`{}`, `[1,2.0,-0,0e1,-1E+9]`, `"\u00e9\\\"\/\b\f\n\r\t"`, `tru`, `01`, `1.`, `-`, `[1,]`, `{"a":}`, `{"a" :1 , "b":[ ]}`, "\"\x1f\"", `"\u12g4"`, `nulll`, ``, ` `,
		`{"a":1,"b":{"a":2},"c":[{"a":{}},{"a":{"b":1,"b":2}}]}`, `{"a":1,"\u0061":2}`, `{"a":{"b":1},"b":2,"a":3}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s scanner
		s.compare(data)
		v, err := s.value()
		s.space()
		got := err == nil && s.at == len(data)
		if err != nil && strings.HasPrefix(err.Error(), "nested deeper") {
			return
		}
		if want := json.Valid(data); got != want {
			t.Fatalf("scan = %v (%v at %d), want %v", got, err, s.at, want)
		}
		if !got {
			return
		}
		if bad := rawjson.CheckNames(data); bad != nil && !v.unsure {
			t.Fatalf("%s: sure of names, and %v", data, bad)
		}
		var want bytes.Buffer
		if err := json.Compact(&want, data); err != nil {
			t.Fatal(err)
		}
		if compact := appendCompact(nil, v); !bytes.Equal(compact, want.Bytes()) {
			t.Fatalf("compact = %s, want %s", compact, want.Bytes())
		}
	})
}

// TestWrittenTasksAreReadBack makes documents of tasks and reads them.
func TestWrittenTasksAreReadBack(t *testing.T) {
	text := rapid.OneOf(rapid.StringMatching(`[a-z]{0,4}`), rapid.String())
	object := rapid.Custom(func(t *rapid.T) json.RawMessage {
		m := rapid.MapOfN(rapid.String(), rapid.Float64Range(-1e9, 1e9), 0, 3).Draw(t, "object")
		b, _ := json.Marshal(m)
		return b
	})
	rapid.Check(t, func(t *rapid.T) {
		indent := rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "indent")
		var docs []map[string]any
		var want []dag.Task
		for range rapid.IntRange(0, 5).Draw(t, "tasks") {
			w := dag.Task{
				Name: text.Draw(t, "name"), ID: text.Draw(t, "id"), ParentRef: text.Draw(t, "parent"), UserID: text.Draw(t, "user"),
				Priority: dag.Priority(rapid.IntRange(0, 3).Draw(t, "priority")), Inputs: object.Draw(t, "inputs"), Pool: text.Draw(t, "pool"),
				Repeatable: rapid.Bool().Draw(t, "repeatable"),
			}
			doc := map[string]any{
				"name": w.Name, "id": w.ID, "parent_id": w.ParentRef, "user_id": w.UserID, "priority": w.Priority, "inputs": w.Inputs,
				"pool": w.Pool, "repeatable": w.Repeatable, "status": "pending", "params": nil,
			}
			var deps []any
			for range rapid.IntRange(0, 3).Draw(t, "dependencies") {
				d := dag.Dependency{Ref: rapid.StringMatching(`[a-z]{1,4}`).Draw(t, "ref")}
				if d.Legacy = rapid.Bool().Draw(t, "as text"); d.Legacy {
					deps = append(deps, d.Ref)
				} else {
					d.Type, d.Optional = text.Draw(t, "type"), rapid.Bool().Draw(t, "optional")
					deps = append(deps, map[string]any{"id": d.Ref, "type": d.Type, "required": !d.Optional})
				}
				w.Dependencies = append(w.Dependencies, d)
			}
			doc["dependencies"] = deps
			docs, want = append(docs, doc), append(want, w)
		}
		if docs == nil {
			docs = []map[string]any{}
		}
		data, err := json.MarshalIndent(docs, "", indent)
		if err != nil {
			t.Fatal(err)
		}
		for way, tasks := range ways(string(data), Options{}) {
			got, err := collect(tasks)
			for i := range min(len(got), len(want)) { // key order and spelling of numbers are json's
				if e := same("inputs", got[i].Inputs, decodeAny(want[i].Inputs)); e != nil {
					t.Fatal(e)
				}
				got[i].Inputs = want[i].Inputs
			}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%s = %+v, %v\nwant %+v", way, got, err, want)
			}
		}
	})
}

func decodeAny(b []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	_ = d.Decode(&v)
	return v
}

// smallTask is what a benchmark's tree is made of.
const smallTask = `{"id":"%08x-0000-4000-8000-000000000000","name":"task %d","parent_id":"00000000-0000-4000-8000-000000000000",` +
	`"dependencies":[{"id":"%08x-0000-4000-8000-000000000000","required":true}],"inputs":{"url":"https://example.org/","n":1},` +
	`"schemas":{"method":"rest_executor"}}`

func BenchmarkRead(b *testing.B) {
	const n = 10_000
	var doc bytes.Buffer
	for i := range n {
		doc.WriteString("[,"[min(i, 1) : min(i, 1)+1])
		fmt.Fprintf(&doc, smallTask, i, i, max(0, i-1))
	}
	doc.WriteString("]")
	var known dag.Known
	known.Add("rest_executor", "http")
	b.SetBytes(int64(doc.Len()))
	b.ReportAllocs()
	for b.Loop() {
		got := 0
		for _, err := range Read(bytes.NewReader(doc.Bytes()), Options{Executors: known}) {
			if err != nil {
				b.Fatal(err)
			}
			got++
		}
		if got != n {
			b.Fatal(got)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "tasks/s")
}
