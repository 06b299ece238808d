package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestExecutors(t *testing.T) {
	svc := double(t)
	out, note, code := runCommand(t, "executors")
	want := "ID                TYPE  WORKERS  DESCRIPTION\n" +
		"fetch_executor    http  3        Fetches what a task names\n" +
		"hand_executor     test  1        Ends as it is told\n" +
		"unheard_executor        0        \n" +
		"fetch_executor: 1 of 3 live workers describe other inputs\n"
	if trimmed := strings.ReplaceAll(out, " \n", "\n"); code != exitOK || strings.ReplaceAll(trimmed, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("exit %d\n%s%s", code, out, note)
	}
	if out, _, code := runCommand(t, "executors", "-o", "wide"); code != exitOK || !strings.Contains(out, "fetch_executor,gpu") {
		t.Errorf("wide: exit %d\n%s", code, out)
	}
	var list []struct {
		ID     string
		Inputs struct{ Required []string }
		Pools  []string
	}
	out, note, code = runCommand(t, "executors", "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != exitOK || len(list) != 3 || list[0].Inputs.Required[0] != "url" || len(list[0].Pools) != 2 {
		t.Errorf("as json: exit %d, %v\n%s%s", code, err, out, note)
	}
	out, note, code = runCommand(t, "executors", "fetch")
	for _, want := range []string{"id           fetch_executor", "timeout      1.5s", "connection   of type http, which sets url, auth", "url  string  required",
		"# Fetch a page\ntasks:\n- name: Fetch a page\n", "url: https://example.org"} {
		if !strings.Contains(out, want) || code != exitOK {
			t.Errorf("one: exit %d, no %q in\n%s%s", code, want, out, note)
		}
	}
	if _, note, code := runCommand(t, "executors", "nobody"); code != exitError || !strings.Contains(note, `not found; "taskgrove executors" lists`) {
		t.Errorf("one that there is not: exit %d, %s", code, note)
	}
	svc.FailNext("Executors", errors.New("the store is gone"))
	if out, _, code := runCommand(t, "executors"); code != exitError || out != "" {
		t.Errorf("an error: exit %d\n%s", code, out)
	}
}
