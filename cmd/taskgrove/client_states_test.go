package main

import (
	"bytes"
	"io"
	"regexp"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

var blanksAtEnd = regexp.MustCompile(`(?m) +$`)

// TestEachStateIsShown: what a tree's tasks show in "tree", in the live view and in "get", for the states and ends beyond the protocol.
func TestEachStateIsShown(t *testing.T) {
	old := zone
	zone = time.UTC
	defer func() { zone = old }()
	at := time.Date(2040, 1, 2, 3, 4, 5, 0, time.UTC)
	tasks := []*client.Task{
		{ID: "r", Name: "root", Status: client.StatusInProgress, State: client.StateWaiting},
		{ID: "sk", ParentID: "r", Name: "skipped", Status: client.StatusCompleted, State: client.StateSkipped, SkipReason: "when_false"},
		{ID: "al", ParentID: "r", Name: "allowed", Status: client.StatusFailed, State: client.StateFailed, AllowFailure: true, Error: "no luck"},
		{ID: "ex", ParentID: "r", Name: "expanded", Status: client.StatusInProgress, State: client.StateExpanded, Expansion: &client.Expansion{Tasks: 10, Made: 6, Unfinished: 7}},
		{ID: "si", ParentID: "r", Name: "signal", Status: client.StatusInProgress, State: client.StateAwaiting, Waiting: &client.Waiting{Kind: "signal", Name: "go", Until: at}},
		{ID: "ap", ParentID: "r", Name: "approval", Status: client.StatusInProgress, State: client.StateAwaiting, Waiting: &client.Waiting{Kind: "approval"}},
		{ID: "su", ParentID: "r", Name: "subtree", Status: client.StatusInProgress, State: client.StateAwaiting, Waiting: &client.Waiting{Kind: "tree", TreeID: "t7"}},
		{ID: "aw", ParentID: "r", Name: "unread", Status: client.StatusInProgress, State: client.StateAwaiting},
		{ID: "re", ParentID: "r", Name: "repeats", Status: client.StatusInProgress, State: client.StateRunning, Repeat: &client.Repeat{Until: "attempt > 8", Max: 5}, Repeats: 2},
		{ID: "ru", ParentID: "r", Name: "once", Status: client.StatusInProgress, State: client.StateRunning, Repeat: &client.Repeat{Until: "attempt > 8", Max: 5}},
		{ID: "xh", ParentID: "r", Name: "exhausted", Status: client.StatusCompleted, State: client.StateCompleted, Repeat: &client.Repeat{Until: "attempt > 8", Max: 5}, Repeats: 4, RepeatExhausted: true},
	}
	var got bytes.Buffer
	table(&got, func(w io.Writer) { writeBranches(w, tasks, at) })
	const want = `root         r   in_progress
  skipped    sk  skipped: when_false
  allowed    al  failed (allowed)                                                 no luck
  expanded   ex  in_progress (expanded: 3 of 10 have ended)
  signal     si  in_progress (awaiting: signal go, until 2040-01-02T03:04:05Z)
  approval   ap  in_progress (awaiting: approval)
  subtree    su  in_progress (awaiting: tree t7)
  unread     aw  in_progress (awaiting)
  repeats    re  in_progress  run 3 of 5
  once       ru  in_progress
  exhausted  xh  completed  repeat exhausted after 5 runs
`
	if got := blanksAtEnd.ReplaceAllString(got.String(), ""); got != want { // of cells that are empty
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for i, want := range map[int]string{8: "3 of 5 at most, until attempt > 8", 9: "1 of 5 at most, until attempt > 8", 10: "5 of 5 at most, until attempt > 8; it never came to that", 7: ""} {
		if got := repeats(tasks[i]); got != want {
			t.Errorf("%s: got %q, want %q", tasks[i].Name, got, want)
		}
	}
}
