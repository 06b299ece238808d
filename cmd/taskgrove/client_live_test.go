package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

func TestBranches(t *testing.T) {
	task := func(id, parent string, p client.Priority) *client.Task {
		return &client.Task{ID: id, ParentID: parent, Priority: p}
	}
	for _, tt := range []struct {
		name  string
		tasks []*client.Task
		want  string
	}{
		{"none", nil, ""},
		{"children follow their parent by priority", []*client.Task{task("b", "r", 3), task("r", "", 2), task("c", "b", 2), task("a", "r", 0)}, "r0 a1 b1 c2"},
		{"equal priorities keep their order", []*client.Task{task("r", "", 2), task("x", "r", 2), task("w", "r", 2)}, "r0 x1 w1"},
		{"without its parent a task stands at the top", []*client.Task{task("x", "elsewhere", 2), task("y", "x", 2)}, "x0 y1"},
	} {
		var got []string
		for _, b := range branches(tt.tasks) {
			got = append(got, fmt.Sprintf("%s%d", b.task.ID, b.indent))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, got, tt.want)
		}
	}
}

func TestADeepChainIsIndentedSoFarOnly(t *testing.T) {
	var chain []*client.Task
	for i := range 100_000 {
		parent := ""
		if i > 0 {
			parent = fmt.Sprint(i - 1)
		}
		chain = append(chain, &client.Task{ID: fmt.Sprint(i), ParentID: parent})
	}
	all := branches(chain)
	if len(all) != len(chain) || all[len(all)-1].indent != deepest {
		t.Errorf("got %d branches, the last at level %d, want %d and %d", len(all), all[len(all)-1].indent, len(chain), deepest)
	}
}

func TestFittingShowsWhatRunsBelowItsParents(t *testing.T) {
	task := func(id, parent string, status client.Status) *client.Task {
		return &client.Task{ID: id, ParentID: parent, Status: status}
	}
	all := branches([]*client.Task{
		task("r", "", client.StatusPending),
		task("a", "r", client.StatusCompleted), task("a1", "a", client.StatusCompleted),
		task("b", "r", client.StatusPending), task("b1", "b", client.StatusInProgress), task("b2", "b", client.StatusPending),
		task("c", "r", client.StatusFailed),
	})
	for room, want := range map[int]string{0: "", 1: "r", 2: "r c", 3: "r b b1", 4: "r b b1 c", 7: "r a a1 b b1 b2 c", 9: "r a a1 b b1 b2 c"} {
		var got []string
		for _, b := range fitting(all, room, rank) {
			got = append(got, b.task.ID)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("room for %d: got %v, want %s", room, got, want)
		}
	}
}

func TestCutCountsColumns(t *testing.T) {
	for _, tt := range []struct {
		line string
		n    int
		want string
	}{
		{"short", 5, "short"}, {"longer", 5, "long…"}, {"日本語", 6, "日本語"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"},
		{"e\u0301e\u0301", 2, "e\u0301e\u0301"}, {"any", 0, ""}, {"any", 1, "…"},
	} {
		if got := cut(tt.line, tt.n); got != tt.want || columns(got) > tt.n {
			t.Errorf("cut(%q, %d): got %q, want %q", tt.line, tt.n, got, tt.want)
		}
		if got := columns(pad(tt.line, tt.n)); got != tt.n {
			t.Errorf("pad(%q, %d): got %d columns", tt.line, tt.n, got)
		}
	}
}

func TestLiveViewNeverLeavesTheScreen(t *testing.T) {
	tree := &client.Tree{ID: "r", Status: client.StatusInProgress, Tasks: 40}
	var tasks []*client.Task
	for i := range 40 {
		tasks = append(tasks, &client.Task{ID: fmt.Sprint(i), Name: strings.Repeat("名", i), Status: client.StatusInProgress, Error: strings.Repeat("x\n", i)})
	}
	for _, width := range []int{20, 80, 200} {
		for height := 2; height < 50; height++ {
			lines := strings.Split(strings.TrimSuffix(liveView(tree, tasks, nil, []string{"a", "b"}, width, height, time.Now()), "\n"), "\n")
			if len(lines) > height {
				t.Errorf("%d x %d: got %d lines", width, height, len(lines))
			}
			for _, line := range lines {
				if columns(line) > width {
					t.Errorf("%d x %d: a line of %d columns: %s", width, height, columns(line), line)
				}
			}
		}
	}
}

func TestWhatDoesNotRunIsNoSuccess(t *testing.T) {
	double(t)
	held := file(t, "held.json", `[{"id":"h","name":"h"}]`)
	for _, tt := range []struct {
		name string
		args []string
		note string
		code int
	}{
		{"a held tree can't be waited for", []string{"submit", held, "--hold", "--wait"}, "--hold", exitUsage},
		{"an empty unique key", []string{"submit", held, "--unique-key", ""}, "--unique-key must not be empty", exitUsage},
		{"a unique key with a template", []string{"submit", held, "--unique-key", "a-{{parameters.day}}"}, "let the file say unique.key", exitUsage},
		{"held", []string{"submit", held, "--hold"}, "", exitOK},
		{"a watch of it ends", []string{"watch", "h"}, "held", exitError},
		{"a watch without a server ends, too", []string{"watch", "h", "--server", "127.0.0.1:1"}, "no coordinator answers", exitUnreachable},
	} {
		if _, note, code := runCommand(t, tt.args...); code != tt.code || !strings.Contains(note, tt.note) {
			t.Errorf("%s: exit %d %s, want %d and %s", tt.name, code, note, tt.code, tt.note)
		}
	}
}
