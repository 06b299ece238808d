package grpccall_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	grpccall "github.com/taskgrove/taskgrove/executors/grpc"
)

func TestTLS(t *testing.T) {
	home, stranger := newAuthority(t), newAuthority(t)
	cert, key := home.issue(t, "greeter.test")
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(home.cert)
	open := serve(t, byV1, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}})))
	mutual := serve(t, byV1, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients})))
	ownCert, ownKey := home.issue(t, "client")
	strangeCert, strangeKey := stranger.issue(t, "client")
	trusting := func(more object) object {
		options := object{"ca": home.PEM, "server_name": "greeter.test"}
		for name, value := range more {
			options[name] = value
		}
		return object{"tls": options}
	}
	for name, row := range map[string]struct {
		g    *greeter
		more object
		want string // of the error; empty: none
	}{
		"its authority is known":          {open, trusting(nil), ""},
		"nobody asks":                     {open, object{"tls": object{"insecure_skip_verify": true}}, ""},
		"grpcs:// too":                    {open, object{"server": "grpcs://" + open.addr, "tls": object{"insecure_skip_verify": true}}, ""},
		"its authority is unknown":        {open, object{"tls": true}, "certificate"},
		"of another authority":            {open, trusting(object{"ca": stranger.PEM}), "certificate signed by unknown authority"},
		"of another name":                 {open, trusting(object{"server_name": "other.test"}), "certificate is valid for greeter.test, not other.test"},
		"mutual":                          {mutual, trusting(object{"cert": ownCert, "key": ownKey}), ""},
		"mutual without a certificate":    {mutual, trusting(nil), "UNAVAILABLE: "},
		"mutual with a stranger's":        {mutual, trusting(object{"cert": strangeCert, "key": strangeKey}), "UNAVAILABLE: "},
		"a client without, a server with": {open, object{}, "UNAVAILABLE: "},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := run(t, newExecutor(t, grpccall.Config{}), row.g.hello("SayHello", row.more))
			switch {
			case row.want == "" && (err != nil || string(got.Response) != `{"message":"hello Ada"}`):
				t.Errorf("got %v, %v", got, err)
			case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want) || !strings.HasPrefix(err.Error(), "UNAVAILABLE: ")):
				t.Errorf("got %v, want %s", err, row.want)
			case strings.Contains(row.want, "certificate") && !executors.IsPermanent(err):
				t.Errorf("%v would be retried", err)
			}
		})
	}
}

func TestAttemptsShareAConnection(t *testing.T) {
	g := serve(t, byV1)
	e := newExecutor(t, grpccall.Config{})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 5 {
				if _, err := run(t, e, g.hello("SayHello", nil)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := g.listener.accepted.Load(); got != 1 {
		t.Errorf("%d connections", got)
	}
}

// TestPoolsDoNotShare: what one may reach, another may not.
func TestPoolsDoNotShare(t *testing.T) {
	g := serve(t, byV1)
	e := newExecutor(t, grpccall.Config{})
	for _, pool := range []string{"a", "b", "a"} {
		call, _ := conformance.Call(t, g.hello("SayHello", nil))
		call.Pool = pool
		if _, err := e.Run(t.Context(), call); err != nil {
			t.Fatal(err)
		}
	}
	if got := g.listener.accepted.Load(); got != 2 {
		t.Errorf("%d connections, want 2", got)
	}
}

func TestAServerThatComesBackIsFound(t *testing.T) {
	g := serve(t, byV1)
	e := newExecutor(t, grpccall.Config{})
	in := g.hello("SayHello", nil)
	if _, err := run(t, e, in); err != nil {
		t.Fatal(err)
	}
	g.server.Stop()
	if _, err := run(t, e, in); err == nil || !strings.HasPrefix(err.Error(), "UNAVAILABLE: ") || executors.IsPermanent(err) {
		t.Errorf("while it is away: got %v", err)
	}
	l, err := net.Listen("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, byV1)
	if got, err := run(t, e, in); err != nil || string(got.Response) != `{"message":"hello Ada"}` { // at once, without a pause of gRPC's own
		t.Errorf("when it is back: got %v, %v", got, err)
	}
}

func TestMoreServersThanConnectionsAreKept(t *testing.T) {
	g := serve(t, byV1)
	e := newExecutor(t, grpccall.Config{})
	for i := range 70 {
		call, _ := conformance.Call(t, g.hello("SayHello", nil))
		call.Pool = string(rune('0' + i)) // each has a connection of its own
		if _, err := e.Run(t.Context(), call); err != nil {
			t.Fatal(err)
		}
	}
	if got := g.listener.accepted.Load(); got != 70 {
		t.Errorf("%d connections", got)
	}
	for range 2 { // the last one is kept
		call, _ := conformance.Call(t, g.hello("SayHello", nil))
		call.Pool = string(rune('0' + 69))
		if _, err := e.Run(t.Context(), call); err != nil {
			t.Fatal(err)
		}
	}
	if got := g.listener.accepted.Load(); got != 70 {
		t.Errorf("%d connections after two more calls", got)
	}
}

func TestGuard(t *testing.T) {
	g := serve(t, byV1)
	socket, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	onSocket := serveOn(t, socket, byV1)
	e := grpccall.New(grpccall.Config{}, nil) // with every guard on
	defer e.Close()
	for _, in := range []object{g.hello("SayHello", nil), onSocket.hello("SayHello", object{"server": "unix:" + onSocket.addr})} {
		if _, err := run(t, e, in); !executors.IsPermanent(err) || !strings.Contains(err.Error(), "not allowed") {
			t.Errorf("got %v, want a permanent refusal", err)
		}
		call, _ := conformance.Call(t, in)
		call.Connection = "by the operator"
		if _, err := e.Run(t.Context(), call); err != nil {
			t.Errorf("by a connection: got %v", err)
		}
	}
	for _, addr := range []string{"169.254.169.254:80", "[fe80::1]:80", "0.0.0.0:1"} {
		call, _ := conformance.Call(t, g.hello("SayHello", object{"server": addr}))
		call.Connection = "by the operator"
		if _, err := e.Run(t.Context(), call); !executors.IsPermanent(err) {
			t.Errorf("%s: got %v, want a permanent refusal", addr, err)
		}
	}
}

// TestDescriptorsFollowTheServer: a server that was replaced by another version is asked again.
func TestDescriptorsFollowTheServer(t *testing.T) {
	g := serve(t, byV1)
	e := newExecutor(t, grpccall.Config{})
	if _, err := run(t, e, g.hello("SayHello", nil)); err != nil {
		t.Fatal(err)
	}
	_, err := run(t, e, g.hello("SayHello", object{"request": object{"nome": 1}}))
	if err == nil || !strings.Contains(err.Error(), "unknown field") || errors.Is(err, executors.ErrTimeout) {
		t.Errorf("got %v", err)
	}
	if asked := g.reflections.Load(); asked != 2 {
		t.Errorf("the server was asked %d times, want at first and for the field that nobody knew", asked)
	}
}
