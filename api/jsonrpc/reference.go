package jsonrpc

import (
	"fmt"
	"reflect"
	"strings"
)

// Reference is the page docs/json-rpc.md, in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# JSON-RPC methods

<!-- Generated from the table in api/jsonrpc/methods.go: go generate ./api/jsonrpc -->

All methods of ` + "`POST /tasks` and `POST /system`" + `. [The protocol](protocol.md) has the envelope, the codes, streams and the objects in full.
Texts of errors are in ` + "`data`" + ` of -32602 up to the "…". Each method can also give the errors of
[the table of codes](protocol.md#errors).
`)
	path := ""
	for _, m := range Methods() {
		if m.Path != path {
			path = m.Path
			fmt.Fprintf(&b, "\n## POST %s\n", path)
		}
		m.write(&b)
	}
	return b.String()
}

func (m *Method) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n### %s\n\n%s", m.Name, m.Summary)
	if m.Ours {
		b.WriteString(" An addition to the protocol.")
	}
	b.WriteString("\n")
	if rows := fieldsOf(reflect.TypeOf(m.Params)); len(rows) > 0 {
		b.WriteString("\n| Parameter | Type | |\n|---|---|---|\n")
		for _, f := range rows {
			mark := ""
			if f.required {
				mark = "*"
			}
			fmt.Fprintf(b, "| `%s`%s | %s | %s |\n", f.name, mark, f.kind, f.effect)
		}
	}
	fmt.Fprintf(b, "\nResult: %s.\n", resultWord(reflect.TypeOf(m.Result)))
	if len(m.Errors) > 0 {
		b.WriteString("\nErrors:\n\n")
		for _, text := range m.Errors {
			fmt.Fprintf(b, "- `%s`\n", text)
		}
	}
}

type field struct {
	name, kind, effect string
	required           bool
}

// fieldsOf are the fields of a struct, those of embedded ones among them.
func fieldsOf(t reflect.Type) (all []field) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			all = append(all, fieldsOf(f.Type)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		all = append(all, field{name, kindWord(f.Type), f.Tag.Get("description"), f.Tag.Get("required") == "true"})
	}
	return all
}

// kindWord is a type in words of JSON.
func kindWord(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kindWord(t.Elem())
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "JSON"
		}
		return "array"
	case reflect.Interface:
		return "JSON"
	case reflect.Struct:
		if strings.HasSuffix(strings.ToLower(t.Name()), "time") {
			return "time"
		}
	}
	return "object"
}

// resultWord tells the keys of a result.
func resultWord(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return resultWord(t.Elem()) + ", or null"
	case reflect.Slice:
		return "an array; each element is " + resultWord(t.Elem())
	case reflect.Map:
		return "an object"
	}
	if t == reflect.TypeFor[task]() || t == reflect.TypeFor[node]() || t == reflect.TypeFor[copied]() {
		return map[string]string{"task": "a [task](protocol.md)", "node": "the root [task](protocol.md), with `children`",
			"copied": "the root [task](protocol.md) of the copy, with `children` and `copied_task_id`; a preview is `{\"tasks\": […], \"saved\": false}`"}[t.Name()]
	}
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			for _, one := range fieldsOf(inner) {
				names = append(names, "`"+one.name+"`")
			}
			continue
		}
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, "`"+name+"`")
		}
	}
	return "an object: " + strings.Join(names, ", ")
}
