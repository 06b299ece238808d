package grpcserver_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/api/httpserver"
	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// web serves Connect and gRPC-Web on a real HTTP server until stop is called or the test ends.
func web(t testing.TB, access *coordinator.Access, cfg grpcserver.Config) (url string, stop func(), log *logBuffer) {
	t.Helper()
	log = &logBuffer{}
	cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	server, err := httpserver.Listen(httpserver.Config{Addr: "127.0.0.1:0", API: grpcserver.NewWeb(access, cfg), Log: cfg.Log, Grace: 3 * time.Second,
		Ready: func(context.Context) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		if err := server.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() { cancel(); <-exited }
	t.Cleanup(stop)
	return "http://" + server.Addr().String(), stop, log
}

// TestConformanceOfTheWeb plays the suite with the Go client, whose calls go out as Connect's and gRPC-Web's.
func TestConformanceOfTheWeb(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]connect.ClientOption{
		"Connect JSON": {connect.WithProtoJSON()}, "Connect protobuf": {connect.WithSendGzip()}, "gRPC-Web": {connect.WithGRPCWeb()},
		"gRPC-Web JSON": {connect.WithGRPCWeb(), connect.WithProtoJSON()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			apitest.Run(t, apitest.Surface{
				Name: coordinator.SurfaceConnect,
				Open: func(t testing.TB, access *coordinator.Access) coordinator.Service {
					url, _, _ := web(t, access, grpcserver.Config{})
					return &remote{c: webClient(t, url, options...)}
				},
				Fault: faultOf,
				Lacks: []string{"Demand", "WatchDemand", "Running", "roots"},
			}, func(testing.TB) apitest.Backend { return apitest.New() })
		})
	}
}

// webClient is the Go client, which speaks Connect or gRPC-Web over HTTP/1.1.
func webClient(t testing.TB, url string, options ...connect.ClientOption) *client.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	r := &rerouted{http: &http.Client{Transport: transport}, url: url, options: options}
	c, err := client.New("passthrough:///unused", client.WithRetryDelay(time.Millisecond, 20*time.Millisecond),
		client.WithDialOptions(grpc.WithDisableRetry(), grpc.WithChainUnaryInterceptor(r.unary), grpc.WithChainStreamInterceptor(r.stream)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// rerouted sends gRPC's calls by another protocol.
type rerouted struct {
	http    *http.Client
	url     string
	options []connect.ClientOption
}

type dynamicClient = connect.Client[dynamicpb.Message, dynamicpb.Message]

func methodOf(path string) protoreflect.MethodDescriptor {
	desc, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(path[1:], "/", ".")))
	if err != nil {
		panic(err)
	}
	return desc.(protoreflect.MethodDescriptor)
}

func (r *rerouted) client(path string) *dynamicClient {
	desc := methodOf(path)
	return connect.NewClient[dynamicpb.Message, dynamicpb.Message](r.http, r.url+path, append([]connect.ClientOption{
		connect.WithSchema(desc), connect.WithResponseInitializer(func(_ connect.Spec, message any) error {
			*message.(*dynamicpb.Message) = *dynamicpb.NewMessage(desc.Output())
			return nil
		})}, r.options...)...)
}

// request is a call's message, and what its context sends along.
func request(ctx context.Context, path string, message any) *connect.Request[dynamicpb.Message] {
	out := dynamicpb.NewMessage(methodOf(path).Input())
	retyped(message.(proto.Message), out)
	r := connect.NewRequest(out)
	md, _ := metadata.FromOutgoingContext(ctx)
	for key, values := range md {
		r.Header()[http.CanonicalHeaderKey(key)] = values
	}
	return r
}

func retyped(from, to proto.Message) {
	raw, err := proto.Marshal(from)
	if err == nil {
		err = proto.Unmarshal(raw, to)
	}
	if err != nil {
		panic(err)
	}
}

// statusOf is an error of Connect's as gRPC's.
func statusOf(err error) error {
	e, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return err
	}
	st := &spb.Status{Code: int32(e.Code()), Message: e.Message()}
	for _, d := range e.Details() {
		st.Details = append(st.Details, &anypb.Any{TypeUrl: "type.googleapis.com/" + d.Type(), Value: d.Bytes()})
	}
	return status.FromProto(st).Err()
}

func (r *rerouted) unary(ctx context.Context, path string, req, reply any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
	got, err := r.client(path).CallUnary(ctx, request(ctx, path, req))
	if err != nil {
		return statusOf(err)
	}
	retyped(got.Msg, reply.(proto.Message))
	return nil
}

