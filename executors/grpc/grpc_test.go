package grpccall_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	grpccall "github.com/taskgrove/taskgrove/executors/grpc"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/internal/porttest"
)

type object map[string]any

// local is a network in which the tests' servers may be reached.
func local() *network.Network {
	return network.New(network.Config{Guard: network.Guard{Loopback: true}})
}

func newExecutor(t testing.TB, cfg grpccall.Config) *grpccall.Executor {
	e := grpccall.New(cfg, local())
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// hello are the inputs of a call, with others.
func (g *greeter) hello(method string, more object) object {
	in := object{"server": g.addr, "service": "helloworld.Greeter", "method": method, "request": object{"name": "Ada"}}
	for name, value := range more {
		if in[name] = value; value == nil {
			delete(in, name)
		}
	}
	return in
}

func run(t testing.TB, e *grpccall.Executor, in any) (*grpccall.Result, error) {
	t.Helper()
	call, _ := conformance.Call(t, in)
	if err := inputs.NewChecker(0).Check(e.Describe(), call); err != nil {
		return nil, err
	}
	got, err := e.Run(t.Context(), call)
	result, _ := got.Value().(*grpccall.Result)
	return result, err
}

// TestDescriptorsComeFromWhereverTheyAreGiven makes the same call with each way to describe the service.
func TestDescriptorsComeFromWhereverTheyAreGiven(t *testing.T) {
	reflecting, old, mute := serve(t, byV1), serve(t, byV1alpha), serve(t, byNone)
	set := base64.StdEncoding.EncodeToString(descriptorSet(t))
	for name, row := range map[string]struct {
		g    *greeter
		more object
	}{
		"reflection v1":           {reflecting, object{}},
		"reflection v1alpha":      {old, object{}},
		"a descriptor set":        {mute, object{"descriptor_set": set}},
		"a proto file":            {mute, object{"proto_file": greeterProto}},
		"several proto files":     {mute, object{"proto_file": object{"a/greeter.proto": greeterProto, "b.proto": `syntax = "proto3"; import "a/greeter.proto";`}}},
		"grpc:// and white space": {reflecting, object{"server": " grpc://" + reflecting.addr}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := run(t, newExecutor(t, grpccall.Config{}), row.g.hello("SayHello", row.more))
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			server, ok := row.more["server"].(string)
			if !ok {
				server = row.g.addr
			}
			want := `{"success":true,"server":"` + strings.TrimSpace(server) + `","service":"helloworld.Greeter","method":"SayHello","request":{"name":"Ada"},` +
				`"response":{"message":"hello Ada"},"metadata":{"headers":{"content-type":"application/grpc","x-header":"a, b","x-raw-bin":"AP8="},"trailers":{"x-trailer":"c"}}}`
			if string(text) != want {
				t.Errorf("got  %s\nwant %s", text, want)
			}
		})
	}
}

