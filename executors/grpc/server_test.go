package grpccall_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// greeterProto is the service that the tests call.
const greeterProto = `syntax = "proto3";
package helloworld;
import "google/protobuf/any.proto";
import "google/protobuf/timestamp.proto";
service Greeter {
  rpc SayHello(HelloRequest) returns (HelloReply);
  rpc Count(HelloRequest) returns (stream HelloReply);
  rpc Gather(stream HelloRequest) returns (HelloReply);
  rpc Chat(stream HelloRequest) returns (stream HelloReply);
}
message HelloRequest {
  string name = 1;
  int32 count = 2;
  string do = 3; // wait, fail, large, nul, any
  int32 code = 4;
  google.protobuf.Any thing = 5;
}
message HelloReply {
  string message = 1;
  int64 number = 2;
  google.protobuf.Timestamp at = 3;
  google.protobuf.Any thing = 4;
  HelloReply inner = 5;
}
message Thing { int32 size = 1; }
`

// greeter serves helloworld.Greeter. Its types are dynamic, as those of the executor are.
type greeter struct {
	file     protoreflect.FileDescriptor
	addr     string
	listener *countingListener
	server   *grpc.Server

	began chan context.Context // of each call that waits; its context ends with it
	seen  chan metadata.MD     // of each call but those of reflection; the last one
	left  atomic.Int64         // time that the last call had

	reflections atomic.Int32 // streams of reflection
}

// countingListener counts connections.
type countingListener struct {
	net.Listener
	accepted atomic.Int32
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return c, err
}

func compiled(t testing.TB) protoreflect.FileDescriptor {
	t.Helper()
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"hello.proto": greeterProto})})}
	files, err := compiler.Compile(t.Context(), "hello.proto")
	if err != nil {
		t.Fatal(err)
	}
	return files[0]
}

// descriptorSet is what protoc --descriptor_set_out writes.
func descriptorSet(t testing.TB) []byte {
	t.Helper()
	raw, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(compiled(t))}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// how a server is reflected.
type reflected string

const (
	byV1      reflected = "v1"
	byV1alpha reflected = "v1alpha"
	byNone    reflected = "none"
)

// serve starts a greeter on a free port, which ends with the test.
func serve(t testing.TB, by reflected, opts ...grpc.ServerOption) *greeter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, by, opts...)
}

func serveOn(t testing.TB, l net.Listener, by reflected, opts ...grpc.ServerOption) *greeter {
	g := &greeter{file: compiled(t), addr: l.Addr().String(), listener: &countingListener{Listener: l},
		began: make(chan context.Context, 100), seen: make(chan metadata.MD, 1)}
	count := func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		if strings.HasPrefix(info.FullMethod, "/grpc.reflection.") {
			g.reflections.Add(1)
		}
		return handle(srv, stream)
	}
	g.server = grpc.NewServer(append(opts, grpc.StreamInterceptor(count))...)
	g.server.RegisterService(g.desc(), g)
	files := &protoregistry.Files{}
	for i := range g.file.Imports().Len() {
		if err := files.RegisterFile(g.file.Imports().Get(i).FileDescriptor); err != nil {
			t.Fatal(err)
		}
	}
	if err := files.RegisterFile(g.file); err != nil {
		t.Fatal(err)
	}
	ropts := reflection.ServerOptions{Services: g.server, DescriptorResolver: files}
	switch by {
	case byV1:
		reflectionv1.RegisterServerReflectionServer(g.server, reflection.NewServerV1(ropts))
	case byV1alpha:
		reflectionv1alpha.RegisterServerReflectionServer(g.server, reflection.NewServer(ropts))
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = g.server.Serve(g.listener) }()
	t.Cleanup(func() { g.server.Stop(); <-done })
	return g
}

// desc describes the service to the server.
func (g *greeter) desc() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "helloworld.Greeter", HandlerType: (*any)(nil), Metadata: "hello.proto",
		Streams: []grpc.StreamDesc{
			{StreamName: "SayHello", Handler: g.handle},
			{StreamName: "Count", ServerStreams: true, Handler: g.handle},
			{StreamName: "Gather", ClientStreams: true, Handler: g.handle},
			{StreamName: "Chat", ServerStreams: true, ClientStreams: true, Handler: g.handle},
		},
	}
}