func (r *rerouted) stream(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, path string, _ grpc.Streamer, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return &reroutedStream{r: r, ctx: ctx, path: path}, nil
}

// reroutedStream is a stream of answers; or a submission, which is collected.
type reroutedStream struct {
	grpc.ClientStream
	r      *rerouted
	ctx    context.Context
	path   string
	req    any
	tree   pb.SubmitTreeRequest
	stream *connect.ServerStreamForClient[dynamicpb.Message]
}

func (s *reroutedStream) Context() context.Context { return s.ctx }
func (s *reroutedStream) CloseSend() error         { return nil }

func (s *reroutedStream) SendMsg(m any) error {
	s.req = m
	if part, ok := m.(*pb.SubmitRequest); ok {
		s.tree.Tasks = append(s.tree.Tasks, part.Tasks...)
		if part.Options != nil {
			s.tree.Options = part.Options
		}
	}
	return nil
}

func (s *reroutedStream) RecvMsg(m any) (err error) {
	if s.path == pb.Taskgrove_Submit_FullMethodName {
		return s.r.unary(s.ctx, pb.Taskgrove_SubmitTree_FullMethodName, &s.tree, m, nil, nil)
	}
	if s.stream == nil {
		if s.stream, err = s.r.client(s.path).CallServerStream(s.ctx, request(s.ctx, s.path, s.req)); err != nil {
			return statusOf(err)
		}
		context.AfterFunc(s.ctx, func() { _ = s.stream.Close() })
	}
	if s.stream.Receive() {
		retyped(s.stream.Msg(), m.(proto.Message))
		return nil
	}
	if err := s.stream.Err(); err != nil {
		return statusOf(err)
	}
	return io.EOF
}

// post sends a call as curl does.
func post(t *testing.T, url, call, body string, headers ...string) (answer map[string]any, status int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", url+grpcserver.WebPath+call, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	if err != nil {
		t.Fatalf("%s: %s %q: %v", call, res.Status, text, err)
	}
	return answer, res.StatusCode
}

func webOf(t *testing.T, svc coordinator.Service, cfg grpcserver.Config) (url string, stop func(), log *logBuffer) {
	return web(t, coordinator.NewAccess(svc, coordinator.AllowAll), cfg)
}

func TestJSONByCurl(t *testing.T) {
	t.Parallel()
	url, _, _ := webOf(t, apitest.New(), grpcserver.Config{})
	got, code := post(t, url, "SubmitTree", `{"document": [{"id": "r", "name": "r", "inputs": {"n": 1}}], "options": {"hold": true}}`)
	if code != 200 || got["treeId"] != "r" || got["tasks"] != "1" {
		t.Fatalf("got %d %v", code, got)
	}
	got, code = post(t, url, "GetTask", `{"id": "r"}`, "Content-Type", "application/json; charset=utf-8")
	if code != 200 || got["state"] != "held" || got["inputs"] != "eyJuIjoxfQ==" {
		t.Errorf("got %d %v", code, got)
	}
	res, err := http.Get(url + grpcserver.WebPath + `GetTask?connect=v1&encoding=json&message=%7B%22id%22%3A%22r%22%7D`)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != 200 || !strings.Contains(string(text), `"held"`) {
		t.Errorf("GET: got %s %s", res.Status, text)
	}
}

