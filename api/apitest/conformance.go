package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// Surface is a way to the service: a server and a client of it, which the suite of [Run] holds against the service's
// own words.
type Surface struct {
	Name coordinator.Surface
	// Open starts a server on the service that access gives, and returns a client of it in the service's words. Both end
	// with the test. Methods that the surface has no call for may panic; so may those of [through], when the client has
	// a method Client, which gives the client in its own words.
	Open func(t testing.TB, access *coordinator.Access) coordinator.Service
	// Fault is what an error of the client's tells of a fault, as far as this surface tells it.
	Fault func(err error) *api.Fault
	// Has are the methods of [coordinator.Service] that the surface promises, for one that speaks a protocol of others.
	// nil: all but Lacks.
	Has []string
	// Lacks are methods that the surface has no call for; "cursor", "attempt", "roots", "labels", "custom", "require existing" and "as submitted" stand for parameters that it does not take.
	Lacks []string
	// Merges are kinds of faults that the surface tells as others.
	Merges map[api.Kind]api.Kind
}

// Direct is the service itself, without a wire.
var Direct = Surface{
	Name: "direct",
	Open: func(_ testing.TB, access *coordinator.Access) coordinator.Service {
		return access.For(coordinator.Anonymous("direct", "here"))
	},
	Fault: func(err error) *api.Fault {
		return api.Classify(context.Background(), slog.New(slog.DiscardHandler), "conformance", err)
	},
}

// Backend is a service, and the hands of the workers behind it. [Service] is one.
type Backend interface {
	coordinator.Service
	Start(id string)            // once the task is ready, an attempt at it begins; waits until it has
	Complete(id, result string) // the attempt ends with the result, which is JSON; waits until it has
	Fail(id, text string)       // the attempt fails
	Use(id string, u dag.Used)  // the attempt that runs uses a model; waits until that is known
}

// site is what a scenario works with.
type site struct {
	*testing.T
	svc     coordinator.Service // through the surface
	backend Backend
	surface Surface
	prefix  string

	mu      sync.Mutex
	callers []coordinator.Caller
	refuse  error // of the policy
}

var scenarioCount atomic.Int64

// Run plays all scenarios through the surface. backend is asked for each of them and may give the same one: the
// scenarios' ids differ.
func Run(t *testing.T, surface Surface, backend func(t testing.TB) Backend) {
	surface.checkPromises(t)
	for _, all := range []map[string]func(*site){submissions, generating, steering, editing, reading, finding, watching, snapshots, loggings, fetching, answering, operating, cataloguing, demonstrating, using, labelling, copying, hooking, keying, naming, binding, recording, ruling, limiting, scheduling, firing, profiling, keeping, asking, sealing, diagnosing, faults} {
		for name, play := range all {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := &site{T: t, surface: surface, backend: backend(t), prefix: fmt.Sprintf("s%d-", scenarioCount.Add(1))}
				s.svc = surface.Open(t, coordinator.NewAccess(s.backend, s.policy))
				play(s)
				s.checkCallers()
			})
		}
	}
}

func (s *site) policy(_ context.Context, caller coordinator.Caller, call coordinator.Call) (coordinator.Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if call.Method != "Ready" { // servers ask that for themselves
		s.callers = append(s.callers, caller)
	}
	return coordinator.Grant{}, s.refuse
}

// checkCallers: each call names its caller.
func (s *site) checkCallers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.callers {
		if c.Name != coordinator.AnonymousName || c.Surface != s.surface.Name || c.From == "" {
			s.Fatalf("a call has the caller %+v, want an anonymous one of %s, and where from", c, s.surface.Name)
		}
	}
}

// has skips the scenario when the surface lacks a method that it needs.
func (s *site) has(methods ...string) {
	s.Helper()
	for _, m := range methods {
		if s.lacks(m) {
			s.Skipf("%s has no %s", s.surface.Name, m)
		}
	}
}

func (s *site) lacks(method string) bool {
	promised := s.surface.Has == nil || parameters[method] || slices.Contains(s.surface.Has, method)
	return !promised || slices.Contains(s.surface.Lacks, method)
}

// parameters are what may stand in Lacks beside methods.
var parameters = map[string]bool{"cursor": true, "attempt": true, "roots": true, "as submitted": true, "labels": true, "custom": true, "require existing": true}

// checkPromises: a surface speaks of methods that there are.
func (s Surface) checkPromises(t *testing.T) {
	for _, name := range slices.Concat(s.Has, s.Lacks) {
		if _, known := reflect.TypeFor[coordinator.Service]().MethodByName(name); !known && !parameters[name] {
			t.Errorf("%s has or lacks %q, which is no method of the service", s.Name, name)
		}
	}
}