func TestMethodsOfAllKinds(t *testing.T) {
	g := serve(t, byV1)
	e := newExecutor(t, grpccall.Config{})
	two := []object{{"name": "Ada"}, {"name": "Bob"}}
	for name, row := range map[string]struct {
		in        object
		want      string
		messages  int // -1: not a stream
		truncated bool
	}{
		"unary":                                  {g.hello("SayHello", nil), `{"message":"hello Ada"}`, -1, false},
		"with defaults":                          {g.hello("SayHello", object{"emit_defaults": true}), `{"message":"hello Ada","number":"0"}`, -1, false},
		"stream of answers":                      {g.hello("Count", object{"request": object{"count": 3}}), `[{"message":"hello","number":"1"},{"message":"hello","number":"2"},{"message":"hello","number":"3"}]`, 3, false},
		"no answers":                             {g.hello("Count", nil), `[]`, 0, false},
		"the first answers":                      {g.hello("Count", object{"request": object{"count": 1000000}, "max_messages": 1}), `[{"message":"hello","number":"1"}]`, 1, true},
		"stream of requests":                     {g.hello("Gather", object{"request": nil, "requests": two}), `{"message":"hello Ada, Bob","number":"2"}`, -1, false},
		"one of them":                            {g.hello("Gather", nil), `{"message":"hello Ada","number":"1"}`, -1, false},
		"none of them":                           {g.hello("Gather", object{"request": nil, "requests": []object{}}), `{"message":"hello "}`, -1, false},
		"both":                                   {g.hello("Chat", object{"request": nil, "requests": two}), `[{"message":"hello Ada","number":"1"},{"message":"hello Bob","number":"2"}]`, 2, false},
		"NUL can't be stored, and is replaced":   {g.hello("SayHello", object{"request": object{"do": "nul"}}), `{"message":"a\ufffdb"}`, -1, false},
		"an Any of a type that the server knows": {g.hello("SayHello", object{"request": object{"do": "any", "name": "helloworld.Thing"}}), `{"message":"hello helloworld.Thing","thing":{"@type":"type.googleapis.com/helloworld.Thing","size":7}}`, -1, false},
		"an Any of a type that nobody knows":     {g.hello("SayHello", object{"request": object{"do": "any", "name": "un.Known"}}), `{"message":"hello un.Known","thing":{"@type":"type.googleapis.com/un.Known","value":"CAc="}}`, -1, false},
		"an Any in the request":                  {g.hello("SayHello", object{"request": object{"thing": object{"@type": "x/helloworld.Thing", "size": 3}}}), `{"message":"hello "}`, -1, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := run(t, e, row.in)
			if err != nil {
				t.Fatal(err)
			}
			messages := -1
			if got.Messages != nil {
				messages = *got.Messages
			}
			if string(got.Response) != row.want || messages != row.messages || got.Truncated != row.truncated || got.TruncatedFields != nil {
				t.Errorf("got %s (%d, %v), want %s (%d, %v)", got.Response, messages, got.Truncated, row.want, row.messages, row.truncated)
			}
		})
	}
}

