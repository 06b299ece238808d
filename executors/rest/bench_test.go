package rest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/rest"
)

// BenchmarkWarmRequest measures an attempt over a connection that is open, beside the bare library.
func BenchmarkWarmRequest(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"a":1}`) }))
	defer server.Close()
	b.Run("executor", func(b *testing.B) {
		e := rest.New(rest.Config{}, loopback)
		defer e.Close()
		call, _ := conformance.Call(b, object{"url": server.URL})
		b.ReportAllocs()
		for b.Loop() {
			if _, err := e.Run(b.Context(), call); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("net/http", func(b *testing.B) {
		client := &http.Client{Transport: &http.Transport{}}
		b.ReportAllocs()
		for b.Loop() {
			resp, err := client.Get(server.URL)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadAll(resp.Body); err != nil {
				b.Fatal(err)
			}
			_ = resp.Body.Close()
		}
	})
}