// TestWhatTheWebRefuses: each refusal is an error of Connect, with a code and a text without a library's words.
func TestWhatTheWebRefuses(t *testing.T) {
	t.Parallel()
	url, _, _ := webOf(t, apitest.New(), grpcserver.Config{MaxMessageBytes: 100_000})
	large := `{"id": "` + strings.Repeat("x", 100_000) + `"}`
	var bomb bytes.Buffer
	packer := gzip.NewWriter(&bomb)
	_, _ = packer.Write(bytes.Repeat([]byte(" "), 1<<20))
	_ = packer.Close()
	for name, row := range map[string]struct {
		call, body string
		headers    []string
		code       string
		status     int
		text       string
	}{
		"no task":         {call: "GetTask", body: `{"id": "x"}`, code: "not_found", status: 404},
		"no field":        {call: "GetTask", body: `{}`, code: "invalid_argument", status: 400, text: "id is required"},
		"no JSON":         {call: "GetTask", body: `{`, code: "invalid_argument", status: 400, text: "the request is no JSON of its message"},
		"another type":    {call: "GetTask", body: `{"id": 7}`, code: "invalid_argument", status: 400, text: "the request is no JSON of its message"},
		"a form":          {call: "GetTask", body: `a=b`, headers: []string{"Content-Type", "application/x-www-form-urlencoded"}, code: "invalid_argument", status: 415},
		"gRPC":            {call: "GetTask", body: "", headers: []string{"Content-Type", "application/grpc"}, code: "invalid_argument", status: 415},
		"another charset": {call: "GetTask", body: `{}`, headers: []string{"Content-Type", "application/json; charset=latin1"}, code: "invalid_argument", status: 415},
		"no call":         {call: "Fly", body: `{}`, code: "unimplemented", status: 404, text: `there is no call "Fly" here`},
		"too large":       {call: "GetTask", body: large, code: "resource_exhausted", status: 429, text: "the request is larger than 100000 bytes"},
		"large unpacked":  {call: "GetTask", body: bomb.String(), headers: []string{"Content-Encoding", "gzip"}, code: "resource_exhausted", status: 429},
		"not packed":      {call: "GetTask", body: `{"id": "x"}`, headers: []string{"Content-Encoding", "gzip"}, code: "invalid_argument", status: 400, text: "is not packed by gzip"},
		"unknown packing": {call: "GetTask", body: `{}`, headers: []string{"Content-Encoding", "br"}, code: "unimplemented", status: 501, text: "may be packed by gzip only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, status := post(t, url, row.call, row.body, row.headers...)
			text := fmt.Sprint(got["message"])
			if got["code"] != row.code || status != row.status || !strings.Contains(text, row.text) {
				t.Errorf("got %d %v, want %d %s %q", status, got, row.status, row.code, row.text)
			}
			if found := apitest.LibraryPhrases(text); len(found) > 0 {
				t.Errorf("%q are a library's: %s", found, text)
			}
		})
	}
}

// TestWebStreamsAreToldThatTheServerStops: a watch ends with UNAVAILABLE, so that its client goes on elsewhere.
func TestWebStreamsAreToldThatTheServerStops(t *testing.T) {
	t.Parallel()
	svc := apitest.New()
	url, stop, _ := webOf(t, svc, grpcserver.Config{})
	if _, code := post(t, url, "SubmitTree", `{"document": {"id": "r", "name": "r"}}`); code != 200 {
		t.Fatal(code)
	}
	r := &rerouted{http: http.DefaultClient, url: url}
	stream, err := r.client(pb.Taskgrove_Watch_FullMethodName).CallServerStream(t.Context(), request(t.Context(), pb.Taskgrove_Watch_FullMethodName, &pb.WatchRequest{Id: "r"}))
	if err != nil || !stream.Receive() {
		t.Fatal(err, stream.Err())
	}
	go stop()
	for stream.Receive() {
	}
	if code := status.Code(statusOf(stream.Err())); code != codes.Unavailable {
		t.Errorf("got %v, want UNAVAILABLE", stream.Err())
	}
}

// TestRequestsInMemoryAreBounded: what is beyond the bound is refused at once, and a stream's request counts no longer than it is read.
func TestRequestsInMemoryAreBounded(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	url, _, _ := webOf(t, &waiting{Service: apitest.New(), entered: entered, leave: leave}, grpcserver.Config{MaxMessageBytes: 64 << 10})
	answers := make(chan int, 8)
	largest := "{}" + strings.Repeat(" ", 64<<10-2)
	for range 8 {
		go func() { _, status := post(t, url, "ListPools", largest); answers <- status }()
		<-entered
	}
	if got, status := post(t, url, "GetTask", `{"id": "x"}`); status != 429 || got["code"] != "resource_exhausted" {
		t.Errorf("got %d %v, want a refusal", status, got)
	}
	close(leave)
	for range 8 {
		if status := <-answers; status != 200 {
			t.Errorf("got %d", status)
		}
	}
	if got, status := post(t, url, "GetTask", `{"id": "x"}`); status != 404 {
		t.Errorf("afterwards: got %d %v", status, got)
	}
}

// gzipped packs.
func gzipped(text string) string {
	var b bytes.Buffer
	packer := gzip.NewWriter(&b)
	_, _ = packer.Write([]byte(text))
	_ = packer.Close()
	return b.String()
}