// through calls a method that takes texts only and has one answer, through the surface; the scenario is skipped when that
// lacks it. A client that has words of its own, see [Surface.Open], must have a method and an answer with the same names as
// the service: field by field the answer becomes the service's, and a field that the service has not fails the test.
func through[T any](s *site, method string, texts ...string) T {
	s.Helper()
	s.has(method)
	var client any = s.svc
	own, foreign := client.(interface{ Client() any })
	if foreign {
		client = own.Client()
	}
	args := []reflect.Value{reflect.ValueOf(s.Context())}
	for _, text := range texts {
		args = append(args, reflect.ValueOf(text))
	}
	call := reflect.ValueOf(client).MethodByName(method)
	if !call.IsValid() {
		s.Fatalf("the client of %s has no method %s", s.surface.Name, method)
	}
	answer := call.Call(args)
	if err, _ := answer[1].Interface().(error); err != nil {
		s.Fatalf("%s: %v", method, err)
	}
	if !foreign {
		return answer[0].Interface().(T)
	}
	var out T
	raw, err := json.Marshal(answer[0].Interface())
	decoder := json.NewDecoder(bytes.NewReader(must(s, raw, err)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&out); err != nil {
		s.Fatalf("the answer of %s in the service's words: %v", method, err)
	}
	return out
}

// id is the scenario's own id of a task.
func (s *site) id(name string) string { return s.prefix + name }

// HandExecutor is the executor of the scenarios' tasks: a [Backend] ends their attempts by hand.
const HandExecutor = "hand_executor"

// task is a task that waits for others.
func (s *site) task(name, parent string, after ...string) *dag.Task {
	t := &dag.Task{ID: s.id(name), Name: name, Priority: dag.Normal, Executor: HandExecutor}
	if parent != "" {
		t.ParentRef = s.id(parent)
	}
	for _, dep := range after {
		t.Dependencies = append(t.Dependencies, dag.Dependency{Ref: s.id(dep)})
	}
	return t
}

func (s *site) trySubmit(opts coordinator.SubmitOptions, tasks ...*dag.Task) (*coordinator.Submitted, error) {
	return s.svc.Submit(s.Context(), opts, func(yield func(*dag.Task, error) bool) {
		for _, t := range tasks {
			if !yield(t, nil) {
				return
			}
		}
	})
}

func (s *site) submit(opts coordinator.SubmitOptions, tasks ...*dag.Task) *coordinator.Submitted {
	s.Helper()
	got, err := s.trySubmit(opts, tasks...)
	if err != nil {
		s.Fatalf("submit: %v", err)
	}
	return got
}

// start submits one task, which runs at once, and gives its id.
func (s *site) start(name string) string {
	s.Helper()
	s.submit(coordinator.SubmitOptions{}, s.task(name, ""))
	return s.id(name)
}

// must is the answer to a call that has to succeed.
func must[T any](s *site, got T, err error) T {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	return got
}

// status is a task's status as the surface tells it.
func (s *site) status(name string) dag.Status {
	s.Helper()
	got, err := s.svc.Task(s.Context(), s.id(name))
	return must(s, got, err).State.Status()
}

// wantFault checks the kind of an error, as far as the surface tells kinds apart, and gives the fault.
func (s *site) wantFault(what string, err error, kind api.Kind) *api.Fault {
	s.Helper()
	if err == nil {
		s.Errorf("%s: got no error, want one of kind %d", what, kind)
		return &api.Fault{}
	}
	if merged, ok := s.surface.Merges[kind]; ok {
		kind = merged
	}
	fault := s.surface.Fault(err)
	if fault.Kind != kind {
		s.Errorf("%s: got kind %d (%v), want %d", what, fault.Kind, err, kind)
	}
	if found := LibraryPhrases(fault.Text); len(found) > 0 {
		s.Errorf("%s: %q are a library's: %s", what, found, fault.Text)
	}
	return fault
}

// all is a whole list, read in pages of two.
func (s *site) all(f coordinator.TaskFilter) (names []string) {
	s.Helper()
	f.Limit = 2
	for {
		page, err := s.svc.Tasks(s.Context(), f)
		page = must(s, page, err)
		for _, t := range page.Items {
			names = append(names, strings.TrimPrefix(t.ID, s.prefix))
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return names
		}
	}
}

// watch reads a watch to its end: "sequence type task" of each event that has a sequence.
func (s *site) watch(id string, after int64) (told []string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	for e, err := range s.svc.Watch(ctx, id, after) {
		if err != nil {
			s.Fatalf("watch: %v", err)
		}
		if e.Sequence > 0 {
			told = append(told, fmt.Sprintf("%d %s %s", e.Sequence, e.Type, strings.TrimPrefix(e.TaskID, s.prefix)))
		}
	}
	return told
}

// document is a tree as the task-tree protocol writes it, for surfaces that take that.
type document struct {
	ID           string          `json:"id,omitempty"`
	Name         string          `json:"name,omitempty"`
	ParentID     string          `json:"parent_id,omitempty"`
	UserID       string          `json:"user_id,omitempty"`
	Priority     dag.Priority    `json:"priority"`
	Dependencies []docDependency `json:"dependencies,omitempty"`
	Inputs       json.RawMessage `json:"inputs,omitempty"`
	Schemas      json.RawMessage `json:"schemas,omitempty"`
	custom       json.RawMessage // keys that have no meaning, in an object

	Retry           *docRetry         `json:"retry,omitempty"`
	Timeout         float64           `json:"timeout,omitempty"` // seconds, as the next
	ScheduleToStart float64           `json:"schedule_to_start,omitempty"`
	NotBefore       *time.Time        `json:"not_before,omitempty"`
	OnLost          string            `json:"on_lost,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	Retention       string            `json:"retention,omitempty"`
	Due             string            `json:"due,omitempty"`

	Limits []dag.Limit      `json:"limits,omitempty"`
	Lock   map[string]any   `json:"lock,omitempty"`
	Rates  []map[string]any `json:"rates,omitempty"`

	Unique map[string]any `json:"unique,omitempty"`
}

// keyed adds the key of a tree.
func (d *document) keyed(u *dag.Unique) {
	if u == nil {
		return
	}
	d.Unique = map[string]any{"key": u.Key, "on_conflict": "refuse"}
	if u.For != 0 {
		d.Unique["for"] = u.For.Seconds()
	}
	if u.Return {
		d.Unique["on_conflict"] = "return"
	}
}

// asks adds what a task asks for before it starts.
func (d *document) asks(l *dag.Limiting) {
	if l == nil {
		return
	}
	d.Limits = l.Limits
	if k := l.Lock; k != nil {
		d.Lock = map[string]any{"key": k.Key, "on_contention": k.OnContention.Word(), "wait_timeout": k.WaitTimeout.Seconds(), "hold": k.Hold.Word()}
	}
	for _, r := range l.Rates {
		one := map[string]any{"key": r.Key, "per": dag.RateWord(r.Per), "max": r.Max}
		if r.Burst != 0 {
			one["burst"] = r.Burst
		}
		d.Rates = append(d.Rates, one)
	}
}

type docRetry struct {
	MaxAttempts  int         `json:"max_attempts"`
	Backoff      dag.Backoff `json:"backoff"`
	InitialDelay float64     `json:"initial_delay"`
	MaxDelay     float64     `json:"max_delay"`
}

type docDependency struct {
	ID       string `json:"id"`
	Required bool   `json:"required"`
}

// policy adds what a task says of its attempts.
func (d *document) policy(t *dag.Task) {
	if r := t.Retry; !r.IsZero() {
		d.Retry = &docRetry{r.MaxAttempts, r.Backoff, r.InitialDelay.Seconds(), r.MaxDelay.Seconds()}
	}
	if !t.NotBefore.IsZero() {
		d.NotBefore = &t.NotBefore
	}
	if t.OnLost == dag.FailLost {
		d.OnLost = "fail"
	}
}

// Document writes tasks as a JSON array. userID is the owner of those that name none.
func Document(tasks []*dag.Task, userID string) []byte {
	docs := make([]document, len(tasks))
	for i, t := range tasks {
		docs[i] = document{ID: t.ID, Name: t.Name, ParentID: t.ParentRef, UserID: t.UserID, Priority: t.Priority, Inputs: t.Inputs, Schemas: t.Schemas,
			Timeout: t.Timeout.Seconds(), ScheduleToStart: t.ScheduleToStart.Seconds(), Labels: t.Labels, Retention: dag.RetentionText(t.Retention), Due: t.Due.String(), custom: t.Custom}
		docs[i].policy(t)
		docs[i].asks(t.Limiting)
		docs[i].keyed(t.Unique)
		if docs[i].UserID == "" {
			docs[i].UserID = userID
		}
		for _, d := range t.Dependencies {
			docs[i].Dependencies = append(docs[i].Dependencies, docDependency{ID: d.Ref, Required: !d.Optional})
		}
	}
	out, err := json.Marshal(docs)
	if err != nil {
		panic(err)
	}
	return out
}

// MarshalJSON writes the keys that have no effect, too.
func (d document) MarshalJSON() ([]byte, error) {
	type plain document
	out, err := json.Marshal(plain(d))
	if err != nil || len(d.custom) == 0 {
		return out, err
	}
	return append(append(out[:len(out)-1], ','), d.custom[1:]...), nil
}
