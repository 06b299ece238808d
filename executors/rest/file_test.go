package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/rest"
)

// A body over its bound becomes an artifact where the task keeps outputs, and is cut elsewhere.
func TestLongBodyBecomesAnArtifact(t *testing.T) {
	long := strings.Repeat("1,2,3\n", 1000)
	tries := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/short":
			_, _ = io.WriteString(w, "[1]")
			return
		case "/away":
			http.Redirect(w, r, "/long", http.StatusFound)
			return
		case "/bad":
			w.WriteHeader(http.StatusBadRequest)
		case "/flaky":
			if tries++; tries < 3 {
				w.Header().Set("Content-Length", "100000")
				_, _ = io.WriteString(w, long)
				panic(http.ErrAbortHandler)
			}
		}
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		_, _ = io.WriteString(w, long)
	}))
	defer server.Close()
	for _, row := range []struct {
		path       string
		keep, file bool
	}{{"/long", true, true}, {"/away", true, true}, {"/flaky", true, true}, {"/short", true, false}, {"/long", false, false}, {"/bad", true, false}} {
		files := &conformance.Files{}
		call, _ := conformance.Call(t, object{"url": server.URL + row.path, "retries": 3, "fail_on_error": row.path == "/bad"})
		call.Files, call.KeepOutputs = files, row.keep
		got, err := newExecutor(t, rest.Config{MaxBodyBytes: 1000}).Run(t.Context(), call)
		if row.path == "/bad" {
			if err == nil || len(files.Saved()) != 0 {
				t.Errorf("%s: got %v, and %v", row.path, err, files.Saved())
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", row.path, err)
		}
		text, _ := json.Marshal(got.Value())
		var shown struct {
			Body            json.RawMessage
			JSON            json.RawMessage
			Truncated       bool
			TruncatedFields []string `json:"truncated_fields"`
			StatusCode      int      `json:"status_code"`
		}
		if err := json.Unmarshal(text, &shown); err != nil || shown.StatusCode != 200 {
			t.Fatalf("%s: %s: %v", row.path, text, err)
		}
		ref, is := executors.RefOf(shown.Body)
		if is != row.file || shown.Truncated != (row.path == "/long" && !row.keep) {
			t.Errorf("%+v: got %.300s", row, text)
		}
		if is && (string(files.Content(ref)) != long || ref.MediaType != "text/csv; charset=utf-8" || ref.Artifact != "body" || string(shown.JSON) != "null" || len(shown.TruncatedFields) != 1) {
			t.Errorf("%+v: got %.300s", row, text)
		}
	}
}

// An artifact is sent as it is, with its length, and read anew for every try and redirect.
func TestArtifactIsSentAsTheBody(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		got = append(got, fmt.Sprint(r.URL.Path, " ", r.ContentLength, " ", r.TransferEncoding, " ", r.Header.Get("Content-Type"), " ", bytes.Equal(body, content), " ", err))
		switch {
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/here", http.StatusTemporaryRedirect)
		case r.URL.Path == "/busy" && len(got) < 3:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	for _, row := range []struct {
		path, field string
		want        []string
		opened      int
	}{
		{"/plain", "data", []string{"/plain 1600000 [] application/octet-stream true <nil>"}, 1},
		{"/plain", "json", []string{"/plain 1600000 [] application/json true <nil>"}, 1},
		{"/moved", "data", []string{"/moved 1600000 [] application/octet-stream true <nil>", "/here 1600000 [] application/octet-stream true <nil>"}, 2},
		{"/busy", "data", []string{"/busy 1600000 [] application/octet-stream true <nil>", "/busy 1600000 [] application/octet-stream true <nil>", "/busy 1600000 [] application/octet-stream true <nil>"}, 3},
	} {
		files := &conformance.Files{}
		ref := files.Put("in.bin", content)
		call, _ := conformance.Call(t, object{"url": server.URL + row.path, "method": "POST", row.field: ref, "retries": 3, "fail_on_error": true})
		call.Files = files
		got = nil
		if _, err := newExecutor(t, rest.Config{}).Run(t.Context(), call); err != nil {
			t.Errorf("%s: %v", row.path, err)
		}
		if strings.Join(got, "|") != strings.Join(row.want, "|") || files.Opened() != row.opened {
			t.Errorf("%s %s: opened %d times, got %q", row.path, row.field, files.Opened(), got)
		}
	}

	files := &conformance.Files{}
	empty := files.Put("empty", []byte{})
	call, _ := conformance.Call(t, object{"url": server.URL + "/plain", "method": "POST", "data": empty})
	call.Files = files
	got = nil
	if _, err := newExecutor(t, rest.Config{}).Run(t.Context(), call); err != nil || len(got) != 1 || !strings.HasPrefix(got[0], "/plain 0 []") {
		t.Errorf("an empty one: %q, %v", got, err)
	}
}

// broken are files of which the content ends with an error, as one that is not what its reference says does.
type broken struct{ *conformance.Files }

func (b broken) Open(ctx context.Context, ref executors.FileRef) (io.ReadCloser, error) {
	content, err := b.Files.Open(ctx, ref)
	if err != nil {
		return nil, err
	}
	fails := io.MultiReader(io.LimitReader(content, ref.Size-1), failing{})
	return struct {
		io.Reader
		io.Closer
	}{fails, content}, nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) {
	return 0, executors.WithKind(executors.Permanent(io.ErrUnexpectedEOF), "artifact_missing")
}

// What can't be had whole, no service takes for whole; and it is not tried again.
func TestArtifactThatCantBeReadFailsTheTask(t *testing.T) {
	var tries, whole atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		tries.Add(1)
		if _, err := io.ReadAll(r.Body); err == nil {
			whole.Add(1)
		}
	}))
	defer server.Close()
	files := &conformance.Files{}
	ref := files.Put("in.bin", make([]byte, 1<<20))
	gone := ref
	gone.SHA256 = strings.Repeat("0", 64)
	for what, ref := range map[string]executors.FileRef{"breaks off": ref, "is gone": gone} {
		call, _ := conformance.Call(t, object{"url": server.URL, "method": "PUT", "data": ref, "retries": 3})
		call.Files = broken{files}
		_, err := newExecutor(t, rest.Config{}).Run(t.Context(), call)
		if !executors.IsPermanent(err) || executors.KindOf(err) != "artifact_missing" {
			t.Errorf("%s: got %v, kind %q", what, err, executors.KindOf(err))
		}
	}
	server.Close() // waits for handlers
	if whole.Load() > 0 || tries.Load() > 2 {
		t.Errorf("%d tries, %d of them whole", tries.Load(), whole.Load())
	}
}
