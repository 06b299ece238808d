package main

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

// TestAStillTreeSaysWhy waits for a tree in which nothing runs, and watches another.
func TestAStillTreeSaysWhy(t *testing.T) {
	svc := double(t)
	const document = `[{"id":"r","name":"report","dependencies":["a"]},{"id":"a","name":"fetch","parent_id":"r"}]`
	svc.Explain("r", coordinator.Wait{Kind: coordinator.WaitDependency, TaskID: "a", TaskName: "fetch", Text: "fetch (a) to complete; it is ready"})
	svc.Explain("a", coordinator.Wait{Kind: coordinator.WaitPool, Text: "a worker that serves pool gpu"})
	const want = "nothing moves:\n  report (r): ready\n    waits for fetch (a) to complete; it is ready\n      waits for a worker that serves pool gpu\n"
	var both sync.WaitGroup
	defer both.Wait()
	started := make(chan struct{})
	both.Go(func() {
		<-started
		if out, note, code := runCommand(t, "watch", "r"); code != exitOK || note != want {
			t.Errorf("watch: exit %d, got %q, want %q\n%s", code, note, want, out)
		}
	})
	both.Go(func() {
		<-started
		if out, note, code := runCommand(t, "submit", file(t, "t.json", document), "--idempotency-key", "k", "--wait"); code != exitOK || !strings.Contains(note, want) {
			t.Errorf("wait: exit %d, got %q, want %q\n%s", code, note, want, out)
		}
	})
	if _, note, code := runCommand(t, "submit", file(t, "t.json", document), "--idempotency-key", "k"); code != exitOK {
		t.Fatal(note)
	}
	close(started)
	time.Sleep(stillAfter + time.Second) // the two say why meanwhile
	svc.Complete("a", `1`)
	svc.Complete("r", `1`)
}

func TestReasonsAreAskedForWhenNothingMoves(t *testing.T) {
	svc := double(t)
	submitted(t, `[{"id":"r","name":"report"}]`)
	svc.Explain("r", coordinator.Wait{Kind: coordinator.WaitPool, Text: "a worker"})
	cmd := treeCommand()
	s, err := connect(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	began := time.Now()
	v := &standstill{}
	for _, tt := range []struct {
		fact   string
		after  time.Duration
		change func(*client.Tree)
		want   string
	}{
		{"at first", 0, nil, ""},
		{"before its time", stillAfter - 1, nil, ""},
		{"then", stillAfter, nil, "report (r): ready|  waits for a worker"},
		{"as long as it lasts", stillAfter + 1, nil, "report (r): ready|  waits for a worker"},
		{"something happened", stillAfter + 2, func(t *client.Tree) { t.Sequence++ }, ""},
		{"something runs", 4 * stillAfter, func(t *client.Tree) { t.Running = 1 }, ""},
	} {
		tree, err := s.Tree(t.Context(), "r")
		if err != nil {
			t.Fatal(err)
		}
		if tt.change != nil {
			tt.change(tree)
		}
		if got := v.look(t.Context(), s, tree, "r", began.Add(tt.after)); strings.Join(got, "|") != tt.want {
			t.Errorf("%s: got %q, want %q", tt.fact, got, tt.want)
		}
	}
}

func TestWhyFollowsDependencies(t *testing.T) {
	svc := double(t)
	const id = "0190a3c2-5b1e-4000-8000-000000000001"
	submitted(t, `[{"id":"r","name":"r"},{"id":"`+id+`","name":"fetch","parent_id":"r"},{"id":"b","name":"b","parent_id":"r"}]`)
	wait := func(on, name string) coordinator.Wait {
		return coordinator.Wait{Kind: coordinator.WaitDependency, TaskID: on, TaskName: name, Text: name + " (" + on + ") to complete"}
	}
	svc.Explain("r", wait(id, "fetch"), wait("b", "b"))
	svc.Explain("b", wait(id, "fetch")) // told already
	svc.Explain(id, coordinator.Wait{Kind: coordinator.WaitPool, Text: "a worker"})
	want := "r: ready\n  waits for fetch (0190a3c2) to complete\n    waits for a worker\n  waits for b (b) to complete\n    waits for fetch (0190a3c2) to complete\n"
	if out, note, code := runCommand(t, "why", "r"); code != exitOK || out != want {
		t.Errorf("exit %d, got\n%s%s\nwant\n%s", code, out, note, want)
	}
	var many []coordinator.Wait
	for range reasonWide + 3 {
		many = append(many, coordinator.Wait{Kind: coordinator.WaitPool, Text: "a worker"})
	}
	svc.Explain("r", many...)
	if out, _, _ := runCommand(t, "why", "r"); strings.Count(out, "\n") != reasonWide+2 || !strings.HasSuffix(out, "  … and for 3 more\n") {
		t.Errorf("got\n%s", out)
	}
}

func TestTheHeaderKeepsStatusAndCounts(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 10, 0, time.UTC)
	tree := &client.Tree{ID: "0190a3c2-5b1e-4000-8000-000000000001", Name: "the nightly run of all reports, for the whole company", Status: client.StatusInProgress,
		Progress: 0.5, Tasks: 123456, Completed: 61728, Running: 128, Failed: 3, Blocked: 17, StartedAt: now.Add(-time.Hour)}
	for width, want := range map[int]string{
		80: "the nightly run of all re…  in_progress  50%  61728 completed  128 running\n3 failed  17 blocked  of 123456 tasks  1h0m0s\n",
		40: "the nightly …  in_progress  50%\n61728 completed  128 running  3 failed\n17 blocked  of 123456 tasks  1h0m0s\n",
	} {
		got := strings.Join(header(tree, width, now), "\n") + "\n"
		if got != want {
			t.Errorf("%d columns: got\n%s\nwant\n%s", width, got, want)
		}
		for line := range strings.Lines(got) {
			if n := columns(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("%d columns: a line of %d", width, n)
			}
		}
		if view := liveView(tree, nil, nil, []string{"why"}, width, 10, now); !strings.HasPrefix(view, want) || !strings.HasSuffix(view, "nothing moves:\nwhy\n") {
			t.Errorf("%d columns: got\n%s", width, view)
		}
	}
}

