package model_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model"
)

// TestMemoryStaysFlat over streamed calls: 300, or 10 000 with TASKGROVE_FULL=1. It measures: no test beside it.
func TestMemoryStaysFlat(t *testing.T) {
	calls := 300
	if os.Getenv("TASKGROVE_FULL") != "" {
		calls = 10_000
	}
	token := strings.Repeat(sse(`{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"Once upon a time. "}}]}`), 200)
	delta := strings.Repeat(sse(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Once upon a time. "}}`), 200)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", asEvents)
		if strings.HasSuffix(r.URL.Path, "/messages") {
			fmt.Fprint(w, sse(`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`), delta, sse(`{"type":"message_stop"}`))
			return
		}
		fmt.Fprint(w, token, sse(`{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`, "[DONE]"))
	}))
	defer s.Close()
	b := newBench(t, model.Config{})
	b.call.Live = func(executors.Piece) {}
	ask := func(i int) {
		r := say("Hi")
		r.Stream = true
		resp, err := b.session(model.Options{Key: "sk-some-key-of-some-length", BaseURL: s.URL, API: []string{"openai", "anthropic"}[i%2]}).Ask(t.Context(), r)
		if err != nil || len(resp.Message.Text()) != 200*18 {
			t.Fatalf("got %+v, %v", resp, err)
		}
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for i := range 50 {
		ask(i)
	}
	before, goroutines := heap(), runtime.NumGoroutine()
	for i := range calls {
		ask(i)
	}
	after := heap()
	t.Logf("%d calls: %d KiB before, %d KiB after", calls, before>>10, after>>10)
	if after > before+2<<20 {
		t.Errorf("%d calls took %d KiB", calls, (after-before)>>10)
	}
	if n := runtime.NumGoroutine(); n > goroutines+5 {
		t.Errorf("%d goroutines became %d", goroutines, n)
	}
}
