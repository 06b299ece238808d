package faults

import (
	"path/filepath"
	"testing"
	"time"
)

// TestJournalKnowsWhoStoodStill: a run counts as frozen if its executor had begun before its process was, noted or not. One that
// begins when the process goes on does not: its worker had to see that the lease had ended.
func TestJournalKnowsWhoStoodStill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	early := time.Now()
	for _, err := range []error{
		j.note("start", "noted", 1, 7),
		j.Frozen(7),
		j.start(early, "begun", 1, 7, "key"),
		j.note("start", "late", 1, 7),
		j.start(early, "elsewhere", 1, 8, ""),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	runs, err := ReadJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	for task, want := range map[string]int{"noted": 2, "begun": 2, "late": 0, "elsewhere": 0} {
		if got := runs[task][0].FrozenSince; got != want {
			t.Errorf("%s: frozen since line %d, want %d", task, got, want)
		}
	}
}
