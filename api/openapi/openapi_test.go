package openapi_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/api/openapi"
	"github.com/taskgrove/taskgrove/coordinator"
)

func TestDocumentIsUpToDate(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "openapi.json")
	if out, err := exec.Command("go", "run", "./docgen", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if made, err := os.ReadFile(file); err != nil || !bytes.Equal(made, openapi.Document) {
		t.Errorf("openapi.json is out of date: make generate (%v)", err)
	}
}

// The document is valid, and has every method.
func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	doc, err := libopenapi.NewDocument(openapi.Document)
	if err != nil {
		t.Fatal(err)
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	if doc.GetVersion() != "3.1.0" || model.Model.Paths.PathItems.Len() < 8 {
		t.Errorf("got version %s, %d paths", doc.GetVersion(), model.Model.Paths.PathItems.Len())
	}
	for _, m := range jsonrpc.Methods() {
		if !bytes.Contains(openapi.Document, []byte(`"const": "`+m.Name+`"`)) {
			t.Errorf("the document lacks %s", m.Name)
		}
	}
}

// What the document shows as examples, the server takes.
func TestExamplesAreAccepted(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(jsonrpc.New(coordinator.NewAccess(apitest.New(), coordinator.AllowAll), jsonrpc.Config{Log: slog.New(slog.DiscardHandler)}))
	defer server.Close()
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody struct {
				Content map[string]struct{ Example json.RawMessage }
			}
		}
	}
	if err := json.Unmarshal(openapi.Document, &doc); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for path, item := range doc.Paths {
		example := item["post"].RequestBody.Content["application/json"].Example
		if len(example) == 0 {
			continue
		}
		tried++
		res, err := http.Post(server.URL+path, "application/json", bytes.NewReader(example))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`"result"`)) {
			t.Errorf("%s: got %d %s", path, res.StatusCode, body)
		}
	}
	if tried != 2 {
		t.Errorf("tried %d examples, want 2", tried)
	}
}

func TestServed(t *testing.T) {
	t.Parallel()
	for path, kind := range map[string]string{"/openapi.json": "application/json", "/docs": "text/html"} {
		w := httptest.NewRecorder()
		openapi.New().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if got := w.Header(); w.Code != 200 || !strings.HasPrefix(got.Get("Content-Type"), kind) || !strings.Contains(got.Get("Content-Security-Policy"), "default-src 'none'") || w.Body.Len() == 0 {
			t.Errorf("%s: got %d %v", path, w.Code, got)
		}
	}
}
