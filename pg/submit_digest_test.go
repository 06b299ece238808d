package pg

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// TestDigestOfBytes: version 0.2 stored this for the tasks.
func TestDigestOfBytes(t *testing.T) {
	d := newDigester()
	for _, task := range []*dag.Task{
		{ID: "root", Name: "r", Priority: dag.Normal, Executor: "e", Dependencies: []dag.Dependency{{Ref: "a", Optional: true, Type: "data"}},
			Inputs: []byte(`{"b":1,"a":"\u00e9"}`)},
		{ID: "a", Name: "é", ParentRef: "root", UserID: "u", Priority: dag.Low, Pool: "p", Params: []byte(`{"executor_id":"x"}`),
			Schemas: []byte(`{}`), Custom: []byte(`{"mine":1.0}`), Retry: dag.RetryPolicy{MaxAttempts: 3, InitialDelay: time.Second},
			OnLost: dag.FailLost, Repeatable: true, Timeout: time.Minute, ScheduleToStart: time.Hour, NotBefore: time.Unix(1e9, 5)},
	} {
		d.add(task)
	}
	if got := hex.EncodeToString(d.sums().digest); got != "64435905dc520c0cd5c8bf52c4cf0f6a0718b6acfed7f6c53580862e70cd15d0" {
		t.Errorf("got %s", got)
	}
}

// TestDigestOfValues: what makes a difference, and what does not.
func TestDigestOfValues(t *testing.T) {
	of := func(change func(*dag.Task)) string {
		task := dag.Task{ID: "i", Name: "n", Executor: "rest_executor", Priority: dag.Normal, Inputs: []byte(`{"n":1,"s":"é"}`),
			Schemas: []byte(`{"method":"rest"}`), Dependencies: []dag.Dependency{{Ref: "a"}, {Ref: "b"}}}
		change(&task)
		d := newDigester()
		d.add(&task)
		return string(d.sums().canonical)
	}
	plain := of(func(*dag.Task) {})
	for fact, change := range map[string]func(*dag.Task){
		"spelling":                            func(t *dag.Task) { t.Inputs = []byte(`{"s":"\u00e9","n":1.0}`) },
		"an empty object and none":            func(t *dag.Task) { t.Params = []byte(`{}`) },
		"the type that a dependency has":      func(t *dag.Task) { t.Dependencies[0].Type = "result" },
		"the form of a dependency":            func(t *dag.Task) { t.Dependencies[0].Legacy, t.Dependencies[1].ByName = true, true },
		"which executors are known meanwhile": func(t *dag.Task) { t.Executor = "rest" },
	} {
		if of(change) != plain {
			t.Errorf("%s makes a difference", fact)
		}
	}
	seen := map[string]string{plain: "nothing"}
	for fact, change := range map[string]func(*dag.Task){
		"id": func(t *dag.Task) { t.ID = "j" }, "name": func(t *dag.Task) { t.Name = "m" }, "parent": func(t *dag.Task) { t.ParentRef = "p" },
		"owner": func(t *dag.Task) { t.UserID = "u" }, "pool": func(t *dag.Task) { t.Pool = "p" }, "priority": func(t *dag.Task) { t.Priority = dag.Low },
		"inputs": func(t *dag.Task) { t.Inputs = []byte(`{"n":2,"s":"é"}`) }, "where inputs are": func(t *dag.Task) { t.Inputs, t.Params = nil, t.Inputs },
		"schemas": func(t *dag.Task) { t.Schemas = []byte(`{"method":"x"}`) }, "custom": func(t *dag.Task) { t.Custom = []byte(`{"a":1}`) },
		"order of dependencies": func(t *dag.Task) { t.Dependencies[0], t.Dependencies[1] = t.Dependencies[1], t.Dependencies[0] },
		"a dependency less":     func(t *dag.Task) { t.Dependencies = t.Dependencies[:1] },
		"optional":              func(t *dag.Task) { t.Dependencies[1].Optional = true }, "type": func(t *dag.Task) { t.Dependencies[1].Type = "x" },
		"attempts": func(t *dag.Task) { t.Retry.MaxAttempts = 2 }, "on lost": func(t *dag.Task) { t.OnLost = dag.FailLost },
		"repeatable": func(t *dag.Task) { t.Repeatable = true }, "timeout": func(t *dag.Task) { t.Timeout = 1 },
		"schedule to start": func(t *dag.Task) { t.ScheduleToStart = 1 }, "tree timeout": func(t *dag.Task) { t.TreeTimeout = 1 },
		"retention": func(t *dag.Task) { t.Retention = 1 }, "kept for ever": func(t *dag.Task) { t.Retention = dag.KeepForever },
		"not before":                              func(t *dag.Task) { t.NotBefore = time.Unix(1, 0) },
		"the executor, where nothing else is":     func(t *dag.Task) { t.Schemas = nil },
		"another executor, where nothing else is": func(t *dag.Task) { t.Schemas, t.Executor = nil, "e" },
	} {
		got := of(change)
		if other, twice := seen[got]; twice {
			t.Errorf("%s and %s make the same difference", fact, other)
		}
		seen[got] = fact
	}
}

