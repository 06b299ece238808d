package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/executors/command"
	"github.com/taskgrove/taskgrove/internal/porttest"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// watcher reads the events of a tree from one coordinator after another, as clients do.
type watcher interface {
	// begin starts the tree of the document, whose root is named, at the first coordinator.
	begin(ctx context.Context, root string, document json.RawMessage) error
	// watch gives the sequence of each event after the one given, until the tree's end (nil) or the stream's. A client that goes to another
	// coordinator by itself is called once.
	watch(ctx context.Context, url string, after int64, got func(int64)) error
}

// TestWatchersOfAKilledCoordinator: a coordinator that serves streams is killed; each client goes on with another, and gets each event once.
func TestWatchersOfAKilledCoordinator(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	start := func() (p *Process, http, grpc string) {
		settings := s.settings(CoordinatorRole)
		settings.HTTP, settings.GRPC = fmt.Sprintf("127.0.0.1:%d", porttest.Port(t)), fmt.Sprintf("127.0.0.1:%d", porttest.Port(t))
		p, err := StartProcess(settings, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		eventually(t, settings.Name+" is ready", p.Ready)
		return p, "http://" + settings.HTTP, settings.GRPC
	}
	victim, first, firstGRPC := start()
	_, second, secondGRPC := start()
	s.start(WorkerRole, "")
	both := dialBoth(t, firstGRPC, secondGRPC)
	watchers := map[string]watcher{
		"gRPC":     byClient{submission{first}, both},
		"Connect":  byConnect{submission{first}, nil},
		"gRPC-Web": byConnect{submission{first}, []connect.ClientOption{connect.WithGRPCWeb()}},
		"A2A 0.3":  &byAgent{send: "message/stream", resume: "tasks/resubscribe", part: `"kind":"data",`, role: "user"},
		"A2A 1.0":  &byAgent{send: "SendStreamingMessage", resume: "SubscribeToTask", role: "ROLE_USER"},
	}
	gate := filepath.Join(s.base.Dir, "open-watched")
	const before = 4 // events until the gate: the start of two tasks, and the end of one
	ready, killed, done := make(chan string, len(watchers)), make(chan struct{}), make(chan struct{}, len(watchers))
	for name, w := range watchers {
		go func() {
			defer func() { done <- struct{}{} }()
			root := strings.NewReplacer(" ", "", ".", "").Replace(name)
			ids, err := follow(t.Context(), w, root, chainBehind(root, gate), [2]string{first, second}, func(n int) {
				if n == before {
					ready <- name
					<-killed
				}
			})
			if err != nil {
				t.Errorf("%s: after events %v: %v", name, ids, err)
				return
			}
			if want := s.sequences(root); !slices.Equal(ids, want) || len(want) < 20 { // the execution's start and end, and those of nine tasks
				t.Errorf("%s: got events %v, want %v", name, ids, want)
			}
		}()
	}
	for range watchers {
		select {
		case <-ready:
		case <-done:
			t.Fatal("a watcher ended before its coordinator was killed")
		case <-time.After(patience):
			t.Fatal("the watchers do not watch")
		}
	}
	if err := OpenGate(s.base.Dir, "watched"); err != nil {
		t.Fatal(err)
	}
	victim.Kill()
	close(killed)
	for range watchers {
		<-done
	}
	for v, err := range s.front.Verify(t.Context(), "") {
		t.Errorf("the auditor found %+v, %v", v, err)
	}
}

// sequences are those of a tree's events.
func (s *site) sequences(root string) (all []int64) {
	for e, err := range s.front.Watch(s.t.Context(), root, 0) {
		if err != nil {
			s.t.Error(err)
		} else if e.Sequence > 0 {
			all = append(all, e.Sequence)
		}
	}
	return all
}

// chainBehind is a root and eight tasks, one after the other. The second waits for the file.
func chainBehind(root, gate string) json.RawMessage {
	task := func(id, parent, after, shell string) map[string]any {
		out := map[string]any{"id": id, "name": id, "schemas": map[string]any{"method": command.ID}, "inputs": map[string]any{"command": shell}}
		if parent != "" {
			out["parent_id"] = parent
		}
		if after != "" {
			out["dependencies"] = []string{after}
		}
		return out
	}
	id := func(i int) string { return fmt.Sprintf("%s-%d", root, i) }
	tasks := []any{task(root, "", id(7), "true")}
	for i := range 8 {
		after, shell := "", "sleep 0.05"
		if i > 0 {
			after = id(i - 1)
		}
		if i == 1 {
			shell = "while [ ! -e " + gate + " ]; do sleep 0.02; done"
		}
		tasks = append(tasks, task(id(i), root, after, shell))
	}
	out, _ := json.Marshal(tasks)
	return out
}

// follow starts a tree and watches it at one coordinator after the other. At each event it calls seen with how many there were.
func follow(ctx context.Context, w watcher, root string, document json.RawMessage, urls [2]string, seen func(int)) (ids []int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := w.begin(ctx, root, document); err != nil {
		return nil, err
	}
	for _, url := range urls {
		after := int64(0)
		if len(ids) > 0 {
			after = ids[len(ids)-1]
		}
		if err = w.watch(context.WithValue(ctx, rootKey{}, root), url, after, func(id int64) {
			ids = append(ids, id)
			seen(len(ids))
		}); err == nil {
			return ids, nil
		}
	}
	return ids, err
}

type rootKey struct{}

func rootOf(ctx context.Context) string { return ctx.Value(rootKey{}).(string) }

// dialBoth is a Go client of two coordinators, the first of which it prefers.
func dialBoth(t *testing.T, first, second string) *client.Client {
	t.Helper()
	both := manual.NewBuilderWithScheme("both")
	both.InitialState(resolver.State{Endpoints: []resolver.Endpoint{
		{Addresses: []resolver.Address{{Addr: first}}}, {Addresses: []resolver.Address{{Addr: second}}}}})
	c, err := client.New("both:///coordinators", client.WithDialOptions(grpc.WithResolvers(both)), client.WithRetryDelay(10*time.Millisecond, time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// submission starts the tree with JSON over HTTP.
type submission struct{ first string } // URL

func (s submission) begin(ctx context.Context, _ string, document json.RawMessage) error {
	return post(ctx, s.first+pb.Taskgrove_SubmitTree_FullMethodName, `{"document":`+string(document)+`}`, 0, func(*bufio.Scanner) error { return nil })
}

// byClient watches with the Go client, which knows both coordinators.
type byClient struct {
	submission
	*client.Client
}

func (c byClient) watch(ctx context.Context, _ string, after int64, got func(int64)) error {
	for e, err := range c.Watch(ctx, rootOf(ctx), after) {
		if err != nil {
			return err
		}
		if e.Sequence > 0 {
			got(e.Sequence)
		}
	}
	return nil
}

// byConnect watches with a client of Connect or gRPC-Web.
type byConnect struct {
	submission
	options []connect.ClientOption
}

func (c byConnect) watch(ctx context.Context, url string, after int64, got func(int64)) error {
	calls := connect.NewClient[pb.WatchRequest, pb.Event](&http.Client{Transport: &http.Transport{}}, url+pb.Taskgrove_Watch_FullMethodName, c.options...)
	stream, err := calls.CallServerStream(ctx, connect.NewRequest(&pb.WatchRequest{Id: rootOf(ctx), After: after}))
	if err != nil {
		return err
	}
	defer stream.Close()
	for stream.Receive() {
		e := stream.Msg()
		if e.Sequence > 0 {
			got(e.Sequence)
		}
		if e.Type == "final" {
			return nil
		}
	}
	return fmt.Errorf("the stream ended before the tree: %w", stream.Err())
}

// byAgent sends a message of A2A that runs the tree, and resumes by the id of the last event.
type byAgent struct {
	send, resume       string // methods of a line of the protocol
	part, role         string // how the line writes them
	document           json.RawMessage
	task               string // of A2A
	terminal, artifact bool
}

func (c *byAgent) begin(_ context.Context, _ string, document json.RawMessage) error {
	c.document = document
	return nil
}

func (c *byAgent) watch(ctx context.Context, url string, after int64, got func(int64)) error {
	method, params := c.resume, fmt.Sprintf(`{"id":%q}`, c.task)
	if c.task == "" {
		method, params = c.send, fmt.Sprintf(`{"metadata":{"stream":true},"message":{"messageId":"m","role":%q,"parts":[{%s"data":{"tasks":%s}}]}}`, c.role, c.part, c.document)
	}
	return post(ctx, url, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, params), after, func(lines *bufio.Scanner) error {
		id := int64(0)
		for lines.Scan() {
			if text, is := strings.CutPrefix(lines.Text(), "id: "); is {
				if _, err := fmt.Sscan(text, &id); err != nil {
					return err
				}
			} else if text, is := strings.CutPrefix(lines.Text(), "data: "); is {
				if err := c.hear(text); err != nil {
					return err
				}
				if id > 0 {
					got(id)
				}
				id = 0
			}
		}
		switch {
		case c.terminal && c.artifact:
			return nil
		case c.terminal:
			return errors.New("the task ended without its result")
		}
		return fmt.Errorf("the stream ended before the task: %w", lines.Err())
	})
}

// hear takes an answer of the stream.
func (c *byAgent) hear(text string) error {
	var answer struct {
		Error  json.RawMessage
		Result json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return fmt.Errorf("got error %s", answer.Error)
	}
	var event struct {
		ID           string
		Task         struct{ ID string }
		Artifact     json.RawMessage
		StatusUpdate struct{ Status struct{ State string } }
		Status       struct{ State string }
		Update       struct{ Artifact json.RawMessage } `json:"artifactUpdate"`
	}
	if err := json.Unmarshal(answer.Result, &event); err != nil {
		return err
	}
	if id := event.ID + event.Task.ID; id != "" {
		if c.task != "" && c.task != id {
			return fmt.Errorf("got task %s, want %s", id, c.task)
		}
		c.task = id
	}
	state := event.Status.State + event.StatusUpdate.Status.State
	c.terminal = c.terminal || state == "completed" || state == "TASK_STATE_COMPLETED"
	c.artifact = c.artifact || event.Artifact != nil || event.Update.Artifact != nil
	return nil
}

// post makes a request and has the lines of its answer read. after is the id of the last event that was seen; 0: none.
func post(ctx context.Context, url, body string, after int64, read func(*bufio.Scanner) error) error {
	req, err := http.NewRequestWithContext(ctx, "POST", url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if after > 0 {
		req.Header.Set("Last-Event-ID", fmt.Sprint(after))
	}
	res, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	if res.StatusCode != http.StatusOK {
		lines.Scan()
		return fmt.Errorf("got %s: %s", res.Status, lines.Text())
	}
	return read(lines)
}