func TestAStreamIsLoggedAndBounded(t *testing.T) {
	g := serve(t, byV1)
	e := newExecutor(t, grpccall.Config{MaxMessageBytes: 4000})
	call, said := conformance.Call(t, g.hello("Count", object{"request": object{"count": 3000}}))
	got, err := e.Run(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	r := got.Value().(*grpccall.Result)
	if len(r.Response) > 4500 || len(r.Response) < 3500 || !r.Truncated || !slices.Equal(r.TruncatedFields, []string{"response"}) || *r.Messages != 3000 || r.Metadata.Trailers["x-trailer"] != "c" {
		t.Errorf("got %d bytes, truncated %v, %d messages, trailers %v", len(r.Response), r.Truncated, *r.Messages, r.Metadata.Trailers)
	}
	if lines := said.Lines(); len(lines) != 3000 || lines[2] != `log: {"message":"hello","number":"3"}` {
		t.Errorf("got %d lines, among them %q", len(lines), lines[:3])
	}
	if _, err := run(t, e, g.hello("SayHello", object{"request": object{"do": "large", "count": 5000}})); err == nil ||
		!strings.HasPrefix(err.Error(), "RESOURCE_EXHAUSTED: grpc: received message larger than max") || !executors.IsPermanent(err) {
		t.Errorf("a large answer: got %v", err)
	}
	if _, err := run(t, e, g.hello("SayHello", object{"request": object{"name": strings.Repeat("x", 5000)}})); err == nil ||
		err.Error() != "[grpc_executor] request: 5003 bytes are more than a message may have, 4000" {
		t.Errorf("a large request: got %v", err)
	}
	call, said = conformance.Call(t, g.hello("Count", object{"request": object{"count": 9}, "max_messages": 4}))
	if _, err := e.Run(t.Context(), call); err != nil || fmt.Sprint(said.Fractions()) != "[0.25 0.5 0.75 1]" {
		t.Errorf("got %v, progress %v", err, said.Fractions())
	}
}

func TestMetadataGoesBothWays(t *testing.T) {
	g := serve(t, byV1)
	e := newExecutor(t, grpccall.Config{})
	for name, row := range map[string]struct {
		more      object
		key, want string
	}{
		"text":                {object{"metadata": object{"X-Tenant": "acme"}}, "x-tenant", "[acme]"},
		"several":             {object{"metadata": object{"x-many": []string{"a", "b"}}}, "x-many", "[a b]"},
		"binary":              {object{"metadata": object{"x-raw-bin": "AP8"}}, "x-raw-bin", "[\x00\xff]"},
		"the attempt's key":   {nil, "idempotency-key", "[key-1]"},
		"its number":          {nil, "x-taskgrove-attempt", "[1]"},
		"a key of the task's": {object{"metadata": object{"idempotency-key": "own"}}, "idempotency-key", "[own]"},
		"credentials":         {object{"auth": object{"type": "bearer", "token": "t"}}, "authorization", "[Bearer t]"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := run(t, e, g.hello("SayHello", row.more)); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint((<-g.seen)[row.key]); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestStatusesAreClassed(t *testing.T) {
	g := serve(t, byV1)
	e := newExecutor(t, grpccall.Config{})
	retryable := map[codes.Code]bool{codes.Unavailable: true, codes.ResourceExhausted: true, codes.DeadlineExceeded: true, codes.Aborted: true,
		codes.Internal: true, codes.Unknown: true, codes.Canceled: true}
	names := strings.Fields("CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED " +
		"FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED")
	details := map[string]string{
		"UNAVAILABLE":      ` (google.rpc.RetryInfo {"retryDelay":"90s"})`,
		"INVALID_ARGUMENT": ` (google.rpc.BadRequest {"fieldViolations":[{"field":"name","description":"too short"}]})`,
	}
	for i, name := range names {
		code := codes.Code(i + 1)
		for _, method := range []string{"SayHello", "Count"} {
			_, err := run(t, e, g.hello(method, object{"request": object{"code": int(code), "name": "no luck"}}))
			want := name + ": no luck" + details[name]
			if err == nil || err.Error() != want || executors.IsPermanent(err) == retryable[code] {
				t.Errorf("%s: got %v (permanent: %v), want %s", method, err, executors.IsPermanent(err), want)
			}
			after := time.Duration(0)
			if code == codes.Unavailable {
				after = 90 * time.Second
			}
			if got := executors.RetryAfterOf(err); got != after {
				t.Errorf("%s: retry after %v, want %v", name, got, after)
			}
		}
	}
}

func TestInvalidInputs(t *testing.T) {
	g := serve(t, byV1)
	e := newExecutor(t, grpccall.Config{})
	mute := serve(t, byNone)
	for name, row := range map[string]struct {
		in   object
		want string
	}{
		"no server":                      {object{}, `server is required in inputs`},
		"no service":                     {object{"server": g.addr}, `service is required in inputs`},
		"no method":                      {object{"server": g.addr, "service": "a.B"}, `method is required in inputs`},
		"no request":                     {g.hello("SayHello", object{"request": nil}), `request is required in inputs`},
		"both":                           {g.hello("SayHello", object{"requests": []object{{}}}), `request and requests can't both be given`},
		"requests of a unary method":     {g.hello("SayHello", object{"request": nil, "requests": []object{{}}}), `requests: method SayHello takes one message: give request`},
		"another scheme":                 {g.hello("SayHello", object{"server": "http://x:1"}), `server must be host:port, grpc://host:port, grpcs://host:port or unix:/path`},
		"no port":                        {g.hello("SayHello", object{"server": "localhost"}), `server has no port: host:port is needed`},
		"a path":                         {g.hello("SayHello", object{"server": "grpc://x:1/y"}), `server must be host and port only`},
		"a user":                         {g.hello("SayHello", object{"server": "grpcs://me:hunter2@x"}), `server must be host and port only`},
		"several faults at once":         {g.hello("SayHello", object{"server": "x", "metadata": object{"grpc-timeout": "1S", "a b": "c"}, "proto_file": "x"}), `server has no port: host:port is needed; metadata: "a b" is not a name that can be sent; metadata: grpc-timeout is gRPC's own; proto_file: proto_file.proto:1:1: syntax error: unexpected identifier`},
		"an odd service":                 {g.hello("SayHello", object{"service": "a/b"}), `service is not the full name of a service`},
		"an unknown service":             {g.hello("SayHello", object{"service": "a.B"}), `service a.B is unknown to the server; there is grpc.reflection.v1.ServerReflection, helloworld.Greeter`},
		"an unknown method":              {g.hello("SayBye", nil), `method: service helloworld.Greeter has no method "SayBye"; there is Chat, Count, Gather, SayHello`},
		"a service that is not in a set": {g.hello("SayHello", object{"service": "a.B", "descriptor_set": base64.StdEncoding.EncodeToString(descriptorSet(t))}), `service a.B is not described; there is helloworld.Greeter`},
		"no reflection":                  {mute.hello("SayHello", nil), `the server has no reflection: give descriptor_set or proto_file`},
		"not a set":                      {g.hello("SayHello", object{"descriptor_set": "AAAA"}), `descriptor_set: not a FileDescriptorSet`},
		"not base64":                     {g.hello("SayHello", object{"descriptor_set": "!"}), `descriptor_set: not base64`},
		"a set and a file":               {g.hello("SayHello", object{"descriptor_set": "AAAA", "proto_file": "x"}), `descriptor_set and proto_file can't both be given`},
		"an import that is not there":    {g.hello("SayHello", object{"proto_file": `syntax = "proto3"; import "other.proto";`}), `proto_file: proto_file.proto:1:27: could not resolve path "other.proto": it is not among the files given`},
		"a file of the machine":          {g.hello("SayHello", object{"proto_file": `syntax = "proto3"; import "/etc/passwd";`}), `proto_file: proto_file.proto:1:27: could not resolve path "/etc/passwd": it is not among the files given`},
		"binary metadata":                {g.hello("SayHello", object{"metadata": object{"x-bin": "hunter2!"}}), `metadata: the value of x-bin must be base64`},
		"a header injection":             {g.hello("SayHello", object{"metadata": object{"x": "hunter2\r\n"}}), `metadata: the value of x can't be sent`},
		"plain text and TLS":             {g.hello("SayHello", object{"server": "grpc://" + g.addr, "tls": true}), `tls must not be set with grpc://, which is plain text: grpcs:// is not`},
		"TLS and not":                    {g.hello("SayHello", object{"server": "grpcs://x", "tls": false}), `tls must not be false with grpcs://`},
		"a key that is none":             {g.hello("SayHello", object{"tls": object{"cert": "x", "key": "hunter2"}}), `tls has a cert and a key in PEM that do not belong together or can't be read`},
		"a key alone":                    {g.hello("SayHello", object{"tls": object{"key": "hunter2"}}), `tls needs cert and key, or neither`},
		"an authority that is none":      {g.hello("SayHello", object{"tls": object{"ca": "x"}}), `tls has a ca without a certificate in PEM`},
		"an unknown field":               {g.hello("SayHello", object{"request": object{"nome": "hunter2"}}), `request: does not fit helloworld.HelloRequest: unknown field "nome"`},
		"a value of another type":        {g.hello("SayHello", object{"request": object{"count": "hunter2"}}), `request: does not fit helloworld.HelloRequest: invalid value for int32 field count`},
		"one of several messages":        {g.hello("Gather", object{"request": nil, "requests": []any{object{}, "hunter2"}}), `requests[1]: does not fit helloworld.HelloRequest: syntax error`},
		"no time at all":                 {g.hello("SayHello", object{"timeout": 0}), `Input validation failed for gRPC Executor: timeout: `},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(t, e, row.in)
			if err == nil || !strings.HasPrefix(err.Error(), "[grpc_executor] "+row.want) || !executors.IsPermanent(err) {
				t.Errorf("got  %v\nwant [grpc_executor] %s", err, row.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a value shows: %v", err)
			}
		})
	}
}

func TestTimeIsLimitedAndTheServerIsTold(t *testing.T) {
	g := serve(t, byV1)
	e := newExecutor(t, grpccall.Config{})
	if _, err := run(t, e, g.hello("SayHello", object{"timeout": 100})); err != nil {
		t.Fatal(err)
	}
	if left := time.Duration(g.left.Load()); left < 90*time.Second || left > 100*time.Second {
		t.Errorf("the server had %v", left)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	wait := object{"name": "Ada", "do": "wait"}
	for name, in := range map[string]object{
		"the call":   g.hello("SayHello", object{"request": wait, "timeout": 0.3}),
		"a stream":   g.hello("Count", object{"request": wait, "timeout": 0.3}),
		"connecting": g.hello("SayHello", object{"server": silent.Addr().String(), "timeout": 0.3}),
	} {
		_, err := run(t, e, in)
		// The server's clock may ring first: then it is the server's status.
		if err == nil || err.Error() != "DEADLINE_EXCEEDED: timeout after 0.3 seconds" && err.Error() != "DEADLINE_EXCEEDED: context deadline exceeded" || executors.IsPermanent(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestCancelEndsTheCall looks from the server's side whether anything is left.
func TestCancelEndsTheCall(t *testing.T) {
	g := serve(t, byV1)
	for _, method := range []string{"SayHello", "Count", "Chat", "Gather"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		e := newExecutor(t, grpccall.Config{})
		call, said := conformance.Call(t, g.hello(method, object{"request": object{"do": "wait"}}))
		ended := make(chan error, 1)
		var left any
		go func() {
			got, err := e.Run(ctx, call)
			left = got.Value()
			ended <- err
		}()
		at := <-g.began
		if method == "Count" {
			<-said.Logged(`log: {"message":"hello "}`)
		}
		cancel(executors.ErrCancelled)
		if err := <-ended; !errors.Is(err, executors.ErrCancelled) {
			t.Errorf("%s: got %v", method, err)
		}
		select {
		case <-at.Done():
		case <-time.After(time.Minute):
			t.Errorf("%s: the server's call goes on", method)
		}
		if r, ok := left.(*grpccall.Result); method == "Count" && (!ok || r.Success || string(r.Response) != `[{"message":"hello "}]`) {
			t.Errorf("%s: left is %+v", method, left)
		}
	}
}

func TestSecretsShowNowhere(t *testing.T) {
	g := serve(t, byV1)
	e := newExecutor(t, grpccall.Config{})
	const word = "hunter2-hunter2"
	for name, in := range map[string]object{
		"a server that repeats it": g.hello("SayHello", object{"metadata": object{"x-api-key": word}, "request": object{"code": 3, "name": "bad key " + word}}),
		"bearer":                   g.hello("SayHello", object{"auth": object{"type": "bearer", "token": word}, "request": object{"code": 16, "name": word}}),
		"basic":                    g.hello("SayHello", object{"auth": object{"type": "basic", "username": "me", "password": word}, "request": object{"code": 16, "name": word}}),
		"nobody there":             g.hello("SayHello", object{"server": porttest.Address(t), "auth": object{"type": "bearer", "token": word}}),
	} {
		if _, err := run(t, e, in); err == nil || strings.Contains(err.Error(), word) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestDemo(t *testing.T) {
	e := grpccall.New(grpccall.Config{}, nil)
	call, _ := conformance.Call(t, object{"server": "s:1", "service": "a.B", "method": "C", "request": object{"d": 1}})
	got, takes := e.Demo(call)
	text, err := json.Marshal(got)
	want := `{"success":true,"server":"s:1","service":"a.B","method":"C","request":{"d":1},"response":{"message":"Demo gRPC response"},"metadata":{"headers":{},"trailers":{}}}`
	if err != nil || string(text) != want || takes != 150*time.Millisecond {
		t.Errorf("got %s, %v, %v", text, err, takes)
	}
}
