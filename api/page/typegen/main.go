// Command typegen writes the types of the service's messages, as they are in JSON, for the page's TypeScript: go generate ./api/page.
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

const head = `// Generated from the contracts in proto/taskgrove/v1 by "go generate ./api/page". Do not edit.
//
// Messages are as protojson has them: what is zero or empty is absent, 64-bit numbers and bytes (base64) are texts.

/** An instant as RFC 3339 has it. */
export type Timestamp = string;
/** Seconds with an s behind. */
export type Duration = string;
/** A 64-bit number. */
export type Int64 = string;
/** Base64. */
export type Bytes = string;
`

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "typegen: name the file to write")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], generate(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "typegen:", err)
		os.Exit(1)
	}
}

func generate() []byte {
	var files []protoreflect.FileDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage("taskgrove.v1", func(f protoreflect.FileDescriptor) bool {
		files = append(files, f)
		return true
	})
	slices.SortFunc(files, func(a, b protoreflect.FileDescriptor) int { return cmp.Compare(a.Path(), b.Path()) })
	var out, unary, streams bytes.Buffer
	out.WriteString(head)
	for _, f := range files {
		for m := range all(f.Messages()) {
			message(&out, m)
		}
		for s := range all(f.Services()) {
			for m := range all(s.Methods()) {
				to := &unary
				if m.IsStreamingServer() {
					to = &streams
				}
				if !m.IsStreamingClient() {
					fmt.Fprintf(to, "  '%s/%s': [%s, %s];\n", s.Name(), m.Name(), m.Input().Name(), m.Output().Name())
				}
			}
		}
	}
	fmt.Fprintf(&out, "\n/** Calls with one answer: the request and the answer of each. */\nexport interface Calls {\n%s}\n", &unary)
	fmt.Fprintf(&out, "\n/** Calls that are answered by a stream: the request, and one message of the answer. */\nexport interface Streams {\n%s}\n", &streams)
	return out.Bytes()
}

// all are the elements of a list of descriptors.
func all[D any](list interface {
	Len() int
	Get(int) D
}) func(func(D) bool) {
	return func(yield func(D) bool) {
		for i := range list.Len() {
			if !yield(list.Get(i)) {
				return
			}
		}
	}
}

func message(out *bytes.Buffer, m protoreflect.MessageDescriptor) {
	if m.IsMapEntry() {
		return
	}
	fmt.Fprintf(out, "\nexport interface %s {\n", m.Name())
	for f := range all(m.Fields()) {
		fmt.Fprintf(out, "  %s?: %s;\n", f.JSONName(), typeOf(f))
	}
	out.WriteString("}\n")
	for inner := range all(m.Messages()) {
		message(out, inner)
	}
}

func typeOf(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return "Record<string, " + single(f.MapValue()) + ">"
	case f.IsList():
		return single(f) + "[]"
	}
	return single(f)
}

func single(f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return "boolean"
	case protoreflect.StringKind:
		return "string"
	case protoreflect.BytesKind:
		return "Bytes"
	case protoreflect.Int64Kind, protoreflect.Uint64Kind, protoreflect.Sint64Kind, protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return "Int64"
	case protoreflect.EnumKind:
		return "string"
	case protoreflect.MessageKind, protoreflect.GroupKind:
		switch name := f.Message().FullName(); {
		case name == "google.protobuf.Timestamp" || name == "google.protobuf.Duration":
			return string(name.Name())
		case name == "google.protobuf.Struct":
			return "Record<string, unknown>"
		case strings.HasPrefix(string(name), "google.protobuf."):
			return "unknown"
		default:
			return string(name.Name())
		}
	}
	return "number"
}
