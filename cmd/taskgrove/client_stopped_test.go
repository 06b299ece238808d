package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

// answering lets a worker answer as soon as something is written.
type answering struct {
	strings.Builder
	answer func()
}

func (a *answering) Write(text []byte) (int, error) {
	a.answer()
	return a.Builder.Write(text)
}

// TestCancelNotesWhoIsSilent: who has not said that it stopped, and how long its lease runs; it goes on waiting for it.
func TestCancelNotesWhoIsSilent(t *testing.T) {
	svc := double(t)
	if _, note, code := runCommand(t, "submit", file(t, "a.json", `{"id": "a", "name": "a", "schemas": {"method": "x"}}`)); code != exitOK {
		t.Fatalf("exit %d: %s", code, note)
	}
	svc.Start("a")
	svc.Explain("a", coordinator.Wait{Kind: coordinator.WaitWorker, Text: "its worker"})
	if _, _, code := runCommand(t, "cancel", "a"); code != exitOK {
		t.Fatalf("exit %d", code)
	}
	c, err := client.New(os.Getenv("TASKGROVE_SERVER"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the test is over
	var out strings.Builder
	notes := &answering{answer: func() { svc.Explain("a") }}
	s := &session{Client: c, out: &out, notes: notes, format: formatText}
	left := stopping{still: time.Nanosecond, ids: []string{"a"}, surely: map[string]bool{"a": true}}
	if err := left.wait(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^a: worker w1 has not said that it stopped; it is alive, and its lease ends at \S+ if it is not heard of\n$`)
	if !want.MatchString(notes.String()) || !strings.Contains(out.String(), "a: attempt 1 stopped after ") {
		t.Errorf("noted %q, printed %q", notes.String(), out.String())
	}
}

func TestCancelWaitsForReceipts(t *testing.T) {
	svc := double(t)
	for _, name := range []string{"a", "b"} {
		if _, note, code := runCommand(t, "submit", file(t, name+".json", `{"id": "`+name+`", "name": "`+name+`", "schemas": {"method": "x"}}`)); code != exitOK {
			t.Fatalf("exit %d: %s", code, note)
		}
		svc.Start(name)
	}
	out, note, code := runCommand(t, "cancel", "--wait", "a")
	if code != exitOK || !strings.Contains(out, "a: Cancelled by user\n") && !strings.Contains(out, "a: cancelled") || !strings.Contains(out, "a: attempt 1 stopped after ") {
		t.Errorf("exit %d\n%s%s", code, out, note)
	}
	out, note, code = runCommand(t, "cancel", "--wait", "b", "-o", "json")
	var told struct {
		ID          string
		Attempt     int
		CancelledAt time.Time `json:"cancelled_at"`
		Stopped     time.Time
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &told); err != nil || code != exitOK || told.ID != "b" || told.Attempt != 1 || told.Stopped.Before(told.CancelledAt) {
		t.Errorf("exit %d, %v, %+v\n%s%s", code, err, told, out, note)
	}
}
