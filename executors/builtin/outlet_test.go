package builtin_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/network/networktest"
)

// TestWayOutOfAPoolIsTheWorkersFiles: a pool goes through the proxy that the file names for it, and another goes nowhere.
func TestWayOutOfAPoolIsTheWorkersFiles(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer server.Close()
	proxy := networktest.StartProxy(t)
	proxy.To = server.Listener.Addr().String()
	file := filepath.Join(t.TempDir(), "worker.yaml")
	if err := os.WriteFile(file, []byte("pools:\n  far:\n    proxy: "+proxy.URL+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, e := range builtin.New(builtin.Config{WorkerFile: file}) {
		if closer, ok := e.(io.Closer); ok {
			defer closer.Close()
		}
		if e.Describe().ID != "rest_executor" {
			continue
		}
		for pool, want := range map[string]int{"far": 1, "near": 0} {
			call, _ := conformance.Call(t, `{"url": "http://www.taskgrove.invalid/", "timeout": 5}`)
			call.Pool = pool
			_, err := e.Run(t.Context(), call)
			if got := len(proxy.Asked()); got != want || (err == nil) != (want == 1) {
				t.Errorf("%s: %v, and the proxy was asked %d times, want %d", pool, err, got, want)
			}
		}
	}
}
