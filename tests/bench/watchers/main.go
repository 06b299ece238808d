// Command watchers opens many event streams of one tree at a coordinator that runs, and tells what they cost: its memory and processor time, what
// another tree takes meanwhile, and how long an event takes to all of them.
//
//	nice -n 19 go run ./tests/bench/watchers -url http://127.0.0.1:8000 -pid PID -over ws -n 10000
//
// Client and coordinator need so many file descriptors each (ulimit -n). nice, because on one machine the watchers and the coordinator share the
// processors: what the watchers do with an event is no cost of the coordinator.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
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
	fmt.Printf("%d watchers over %s\nbefore: %s\n", n, over, cost(url, pid))
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
	fmt.Printf("all connected after %v\n", time.Since(began).Round(time.Millisecond))
	time.Sleep(settle)
	fmt.Printf("with them: %s\n", cost(url, pid))
	used := processor(pid)
	began = time.Now()
	if _, err := call(url, "tasks.execute", `{"task_id":"`+id+`"}`); err != nil {
		return err
	}
	failed := 0
	for range n {
		if err := <-ended; err != nil {
			if failed++; failed == 1 {
				fmt.Println("the first that failed:", err)
			}
		}
	}
	fmt.Printf("the end reached all after %v, %d failed, and cost the coordinator %v of processor time; %s\n", time.Since(began).Round(time.Millisecond), failed,
		processor(pid)-used, memory(pid))
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

const (
	settle  = 5 * time.Second  // between the last connection and the measurement
	idle    = 10 * time.Second // for which the processor time of watchers is measured to which nothing happens
	samples = 50
)

// cost is what a coordinator needs, idle and for other trees.
func cost(url string, pid int) string {
	used := processor(pid)
	time.Sleep(idle)
	share := float64(processor(pid)-used) / float64(idle) * 100
	used = processor(pid)
	times := others(url)
	return fmt.Sprintf("%s, idle %.1f %% of a core; a tree of one task takes %v in the middle of %d, %v at least, %v at the 90th percentile, and %v of processor time",
		memory(pid), share, times[samples/2], samples, times[0], times[samples*9/10], ((processor(pid) - used) / samples).Round(100*time.Microsecond))
}

// others are what executing other trees takes, in the order of the durations.
func others(url string) []time.Duration {
	times := make([]time.Duration, samples)
	for i := range times {
		began := time.Now()
		if _, err := call(url, "tasks.execute", `{"wait":true,"tasks":[{"name":"x"}]}`); err != nil {
			times[i] = -1
			continue
		}
		times[i] = time.Since(began).Round(100 * time.Microsecond)
	}
	slices.Sort(times)
	return times
}

// processor is the processor time that a process has used.
func processor(pid int) time.Duration {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // ticks of Linux
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