func TestReasonsGoOnInTheNextLine(t *testing.T) {
	reasons := []string{"report: waiting", "  waits for a worker that serves pool gpu"}
	for most, want := range map[int]string{
		9: "nothing moves:|report: waiting|  waits for a worker|      that serves|      pool gpu", 3: "nothing moves:|report: waiting|  …", 1: "",
	} {
		if got := strings.Join(reasonLines(reasons, most, 20), "|"); got != want {
			t.Errorf("%d lines: got %q, want %q", most, got, want)
		}
	}
}

func TestADumbTerminalGetsNoEscapes(t *testing.T) {
	for term, why := range map[string]string{"dumb": "is one", "": "may be one"} {
		t.Setenv("TERM", term)
		s := &session{out: terminal(t), format: formatText}
		if _, ok := s.screenOf(); ok {
			t.Errorf("TERM=%q: a terminal that %s is drawn on", term, why)
		}
	}
	t.Setenv("TERM", "xterm")
	if _, ok := (&session{out: terminal(t), format: formatText}).screenOf(); !ok {
		t.Error("TERM=xterm: no live view")
	}
	if _, ok := (&session{out: terminal(t), format: formatJSON}).screenOf(); ok {
		t.Error("JSON is drawn on")
	}
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for text, want := range map[string]string{
		"90m": "2026-02-03T02:35:06Z", "24h": "2026-02-02T04:05:06Z", "7d": "2026-01-27T04:05:06Z", "0s": "2026-02-03T04:05:06Z",
		"2026-01-31": "2026-01-31T00:00:00Z", "2026-01-31 12:00": "2026-01-31T12:00:00Z", "2026-01-31 12:00:01": "2026-01-31T12:00:01Z",
		"2026-01-31T12:00:00+01:00": "2026-01-31T11:00:00Z",
		"":                          "", "-1h": "", "-1d": "", "xd": "", "tomorrow": "", "99999999d": "", "1e9h": "",
	} {
		at, err := parseTime(text, now)
		if got := at.UTC().Format(time.RFC3339); (err != nil) != (want == "") || err == nil && got != want {
			t.Errorf("%q: got %s, %v, want %s", text, got, err, want)
		}
	}
}
