package tasklog

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// counts counts lines by what became of them.
type counts struct {
	mu  sync.Mutex
	all map[Outcome]int
}

func (c *counts) add(o Outcome, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[Outcome]int{}
	}
	c.all[o] += n
}

func (c *counts) of(o Outcome) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[o]
}

var line = Line{
	Time: time.Date(2026, 1, 31, 12, 0, 0, 5000, time.UTC), Stream: "stderr", Text: "50 % done\x1b[31m <&>\nas of \"now\"", Seq: 7, Tree: "tree", Task: "task", Name: "a task", Attempt: 2,
	User: "ann", Namespace: "team-a", Executor: "command_executor", Pool: "builds", Worker: "w-1",
	Span: trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{15: 1}, SpanID: trace.SpanID{7: 2}}),
}

func open(t *testing.T, cfg Config) (*Log, *counts) {
	t.Helper()
	c := &counts{}
	cfg.Count, cfg.Log = c.add, slog.New(slog.DiscardHandler)
	l, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l, c
}

func TestLinesOnStdout(t *testing.T) {
	var out strings.Builder
	l, count := open(t, Config{Mode: Stdout, To: &out})
	l.Add(line)
	plain := line
	plain.User, plain.Namespace, plain.Span, plain.Seq = "", "", trace.SpanContext{}, 8
	l.Add(plain)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	want := `{"time":"2026-01-31T12:00:00.000005Z","stream":"stderr","msg":"50 % done\u001b[31m <&>\nas of \"now\"","tree_id":"tree","task_id":"task","task_name":"a task","attempt":2,"seq":7,` +
		`"user_id":"ann","namespace":"team-a","executor":"command_executor","pool":"builds","worker_id":"w-1","trace_id":"00000000000000000000000000000001","span_id":"0000000000000002"}` + "\n"
	first, second, _ := strings.Cut(out.String(), "\n")
	if first+"\n" != want {
		t.Errorf("got\n%s, want\n%s", first, want)
	}
	var seen map[string]any
	if err := json.Unmarshal([]byte(second), &seen); err != nil || seen["seq"] != 8.0 || len(seen) != 11 {
		t.Errorf("%v: %v", err, seen)
	}
	if count.of(Sent) != 2 {
		t.Errorf("%+v", count.all)
	}
	l.Add(line)
	if count.of(Dropped) != 1 {
		t.Errorf("a line after the end: %+v", count.all)
	}
}

// TestLinesDoNotSteerTerminals, whatever tasks print; read as JSON they are the same.
func TestLinesDoNotSteerTerminals(t *testing.T) {
	var out strings.Builder
	l, _ := open(t, Config{Mode: Stdout, To: &out})
	harmful := line
	harmful.Text, harmful.Name = "\x00\x1b[31m\x7f\u0080\u009b31m\u009f\u00a0é😀\u2028", "\u202etxt\u2066"
	l.Add(harmful)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	text, _ := strings.CutSuffix(out.String(), "\n")
	for _, r := range text {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			t.Errorf("%U in %s", r, text)
		}
	}
	if !strings.Contains(text, `[31m\u007f\u0080\u009b31m\u009f`+"\u00a0é😀") {
		t.Errorf("got %s", text)
	}
	var seen struct {
		Text string `json:"msg"`
		Name string `json:"task_name"`
	}
	if err := json.Unmarshal([]byte(text), &seen); err != nil || seen.Text != harmful.Text || seen.Name != harmful.Name {
		t.Errorf("%v: got %+q", err, seen)
	}
}

func TestNoWayOut(t *testing.T) {
	for _, mode := range []Mode{"", Off} {
		l, _ := open(t, Config{Mode: mode})
		l.Add(line)
		if err := l.Close(); l != nil || err != nil {
			t.Errorf("%q: %v, %v", mode, l, err)
		}
	}
}

// stuck is a writer that takes nothing until it is let go.
type stuck struct {
	began, free chan struct{}
	once        sync.Once
}

func (s *stuck) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.began) })
	<-s.free
	return len(p), nil
}

// TestAStuckReaderBlocksNobody: who reads stdout has stopped. Lines are taken until there is no room, then dropped; each is counted once.
func TestAStuckReaderBlocksNobody(t *testing.T) {
	to := &stuck{began: make(chan struct{}), free: make(chan struct{})}
	l, count := open(t, Config{Mode: Stdout, To: to})
	big := line
	big.Text = strings.Repeat("x", 64<<10)
	const lines = 1000 // 64 MiB: four times the room
	for range lines {
		l.Add(big)
	}
	<-to.began
	if n := count.of(Dropped); n < lines/2 || n == lines {
		t.Errorf("%d of %d lines were dropped", n, lines)
	}
	close(to.free)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if sent, dropped := count.of(Sent), count.of(Dropped); sent+dropped != lines {
		t.Errorf("%d lines were sent and %d dropped, of %d", sent, dropped, lines)
	}
}

// TestTheEndIsNotHeldUp by who takes nothing.
func TestTheEndIsNotHeldUp(t *testing.T) {
	to := &stuck{began: make(chan struct{}), free: make(chan struct{})}
	l, count := open(t, Config{Mode: Stdout, To: to, patience: 50 * time.Millisecond})
	l.Add(line)
	<-to.began
	l.Add(line)
	if err := l.Close(); err == nil {
		t.Error("the end does not say that lines are lost")
	}
	if count.of(Dropped) != 1 {
		t.Errorf("%+v", count.all)
	}
	close(to.free)
	<-l.ended
}

