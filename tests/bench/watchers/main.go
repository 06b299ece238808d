// Command watchers opens many event streams of one tree at a coordinator that runs, and tells what they cost: its memory, what another call takes
// meanwhile, and how long an event takes to all of them.
//
//	go run ./tests/bench/watchers -url http://127.0.0.1:8000 -pid PID -over ws -n 10000
//
// Client and coordinator need so many file descriptors each (ulimit -n).
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

func main() {
	url := flag.String("url", "http://127.0.0.1:8000", "of the coordinator")
	pid := flag.Int("pid", 0, "of the coordinator, on this machine; 0: memory is not told")
	over := flag.String("over", "sse", "sse or ws")
	n := flag.Int("n", 10_000, "watchers")
	flag.Parse()
	if err := run(*url, *pid, *over, *n); err != nil {
		fmt.Fprintln(os.Stderr, "watchers:", err)
		os.Exit(1)
	}
}

func run(url string, pid int, over string, n int) error {
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 16
	root, err := call(url, "tasks.create", `[{"name":"watched"}]`)
	if err != nil {
		return err
	}
	id := root["id"].(string)
	fmt.Printf("%d watchers over %s\nbefore: %s, a tree of one task takes %v\n", n, over, memory(pid), another(url))
	watch := sse
	if over == "ws" {
		watch = socket
	}
	ready, ended := make(chan error, n), make(chan error, n)
	began, open := time.Now(), make(chan struct{}, 64) // so many connect at once
	var watchers sync.WaitGroup
	for range n {
		open <- struct{}{}
		watchers.Go(func() {
			ended <- watch(url, id, func() { <-open; ready <- nil })
		})
	}
	for range n {
		select {
		case <-ready:
		case err := <-ended:
			return fmt.Errorf("a watcher ended before the tree: %v", err)
		}
	}
	fmt.Printf("all connected after %v\nwith them: %s, a tree of one task takes %v\n", time.Since(began).Round(time.Millisecond), memory(pid), another(url))
	began = time.Now()
	if _, err := call(url, "tasks.execute", `{"task_id":"`+id+`"}`); err != nil {
		return err
	}
	failed := 0
	for range n {
		if <-ended != nil {
			failed++
		}
	}
	fmt.Printf("the end reached all after %v, %d failed; %s\n", time.Since(began).Round(time.Millisecond), failed, memory(pid))
	watchers.Wait()
	return nil
}

// call makes a call of JSON-RPC.
func call(url, method, params string) (map[string]any, error) {
	res, err := http.Post(url+"/tasks", "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":`+params+`}`))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var answer struct {
		Result map[string]any
		Error  any
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.Error != nil {
		return nil, fmt.Errorf("%s: %v %v", method, err, answer.Error)
	}
	return answer.Result, nil
}

// another is what executing another tree takes: the least of ten times.
func another(url string) (least time.Duration) {
	for range 10 {
		began := time.Now()
		if _, err := call(url, "tasks.execute", `{"wait":true,"tasks":[{"name":"x"}]}`); err != nil {
			return -1
		}
		if took := time.Since(began).Round(100 * time.Microsecond); least == 0 || took < least {
			least = took
		}
	}
	return least
}

// memory is what a process has in memory.
func memory(pid int) string {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return "memory " + strings.TrimSpace(text)
		}
	}
	return "memory unknown"
}

// sse watches a tree to its end; connected is called once the server has answered.
func sse(url, id string, connected func()) error {
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(url + "/tasks/" + id + "/events")
	connected()
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if lines.Text() == "event: stream_end" {
			return nil
		}
	}
	return fmt.Errorf("no end: HTTP %d %v", res.StatusCode, lines.Err())
}

// socket watches a tree to its end.
func socket(url, id string, connected func()) error {
	ctx := context.Background()
	conn, _, err := websocket.Dial(ctx, url+"/ws", nil)
	if err == nil {
		defer conn.CloseNow()
		err = conn.Write(ctx, websocket.MessageText, []byte(`{"action":"subscribe","task_id":"`+id+`"}`))
	}
	for first := true; ; first = false {
		var frame []byte
		if err == nil {
			_, frame, err = conn.Read(ctx)
		}
		if first {
			connected()
		}
		if err != nil || strings.Contains(string(frame), `"type":"stream_end"`) {
			return err
		}
	}
}
