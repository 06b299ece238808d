package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

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
