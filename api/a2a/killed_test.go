package a2a_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// The coordinator that serves a stream is killed: its client goes on with another by the last id, and gets each event once.
func TestClientsOfAKilledCoordinatorResume(t *testing.T) {
	t.Parallel()
	c := start(t, 2)
	tasks := `{"id":"r","name":"r","schemas":{"method":"sleep_executor"},"inputs":{"seconds":0.01}}`
	for i := range 8 {
		before := ""
		if i > 0 {
			before = fmt.Sprintf(`"t%d"`, i-1)
		}
		tasks += fmt.Sprintf(`,{"id":"t%d","name":"t","parent_id":"r","dependencies":[%s],"schemas":{"method":"sleep_executor"},"inputs":{"seconds":0.1}}`, i, before)
	}
	first, second := c.Coordinators[0].P.HTTP, c.Coordinators[1].P.HTTP
	id, seen, ended := streamed(t, first, 0, 4, "message/stream", `{"message":{"messageId":"m","role":"user","parts":[{"kind":"data","data":{"tasks":[`+tasks+`]}}]},"metadata":{"stream":true}}`)
	c.Coordinators[0].Cut()
	if ended || id == "" {
		t.Fatalf("the tree %q ended with %v, before its coordinator was killed", id, seen)
	}
	again, rest, ended := streamed(t, second, seen[len(seen)-1], 0, "tasks/resubscribe", `{"id":"`+id+`"}`)
	if seen = append(seen, rest...); !ended || again != id {
		t.Errorf("the stream of %s did not come to its end: %v", again, seen)
	}
	for i, sequence := range seen {
		if sequence != i+1 {
			t.Fatalf("got events %v, want each once", seen)
		}
	}
	want := 2 // the execution's start and end, and those of each attempt at nine tasks: what was under way may have been tried again
	for _, task := range []string{"r", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"} {
		got, err := c.Coordinators[1].P.Task(t.Context(), task)
		if err != nil {
			t.Fatal(err)
		}
		want += 2 * int(got.Attempt)
	}
	if len(seen) != want {
		t.Errorf("got %d events, want %d: %v", len(seen), want, seen)
	}
}

// streamed gives the task and the ids of so many events, all for 0, of a stream of 0.3, and whether it came to its end.
func streamed(t *testing.T, url string, after, most int, method, params string) (id string, seen []int, ended bool) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":`+params+`}`))
	if err != nil {
		t.Fatal(err)
	}
	if after > 0 {
		req.Header.Set("Last-Event-ID", strconv.Itoa(after))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan() && (most == 0 || len(seen) < most); {
		if text, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			sequence, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, sequence)
		}
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var event struct {
			Error  json.RawMessage
			Result struct {
				ID, Kind string
				Final    bool
			}
		}
		if err := json.Unmarshal([]byte(text), &event); err != nil || event.Error != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if event.Result.Kind == "task" {
			id = event.Result.ID
		}
		if event.Result.Final {
			return id, seen, true
		}
	}
	return id, seen, false
}