// TestDigestsStayTheSame holds the digester against a slow one, as versions 0.2 and 0.3 have them.
func TestDigestsStayTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(14, 2))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	object := func() json.RawMessage {
		return json.RawMessage(pick("", `{}`, `{"a":1.50,"b":[null,"\u00e9\\\""],"\u0061b":{"z":1,"y":-0e5}}`, `{"s":"`+strings.Repeat(`\n`, 3000)+`"}`))
	}
	fast := newDigester()
	var bytes, values strings.Builder
	for range 300 {
		task := &dag.Task{ID: pick("", "a", "é"), Name: pick("n", "\x00\xff"), ParentRef: pick("", "a"), UserID: pick("", "u"), Executor: pick("", "e", "n"),
			Pool: pick("", "p"), Inputs: object(), Params: object(), Schemas: object(), Custom: object(), Priority: dag.Priority(random.IntN(2))}
		for _, raw := range []*json.RawMessage{&task.Inputs, &task.Params, &task.Schemas, &task.Custom} {
			if len(*raw) == 0 {
				*raw = nil
			}
		}
		for range random.IntN(3) {
			task.Dependencies = append(task.Dependencies, dag.Dependency{Ref: pick("a", "b\"\x00\u2028\xff"), Optional: random.IntN(2) == 0, Type: pick("", "result", "é")})
		}
		if random.IntN(3) == 0 {
			task.Retry, task.OnLost, task.Repeatable = dag.RetryPolicy{MaxAttempts: 3, Backoff: "fixed", MaxDelay: time.Second}, dag.FailLost, true
			task.Timeout, task.ScheduleToStart, task.TreeTimeout, task.NotBefore = time.Second, time.Minute, time.Hour, time.Unix(1e9, 5)
		}
		if random.IntN(9) == 0 {
			task.Faults = []*dag.InvalidTaskError{{}}
		}
		fast.add(task)
		slowBytes(&bytes, task)
		slowValues(&values, task)
	}
	digest, canonical := sha256.Sum256([]byte(bytes.String())), sha256.Sum256([]byte(values.String()))
	if got := fast.sums(); string(got.digest) != string(digest[:]) || string(got.canonical) != string(canonical[:]) {
		t.Errorf("got %x, want %x and %x", got, digest, canonical)
	}
}

func slowPut(w *strings.Builder, s string) {
	w.Write(binary.AppendUvarint(nil, uint64(len(s))))
	w.WriteString(s)
}

// slowBytes is what version 0.2 hashes of a task.
func slowBytes(w *strings.Builder, t *dag.Task) {
	for _, s := range []string{t.ID, t.Name, t.ParentRef, t.UserID, t.Executor, t.Pool, string(t.Inputs), string(t.Params), string(t.Schemas), string(t.Custom)} {
		slowPut(w, s)
	}
	for _, dep := range t.Dependencies {
		slowPut(w, fmt.Sprintf("%q %t %q", dep.Ref, dep.Optional, dep.Type))
	}
	slowEnd(w, t)
}

