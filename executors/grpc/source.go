package grpccall

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jhump/protoreflect/v2/grpcreflect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/taskgrove/taskgrove/executors"
)

// source knows the types of one attempt: by its inputs, or by asking the server.
type source struct {
	ctx    context.Context
	plan   *plan
	conn   *connection
	lib    *library
	known  *described
	client *grpcreflect.Client // nil: the server was not asked in this attempt
	left   int                 // bytes of descriptors that the server may still send
	others map[string]protoreflect.MessageType
}

func newSource(ctx context.Context, e *Executor, p *plan, conn *connection) *source {
	return &source{ctx: metadata.NewOutgoingContext(ctx, p.metadata), plan: p, conn: conn, lib: &e.library, known: p.given,
		left: maxDescriptorBytes, others: map[string]protoreflect.MessageType{}}
}

// close ends what the server was asked.
func (s *source) close() {
	if s.client != nil {
		s.client.Reset()
	}
}

// key is what reflected descriptors are kept by.
type key struct {
	peer    peer
	service protoreflect.FullName
}

func (s *source) key() key { return key{s.conn.peer, s.plan.service} }

// method finds the method that the inputs name.
func (s *source) method() (protoreflect.MethodDescriptor, error) {
	if s.plan.given != nil {
		return s.known.method(s.plan.service, s.plan.in.Method)
	}
	if s.known = s.lib.find(s.key()); s.known != nil && time.Since(s.known.since) < reflectedFor {
		if m, err := s.known.method(s.plan.service, s.plan.in.Method); err == nil {
			return m, nil
		}
	}
	if err := s.reflect(); err != nil {
		return nil, err
	}
	return s.known.method(s.plan.service, s.plan.in.Method)
}

// again asks the server once more, which may have changed since it was asked. It reports false if it was asked in this attempt, or is not
// to be asked.
func (s *source) again() bool {
	return s.plan.given == nil && s.client == nil && s.reflect() == nil
}

// doubt forgets descriptors after a call failed in a way in which calls fail whose descriptors are those of another version.
func (s *source) doubt(err error) {
	if code := status.Code(err); code == codes.Unimplemented || code == codes.Internal {
		s.lib.forget(s.key())
	}
}

// reflect asks the server for the service.
func (s *source) reflect() error {
	file, err := s.ask().FileContainingSymbol(s.plan.service)
	if err != nil {
		return s.reflectError(err)
	}
	files := &protoregistry.Files{}
	if err := register(files, file); err != nil {
		return executors.Permanent(fmt.Errorf("reflection: %.500w", err))
	}
	s.known = newDescribed(files)
	s.lib.keep(s.key(), s.known, maxDescriptorBytes-s.left)
	return nil
}

// ask is the client for reflection, of version v1, or v1alpha where the server has only that.
func (s *source) ask() *grpcreflect.Client {
	if s.client == nil {
		s.client = grpcreflect.NewClientAuto(s.ctx, limited{s.conn, &s.left},
			grpcreflect.WithAllowMissingFileDescriptors(), grpcreflect.WithFallbackResolvers(standardFiles{}, protoregistry.GlobalTypes))
	}
	return s.client
}

func (s *source) reflectError(err error) error {
	if grpcreflect.IsElementNotFoundError(err) {
		var names []string
		if services, err := s.ask().ListServices(); err == nil {
			for _, name := range services {
				names = append(names, string(name))
			}
		}
		return invalid(fmt.Sprintf("service %s is unknown to the server%s", s.plan.service, instead(names)))
	}
	st, ok := status.FromError(err)
	switch {
	case ok && st.Code() == codes.Unimplemented:
		return invalid("the server has no reflection: give descriptor_set or proto_file")
	case ok:
		return status.Error(st.Code(), "reflection: "+st.Message())
	}
	return executors.Permanent(fmt.Errorf("reflection: %w", err))
}

// standardFiles are those that come with protobuf and gRPC. Some servers import them and don't send them.
type standardFiles struct{}

// FindFileByPath implements [protodesc.Resolver].
func (standardFiles) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if !strings.HasPrefix(path, "google/") {
		return nil, protoregistry.NotFound
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

// FindDescriptorByName implements [protodesc.Resolver]. What services there are, only the server knows.
func (standardFiles) FindDescriptorByName(protoreflect.FullName) (protoreflect.Descriptor, error) {
	return nil, protoregistry.NotFound
}

// FindMessageByURL implements [protoregistry.MessageTypeResolver] for messages of type Any. It knows every type: of one that nobody can
// describe, the bytes are shown.
func (s *source) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	if t, err := s.known.types.FindMessageByURL(url); err == nil {
		return t, nil
	}
	if t, err := protoregistry.GlobalTypes.FindMessageByURL(url); err == nil {
		return t, nil
	}
	if t, ok := s.others[url]; ok {
		return t, nil
	}
	var found protoreflect.MessageType = opaque{}
	if name := protoreflect.FullName(url[strings.LastIndexByte(url, '/')+1:]); s.plan.given == nil && name.IsValid() {
		if file, err := s.ask().FileContainingSymbol(name); err == nil {
			found = dynamic(file, name)
		}
	}
	if len(s.others) < 100 {
		s.others[url] = found
	}
	return found, nil
}

// strict is the source for messages that are sent: nothing can be sent of a type that nobody can describe.
type strict struct{ *source }

// FindMessageByURL implements [protoregistry.MessageTypeResolver].
func (s strict) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	t, err := s.source.FindMessageByURL(url)
	if _, nobody := t.(opaque); nobody {
		return nil, protoregistry.NotFound
	}
	return t, err
}

// dynamic is the type of a message in a file.
func dynamic(file protoreflect.FileDescriptor, name protoreflect.FullName) protoreflect.MessageType {
	files := &protoregistry.Files{}
	if register(files, file) == nil {
		if t, err := dynamicpb.NewTypes(files).FindMessageByName(name); err == nil {
			return t
		}
	}
	return opaque{}
}

// FindMessageByName implements [protoregistry.MessageTypeResolver].
func (s *source) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	return s.known.types.FindMessageByName(name)
}

// FindExtensionByName implements [protoregistry.ExtensionTypeResolver].
func (s *source) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return s.known.types.FindExtensionByName(name)
}

// FindExtensionByNumber implements [protoregistry.ExtensionTypeResolver].
func (s *source) FindExtensionByNumber(message protoreflect.FullName, number protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return s.known.types.FindExtensionByNumber(message, number)
}

// limited is a connection that takes so many bytes of messages and no more.
type limited struct {
	grpc.ClientConnInterface
	left *int
}

// NewStream implements [grpc.ClientConnInterface].
func (l limited) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := l.ClientConnInterface.NewStream(ctx, desc, method, opts...)
	return limitedStream{stream, l.left}, err
}

type limitedStream struct {
	grpc.ClientStream
	left *int
}

var errTooLarge = errors.New("the server describes its services in more than 8 MiB: give descriptor_set or proto_file")

// RecvMsg implements [grpc.ClientStream].
func (l limitedStream) RecvMsg(m any) error {
	err := l.ClientStream.RecvMsg(m)
	if message, ok := m.(proto.Message); ok && err == nil {
		if *l.left -= proto.Size(message); *l.left < 0 {
			return errTooLarge
		}
	}
	return err
}
