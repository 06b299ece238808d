package grpccall_test

import (
	"crypto/tls"
	"encoding/json"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/taskgrove/taskgrove/executors/conformance"
	grpccall "github.com/taskgrove/taskgrove/executors/grpc"
)

// TestExamples runs the examples against a server of the test's own, in place of theirs.
func TestExamples(t *testing.T) {
	home := newAuthority(t)
	cert, key := home.issue(t, "greeter.example.com")
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	secure := serve(t, byV1, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}})))
	plain := serve(t, byNone)
	e := newExecutor(t, grpccall.Config{})
	for _, example := range e.Describe().Examples {
		var in object
		if err := json.Unmarshal(example.Inputs, &in); err != nil {
			t.Fatal(err)
		}
		if in["server"] == "grpcs://greeter.example.com" {
			in["server"], in["tls"] = "grpcs://"+secure.addr, object{"ca": home.PEM, "server_name": "greeter.example.com"}
		} else {
			in["server"] = plain.addr
		}
		if got, err := run(t, e, in); err != nil || string(got.Response) != `{"message":"hello Ada"}` {
			t.Errorf("%s: got %+v, %v", example.Title, got, err)
		}
	}
}

// BenchmarkCall measures an attempt on a warm connection, beside the bare call that it makes.
func BenchmarkCall(b *testing.B) {
	g := serve(b, byV1)
	e := newExecutor(b, grpccall.Config{})
	call, _ := conformance.Call(b, g.hello("SayHello", nil))
	b.Run("executor", func(b *testing.B) {
		for b.Loop() {
			if _, err := e.Run(b.Context(), call); err != nil {
				b.Fatal(err)
			}
			<-g.seen
		}
	})
	b.Run("bare", func(b *testing.B) {
		cc, err := grpc.NewClient(g.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		defer cc.Close()
		for b.Loop() {
			in, out := g.message("HelloRequest"), g.message("HelloReply")
			if err := cc.Invoke(b.Context(), "/helloworld.Greeter/SayHello", in, out); err != nil {
				b.Fatal(err)
			}
			<-g.seen
		}
	})
}
