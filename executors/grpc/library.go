package grpccall

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

const (
	maxDescriptorBytes = 8 << 20  // of one set of descriptors, or of the texts of one proto_file
	maxLibraryBytes    = 32 << 20 // of all that are kept
	reflectedFor       = 5 * time.Minute
)

// described are descriptors of a service and all that they need. They never change.
type described struct {
	files *protoregistry.Files
	types *dynamicpb.Types
	since time.Time
}

func newDescribed(files *protoregistry.Files) *described {
	return &described{files, dynamicpb.NewTypes(files), time.Now()}
}

// method finds a method. Its errors name what there is instead.
func (d *described) method(service protoreflect.FullName, name string) (protoreflect.MethodDescriptor, error) {
	found, err := d.files.FindDescriptorByName(service)
	s, ok := found.(protoreflect.ServiceDescriptor)
	if err != nil || !ok {
		var names []string
		d.files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
			for i := range f.Services().Len() {
				names = append(names, string(f.Services().Get(i).FullName()))
			}
			return true
		})
		return nil, invalid(fmt.Sprintf("service %s is not described%s", service, instead(names)))
	}
	m := s.Methods().ByName(protoreflect.Name(name))
	if m == nil {
		var names []string
		for i := range s.Methods().Len() {
			names = append(names, string(s.Methods().Get(i).Name()))
		}
		return nil, invalid(fmt.Sprintf("method: service %s has no method %q%s", service, name, instead(names)))
	}
	return m, nil
}

// instead is what else there is, for an error.
func instead(names []string) string {
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	more := ""
	if len(names) > 10 {
		names, more = names[:10], ", …"
	}
	return "; there is " + strings.Join(names, ", ") + more
}

// library keeps descriptors between attempts. Its zero value is ready to use; safe for concurrent use.
type library struct {
	mu    sync.Mutex
	books map[any]*book
	bytes int
}

type book struct {
	*described
	bytes int
	used  time.Time
}

// find gives what is kept under a key; nil: nothing.
func (l *library) find(key any) *described {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.books[key]
	if b == nil {
		return nil
	}
	b.used = time.Now()
	return b.described
}

// keep keeps descriptors that are made of so many bytes; those that were not used for longest go.
func (l *library) keep(key any, d *described, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(key)
	for l.bytes+size > maxLibraryBytes && len(l.books) > 0 {
		var oldest any
		for k, b := range l.books {
			if oldest == nil || b.used.Before(l.books[oldest].used) {
				oldest = k
			}
		}
		l.remove(oldest)
	}
	if l.books == nil {
		l.books = map[any]*book{}
	}
	l.books[key] = &book{d, size, time.Now()}
	l.bytes += size
}

// forget drops what is kept under a key.
func (l *library) forget(key any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(key)
}

func (l *library) remove(key any) {
	if b := l.books[key]; b != nil {
		l.bytes -= b.bytes
		delete(l.books, key)
	}
}

// given are the descriptors that inputs bring along; nil: none.
func (l *library) given(in *input) (*described, error) {
	proto := bytes.TrimSpace(in.ProtoFile)
	if bytes.Equal(proto, []byte("null")) {
		proto = nil
	}
	switch {
	case in.DescriptorSet != "" && len(proto) > 0:
		return nil, errors.New("descriptor_set and proto_file can't both be given")
	case in.DescriptorSet != "":
		return l.read("descriptor_set", []byte(in.DescriptorSet), fromSet)
	case len(proto) > 0:
		return l.read("proto_file", proto, fromSource)
	}
	return nil, nil
}

// read gives the descriptors that a text stands for, read at most once while they are kept.
func (l *library) read(field string, text []byte, read func([]byte) (*protoregistry.Files, error)) (*described, error) {
	if len(text) > maxDescriptorBytes {
		return nil, fmt.Errorf("%s is larger than %d MiB", field, maxDescriptorBytes>>20)
	}
	key := [sha256.Size]byte(sha256.Sum256(append([]byte(field), text...)))
	if d := l.find(key); d != nil {
		return d, nil
	}
	files, err := read(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %.500s", field, err)
	}
	d := newDescribed(files)
	l.keep(key, d, len(text))
	return d, nil
}

// fromSet reads a FileDescriptorSet in base64.
func fromSet(text []byte) (*protoregistry.Files, error) {
	raw, err := unbase64(string(text))
	if err != nil {
		return nil, errors.New("not base64")
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(raw, &set); err != nil || len(set.File) == 0 {
		return nil, errors.New("not a FileDescriptorSet")
	}
	return protodesc.NewFiles(withStandard(&set))
}

// withStandard adds the [standardFiles] that a set imports and does not have.
func withStandard(set *descriptorpb.FileDescriptorSet) *descriptorpb.FileDescriptorSet {
	has := map[string]bool{}
	for _, f := range set.File {
		has[f.GetName()] = true
	}
	for i := 0; i < len(set.File); i++ { // it grows
		for _, name := range set.File[i].Dependency {
			if known, err := (standardFiles{}).FindFileByPath(name); err == nil && !has[name] {
				has[name] = true
				set.File = append(set.File, protodesc.ToFileDescriptorProto(known))
			}
		}
	}
	return set
}

// fromSource compiles .proto files: the JSON string of one, or an object of them.
func fromSource(text []byte) (*protoregistry.Files, error) {
	sources := map[string]string{}
	var one string
	if json.Unmarshal(text, &one) == nil {
		sources["proto_file.proto"] = one
	} else if err := json.Unmarshal(text, &sources); err != nil {
		return nil, errors.New("must be a text, or an object of texts")
	}
	var names []string
	for name := range sources {
		names = append(names, name)
	}
	slices.Sort(names)
	compiler := &protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: func(path string) (io.ReadCloser, error) {
			if source, ok := sources[path]; ok {
				return io.NopCloser(strings.NewReader(source)), nil
			}
			return nil, errors.New("it is not among the files given")
		}}),
		MaxParallelism: 1,
		Reporter:       reporter.NewReporter(nil, nil), // the first error ends it
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	compiled, err := compiler.Compile(ctx, names...)
	if err != nil {
		return nil, err
	}
	files := &protoregistry.Files{}
	for _, f := range compiled {
		if err := register(files, f); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// register adds a file and all that it imports.
func register(files *protoregistry.Files, f protoreflect.FileDescriptor) error {
	if f.IsPlaceholder() {
		return nil
	}
	if _, err := files.FindFileByPath(f.Path()); err == nil {
		return nil
	}
	for i := range f.Imports().Len() {
		if err := register(files, f.Imports().Get(i).FileDescriptor); err != nil {
			return err
		}
	}
	return files.RegisterFile(f)
}