// TestPackedRequestsTakeTheRoomOfWhatTheyHold: also those in envelopes and those in a query.
func TestPackedRequestsTakeTheRoomOfWhatTheyHold(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	entered, leave := make(chan struct{}), make(chan struct{})
	url, _, _ := webOf(t, &waiting{Service: apitest.New(), entered: entered, leave: leave}, grpcserver.Config{MaxMessageBytes: most})
	bomb := gzipped("{}" + strings.Repeat(" ", most-2))
	answers := make(chan int, 8)
	enter := func(packed string) {
		t.Helper()
		go func() { _, status := post(t, url, "ListPools", packed, "Content-Encoding", "gzip"); answers <- status }()
		select {
		case <-entered:
		case status := <-answers:
			t.Fatalf("got %d, want it to be let in", status)
		}
	}
	for range 7 {
		enter(bomb)
	}
	enter(gzipped("{}" + strings.Repeat(" ", most/2-1000))) // has room; then no large one has
	refused := func(way string, status int, answer string) {
		t.Helper()
		if status != 429 && !strings.Contains(answer, "Grpc-Status: 8") || !strings.Contains(answer, "too many requests at once") {
			t.Errorf("%s: got %d %s, want a refusal", way, status, answer)
		}
	}
	got, status := post(t, url, "GetTask", bomb, "Content-Encoding", "gzip")
	refused("a body", status, fmt.Sprint(got))
	envelope := string(binary.BigEndian.AppendUint32([]byte{1}, uint32(len(bomb)))) + bomb
	for kind, header := range map[string]string{"application/connect+json": "Connect-Content-Encoding", "application/grpc-web+json": "Grpc-Encoding"} {
		_, answer := send(t, "POST", url+grpcserver.WebPath+"Watch", envelope, "Content-Type", kind, header, "gzip")
		refused(kind, 429, strings.ReplaceAll(answer, "grpc-status", "Grpc-Status"))
		_, answer = send(t, "POST", url+grpcserver.WebPath+"Watch", envelope+envelope, "Content-Type", kind, header, "gzip")
		if !strings.Contains(answer, "a request is one message") {
			t.Errorf("%s, two messages: got %s", kind, answer)
		}
	}
	status, answer := send(t, "GET", url+grpcserver.WebPath+"GetTask?connect=v1&encoding=json&base64=1&compression=gzip&message="+base64.RawURLEncoding.EncodeToString([]byte(bomb)), "")
	refused("a query", status, answer)
	close(leave)
	for range 8 {
		if status := <-answers; status != 200 {
			t.Errorf("got %d", status)
		}
	}
	if got, status := post(t, url, "GetTask", gzipped(`{"id": "x"}`), "Content-Encoding", "gzip"); status != 404 {
		t.Errorf("afterwards: got %d %v", status, got)
	}
}

// send sends any request, and gives the answer as it is.
func send(t *testing.T, method, url, body string, headers ...string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, fmt.Sprint(res.Header, string(text))
}

// TestAnnouncedRequestsTakeNoRoom: clients that announce the largest requests and send next to nothing leave the room to others.
func TestAnnouncedRequestsTakeNoRoom(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	url, _, _ := webOf(t, apitest.New(), grpcserver.Config{MaxMessageBytes: most})
	host := strings.TrimPrefix(url, "http://")
	for range 16 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // nothing more is sent
		// Once the server asks for the body, it is being read.
		fmt.Fprintf(conn, "POST %sListTrees HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", grpcserver.WebPath, host, most)
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.Contains(line, "100 Continue") {
			t.Fatalf("got %q, %v, want to be asked for the body", line, err)
		}
	}
	if got, status := post(t, url, "GetTask", `{"id": "x"}`); status != 404 {
		t.Errorf("beside them: got %d %v, want an answer", status, got)
	}
	if got, status := post(t, url, "GetTask", `{"id": "x"}`+strings.Repeat(" ", most-11)); status != 404 {
		t.Errorf("the largest request: got %d %v, want an answer", status, got)
	}
	if got, status := post(t, url, "GetTask", `{"id": "x"}`+strings.Repeat(" ", most-10)); status != 429 || !strings.Contains(fmt.Sprint(got["message"]), "larger than") {
		t.Errorf("a byte more: got %d %v, want a refusal", status, got)
	}
}

// waiting is a service whose list of pools waits.
type waiting struct {
	*apitest.Service
	entered chan<- struct{}
	leave   <-chan struct{}
}

func (w *waiting) Pools(context.Context) ([]coordinator.Pool, error) {
	w.entered <- struct{}{}
	<-w.leave
	return nil, nil
}