func (g *greeter) message(name protoreflect.Name) *dynamicpb.Message {
	return dynamicpb.NewMessage(g.file.Messages().ByName(name))
}

func text(m *dynamicpb.Message, field protoreflect.Name) string {
	return m.Get(m.Descriptor().Fields().ByName(field)).String()
}

func number(m *dynamicpb.Message, field protoreflect.Name) int64 {
	return m.Get(m.Descriptor().Fields().ByName(field)).Int()
}

func (g *greeter) reply(message string, number int64) *dynamicpb.Message {
	m := g.message("HelloReply")
	fields := m.Descriptor().Fields()
	m.Set(fields.ByName("message"), protoreflect.ValueOfString(message))
	m.Set(fields.ByName("number"), protoreflect.ValueOfInt64(number))
	return m
}

// handle serves all methods: answers are told by what the request asks to do.
func (g *greeter) handle(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	md, _ := metadata.FromIncomingContext(stream.Context())
	select {
	case <-g.seen:
	default:
	}
	g.seen <- md
	if deadline, ok := stream.Context().Deadline(); ok {
		g.left.Store(int64(time.Until(deadline)))
	}
	_ = stream.SetHeader(metadata.Pairs("x-header", "a", "x-header", "b", "x-raw-bin", "\x00\xff"))
	stream.SetTrailer(metadata.Pairs("x-trailer", "c"))
	var names []string
	for {
		in := g.message("HelloRequest")
		if err := stream.RecvMsg(in); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		names = append(names, text(in, "name"))
		if err := g.do(stream, method, in); err != nil {
			return err
		}
		if method == "/helloworld.Greeter/Chat" {
			if err := stream.SendMsg(g.reply("hello "+text(in, "name"), int64(len(names)))); err != nil {
				return err
			}
		}
		if method == "/helloworld.Greeter/SayHello" || method == "/helloworld.Greeter/Count" {
			return nil
		}
	}
	if method == "/helloworld.Greeter/Gather" {
		return stream.SendMsg(g.reply("hello "+strings.Join(names, ", "), int64(len(names))))
	}
	return nil
}

// do answers one request.
func (g *greeter) do(stream grpc.ServerStream, method string, in *dynamicpb.Message) error {
	if code := codes.Code(number(in, "code")); code != codes.OK {
		return refusal(code, text(in, "name"))
	}
	out := g.reply("hello "+text(in, "name"), number(in, "count"))
	fields := out.Descriptor().Fields()
	switch text(in, "do") {
	case "wait":
		if method == "/helloworld.Greeter/Count" {
			if err := stream.SendMsg(out); err != nil {
				return err
			}
		}
		g.began <- stream.Context()
		<-stream.Context().Done()
		return stream.Context().Err()
	case "large":
		out.Set(fields.ByName("message"), protoreflect.ValueOfString(strings.Repeat("x", int(number(in, "count")))))
	case "nul":
		out.Set(fields.ByName("message"), protoreflect.ValueOfString("a\x00b"))
	case "any":
		thing := out.Mutable(fields.ByName("thing")).Message()
		of := thing.Descriptor().Fields()
		thing.Set(of.ByName("type_url"), protoreflect.ValueOfString("type.googleapis.com/"+text(in, "name")))
		thing.Set(of.ByName("value"), protoreflect.ValueOfBytes([]byte{8, 7}))
	}
	switch method {
	case "/helloworld.Greeter/SayHello":
		return stream.SendMsg(out)
	case "/helloworld.Greeter/Count":
		for i := range number(in, "count") {
			if err := stream.SendMsg(g.reply("hello", i+1)); err != nil {
				return err
			}
		}
	}
	return nil
}

// refusal is a status; of UNAVAILABLE and INVALID_ARGUMENT, with details.
func refusal(code codes.Code, message string) error {
	st := status.New(code, message)
	var err error
	switch code {
	case codes.Unavailable:
		st, err = st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(90 * time.Second)})
	case codes.InvalidArgument:
		st, err = st.WithDetails(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "name", Description: "too short"}}})
	}
	if err != nil {
		return err
	}
	return st.Err()
}

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	PEM  string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tests"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))}
}

// issue makes a certificate for a name, as PEM.
func (a *authority) issue(t testing.TB, name string) (cert, key string) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, own.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
