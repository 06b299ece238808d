package main

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// contract is the package that the reference of gRPC is made of, and first is the file of it that comes first.
const (
	contract = "taskgrove/v1"
	first    = contract + "/taskgrove.proto"
)

// contractFiles are the files of the contract, in the order of the page.
func contractFiles(protos string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(protos, filepath.FromSlash(contract), "*.proto"))
	if err != nil {
		return nil, err
	}
	names := []string{first}
	for _, path := range found { // sorted
		if name := contract + "/" + filepath.Base(path); name != first {
			names = append(names, name)
		}
	}
	return names, nil
}

// grpcReference is a page of the contract's calls and messages, in the words of its comments. protos is the directory of the contracts.
func grpcReference(protos string) ([]byte, error) {
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{protos}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	names, err := contractFiles(protos)
	if err != nil {
		return nil, err
	}
	files, err := compiler.Compile(context.Background(), names...)
	if err != nil {
		return nil, err
	}
	page := &reference{}
	page.line("# gRPC reference")
	page.line("")
	page.line("Made of [%s](../proto/%s). [gRPC, Connect and JSON](grpc.md) says how to call it. In JSON names are written `asThis`, or as here; 64-bit numbers are text,", contract, contract)
	page.line("bytes are base64, durations are `\"1.5s\"`, times `\"2026-01-31T12:00:00Z\"`.")
	page.line("")
	page.line("## Calls")
	for _, file := range files {
		for i := range file.Services().Len() {
			page.service(file.Services().Get(i))
		}
	}
	page.line("")
	page.line("## Messages")
	for _, file := range files {
		for i := range file.Messages().Len() {
			page.message(file.Messages().Get(i))
		}
	}
	return []byte(page.String()), nil
}

type reference struct{ strings.Builder }

func (r *reference) line(text string, args ...any) { fmt.Fprintf(r, text+"\n", args...) }

func (r *reference) service(s protoreflect.ServiceDescriptor) {
	r.line("")
	r.line("%s", r.comment(s))
	r.line("")
	r.line("| call of `%s` | takes | answers | |", s.FullName())
	r.line("|---|---|---|---|")
	for i := range s.Methods().Len() {
		m := s.Methods().Get(i)
		r.line("| `%s` | %s | %s | %s |", m.Name(), streamed(m.IsStreamingClient(), r.link(m.Input())), streamed(m.IsStreamingServer(), r.link(m.Output())), r.comment(m))
	}
}

func streamed(is bool, text string) string {
	if is {
		return "stream of " + text
	}
	return text
}

func (r *reference) message(m protoreflect.MessageDescriptor) {
	r.line("")
	r.line("### %s", m.Name())
	if text := r.comment(m); text != "" {
		r.line("")
		r.line("%s", text)
	}
	if m.Fields().Len() == 0 {
		r.line("")
		r.line("No fields.")
		return
	}
	r.line("")
	r.line("| field | type | |")
	r.line("|---|---|---|")
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		r.line("| `%s` = %d | %s | %s |", f.Name(), f.Number(), r.kind(f), r.comment(f))
	}
}

// kind is a field's type in words.
func (r *reference) kind(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return "map of " + r.kind(f.MapKey()) + " to " + r.kind(f.MapValue())
	case f.IsList():
		return "list of " + r.single(f)
	case f.HasOptionalKeyword():
		return "optional " + r.single(f)
	}
	return r.single(f)
}

func (r *reference) single(f protoreflect.FieldDescriptor) string {
	if f.Message() != nil {
		return r.link(f.Message())
	}
	return f.Kind().String()
}

// link leads to a message of the contract; others are known by their names.
func (r *reference) link(m protoreflect.MessageDescriptor) string {
	if path.Dir(m.ParentFile().Path()) != contract {
		return "`" + string(m.FullName()) + "`"
	}
	return fmt.Sprintf("[%s](#%s)", m.Name(), strings.ToLower(string(m.Name())))
}

// comment is what the contract says of something, before it or behind it, in one line.
func (r *reference) comment(d protoreflect.Descriptor) string {
	at := d.ParentFile().SourceLocations().ByDescriptor(d)
	text := strings.Join(strings.Fields(at.LeadingComments+" "+at.TrailingComments), " ")
	return strings.ReplaceAll(text, "|", `\|`)
}