// failing is a sender that fails for a while.
type failing struct{ left int }

func (f *failing) send(_ context.Context, lines []Line) (int, error) {
	if f.left > 0 {
		f.left--
		return 0, errors.New("nobody is there")
	}
	return len(lines), nil
}

func (*failing) close(context.Context) error { return nil }

func TestWhatFailsIsCountedAndTheNextIsSent(t *testing.T) {
	l, count := open(t, Config{sending: func(context.Context) (sender, error) { return &failing{left: 1}, nil }})
	l.Add(line)
	for count.of(Failed) == 0 && t.Context().Err() == nil {
		time.Sleep(time.Millisecond)
	}
	l.Add(line)
	if err := l.Close(); err != nil || count.of(Failed) != 1 || count.of(Sent) != 1 {
		t.Errorf("%v, %+v", err, count.all)
	}
}

// receiver takes logs by both of OTLP's ways.
type receiver struct {
	collector.UnimplementedLogsServiceServer
	mu  sync.Mutex
	got []*collector.ExportLogsServiceRequest
	way []string
}

func (r *receiver) keep(way string, req *collector.ExportLogsServiceRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got, r.way = append(r.got, req), append(r.way, way)
}

func (r *receiver) Export(_ context.Context, req *collector.ExportLogsServiceRequest) (*collector.ExportLogsServiceResponse, error) {
	r.keep("grpc", req)
	return &collector.ExportLogsServiceResponse{}, nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	sent := &collector.ExportLogsServiceRequest{}
	if err != nil || proto.Unmarshal(body, sent) != nil {
		http.Error(w, "not a request", http.StatusBadRequest)
		return
	}
	r.keep(req.URL.Path, sent)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func TestLinesByOTLP(t *testing.T) {
	r := &receiver{}
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collector.RegisterLogsServiceServer(server, r)
	go func() { _ = server.Serve(at) }()
	defer server.Stop()
	overHTTP := httptest.NewServer(r)
	defer overHTTP.Close()
	for name, row := range map[string]struct {
		env  map[string]string
		want string
	}{
		"by default":          {map[string]string{"ENDPOINT": "http://" + at.Addr().String()}, "grpc"},
		"HTTP":                {map[string]string{"ENDPOINT": overHTTP.URL, "PROTOCOL": "http/protobuf"}, "/v1/logs"},
		"logs have their own": {map[string]string{"ENDPOINT": "http://127.0.0.1:1", "LOGS_ENDPOINT": overHTTP.URL + "/here", "LOGS_PROTOCOL": "http/protobuf"}, "/here"},
	} {
		t.Run(name, func(t *testing.T) {
			r.got, r.way = nil, nil
			for _, name := range []string{"ENDPOINT", "PROTOCOL", "LOGS_ENDPOINT", "LOGS_PROTOCOL"} {
				t.Setenv("OTEL_EXPORTER_OTLP_"+name, row.env[name])
			}
			l, count := open(t, Config{Mode: OTLP, Version: "1.2.3", Worker: "w-1"})
			l.Add(line)
			l.Add(line)
			if err := l.Close(); err != nil || count.of(Sent) != 2 {
				t.Fatalf("%v: %+v", err, count.all)
			}
			if len(r.way) != 1 || r.way[0] != row.want {
				t.Fatalf("the lines came by %v, want %s, in one request", r.way, row.want)
			}
			logs := r.got[0].ResourceLogs[0]
			about := texts(logs.Resource.Attributes)
			if about["service.name"] != "taskgrove-worker" || about["service.version"] != "1.2.3" || about["service.instance.id"] != "w-1" {
				t.Errorf("the resource is %v", about)
			}
			records := logs.ScopeLogs[0].LogRecords
			if len(records) != 2 {
				t.Fatalf("%d records came", len(records))
			}
			one := records[1]
			if one.Body.GetStringValue() != line.Text || one.TimeUnixNano != uint64(line.Time.UnixNano()) || one.TraceId[15] != 1 || one.SpanId[7] != 2 || one.SeverityNumber != 0 {
				t.Errorf("got %v", one)
			}
			got := texts(one.Attributes)
			for name, want := range map[string]string{"log.iostream": "stderr", "tree_id": "tree", "task_id": "task", "task_name": "a task", "attempt": "2", "seq": "7", "user_id": "ann",
				"namespace": "team-a", "executor": "command_executor", "pool": "builds", "worker_id": "w-1"} {
				if got[name] != want {
					t.Errorf("%s is %q, want %q", name, got[name], want)
				}
				delete(got, name)
			}
			if len(got) > 0 {
				t.Errorf("unknown: %v", got)
			}
		})
	}
}

func texts(attributes []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attributes {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			text, _ := json.Marshal(v.IntValue)
			all[a.Key] = string(text)
		}
	}
	return all
}

func TestOTLPWithoutAnEndpointIsRefused(t *testing.T) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"} {
		t.Setenv(name, "")
	}
	if _, err := Open(t.Context(), Config{Mode: OTLP}); err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT") {
		t.Error(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")
	if _, err := Open(t.Context(), Config{Mode: OTLP}); err == nil || !strings.Contains(err.Error(), "must be an http:// or https:// URL") {
		t.Error(err)
	}
}
