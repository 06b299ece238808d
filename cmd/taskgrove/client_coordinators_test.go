package main

import (
	"encoding/json"
	"errors"
	"regexp"
	"testing"
	"time"
)

func TestCoordinators(t *testing.T) {
	svc := double(t)
	out, note, code := runCommand(t, "coordinators")
	date := `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[-+]\d\d:\d\d)`
	want := regexp.MustCompile(`^NAME +VERSION +LEVEL +SINCE +LEASE UNTIL\nc1 +1\.2\.3 +2 +` + date + ` +` + date + `\n$`)
	if code != exitOK || !want.MatchString(out) {
		t.Errorf("exit %d\n%s%s", code, out, note)
	}
	var list []struct {
		Name, Instance, Version string
		Level                   int
		StartedAt               time.Time `json:"started_at"`
		LeaseUntil              time.Time `json:"lease_until"`
	}
	out, note, code = runCommand(t, "coordinators", "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != exitOK || len(list) != 1 {
		t.Fatalf("as json: exit %d, %v\n%s%s", code, err, out, note)
	}
	if c := list[0]; c.Name != "c1" || c.Instance != "i1" || c.Version != "1.2.3" || c.Level != 2 || !c.StartedAt.Before(c.LeaseUntil) {
		t.Errorf("as json: got %+v", c)
	}
	svc.FailNext("Coordinators", errors.New("the store is gone"))
	if out, _, code := runCommand(t, "coordinators"); code != exitError || out != "" {
		t.Errorf("an error: exit %d\n%s", code, out)
	}
	if _, _, code := runCommand(t, "coordinators", "c1"); code != exitUsage {
		t.Errorf("an argument is none of its: exit %d", code)
	}
}