// slowValues is what version 0.3 hashes of a task.
func slowValues(w *strings.Builder, t *dag.Task) {
	executor := ""
	if t.Params == nil && t.Schemas == nil && t.Executor != t.Name {
		executor = t.Executor
	}
	for _, s := range []string{t.ID, t.Name, t.ParentRef, t.UserID, t.Pool, executor} {
		slowPut(w, s)
	}
	for _, raw := range []json.RawMessage{t.Inputs, t.Params, t.Schemas, t.Custom} {
		if raw == nil {
			raw = json.RawMessage("{}")
		}
		w.Write(dag.AppendCanonical(nil, raw))
	}
	w.Write(binary.AppendUvarint(nil, uint64(len(t.Dependencies))))
	for _, dep := range t.Dependencies {
		slowPut(w, dep.Ref)
		slowPut(w, cmp.Or(dep.Type, "result"))
		fmt.Fprint(w, dep.Optional)
	}
	slowEnd(w, t)
}

func slowEnd(w *strings.Builder, t *dag.Task) {
	if len(t.Faults) > 0 {
		slowPut(w, "faulty")
	}
	slowPut(w, fmt.Sprint(t.Priority, struct {
		MaxAttempts            int
		Backoff                dag.Backoff
		InitialDelay, MaxDelay time.Duration
	}{t.Retry.MaxAttempts, t.Retry.Backoff, t.Retry.InitialDelay, t.Retry.MaxDelay}, t.OnLost, t.Repeatable, t.Timeout, t.ScheduleToStart, t.TreeTimeout, t.NotBefore.UnixNano()))
}

// TestARepeatedSubmissionMayBeSpeltDifferently goes every way that a tree is stored and compared, small and large, and compares
// with what version 0.2 stored.
func TestARepeatedSubmissionMayBeSpeltDifferently(t *testing.T) {
	s, admin := openBatches(t)
	tree := func(key, inputs string, n int) Submission {
		tasks := []*dag.Task{{Name: "root", Executor: "e", Inputs: []byte(inputs)}}
		for i := 1; i < n; i++ {
			tasks = append(tasks, &dag.Task{Name: fmt.Sprint(i), ParentRef: "root", Executor: "e"})
		}
		return keyed(key, treeOf(tasks...))
	}
	const first, again, other = `{"a":1,"b":"é"}`, `{"b":"\u00e9","a":1.0}`, `{"a":1.1,"b":"é"}`
	for name, n := range map[string]int{"small": 1, "large": smallTasks + 1} {
		_, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, tree(name, first, n))
		must(t, err)
		for _, inputs := range []string{first, again} {
			if out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, tree(name, inputs, n)); err != nil || !out.Replayed {
				t.Errorf("%s, repeated with %s: got %+v, %v", name, inputs, out, err)
			}
		}
		if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, tree(name, other, n)); !errors.Is(err, ErrDigest) {
			t.Errorf("%s, another tree: got %v", name, err)
		}
		_, err = admin.Exec(t.Context(), "update submission set canonical = null")
		must(t, err)
		if out, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, tree(name, first, n)); err != nil || !out.Replayed {
			t.Errorf("%s, stored by version 0.2: got %+v, %v", name, out, err)
		}
		for _, inputs := range []string{again, other} {
			if _, err := s.Submit(t.Context(), dag.DefaultNamespaceKey, tree(name, inputs, n)); !errors.Is(err, ErrDigest) {
				t.Errorf("%s, stored by version 0.2, repeated with %s: got %v", name, inputs, err)
			}
		}
	}
	answers := together(t, s, tree("rush", first, 2), tree("rush", again, 2)) // one waits for the other
	if a, b := answers[0], answers[1]; a.err != nil || b.err != nil || a.out.RootID != b.out.RootID || a.out.Replayed == b.out.Replayed {
		t.Errorf("at once: got %+v, %v and %+v, %v", a.out, a.err, b.out, b.err)
	}
}

// TestDigestsTakeLittleMemory: the tasks of a submission pass by, and what stays is as much as the largest of them.
func TestDigestsTakeLittleMemory(t *testing.T) {
	d := newDigester()
	task := &dag.Task{Name: "n", Inputs: []byte(`{"b":"` + strings.Repeat("x", 1<<20) + `","a":1}`)}
	for range 20 {
		d.add(task)
	}
	if most := 4 << 20; cap(d.scratch) > most {
		t.Errorf("%d bytes stay, want %d at most", cap(d.scratch), most)
	}
}
