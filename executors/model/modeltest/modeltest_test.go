package modeltest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

// formats are how each format asks.
var formats = []struct {
	name, path, body string
	headers          func(key string) http.Header
}{
	{"openai", "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"Hello"}]`, func(key string) http.Header {
		return http.Header{"Authorization": {"Bearer " + key}, "Content-Type": {"application/json"}}
	}},
	{"anthropic", "/v1/messages", `{"model":"m","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]`, func(key string) http.Header {
		return http.Header{"X-Api-Key": {key}, "Anthropic-Version": {"2023-06-01"}, "Content-Type": {"application/json"}}
	}},
}

// post asks, and returns the answer with its body; err is why that could not be read to its end.
func post(t *testing.T, s *modeltest.Server, path, body string, headers http.Header) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = headers
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	return resp, string(read), err
}

func TestEachFormatAnswersWholeAndStreamed(t *testing.T) {
	t.Parallel()
	for _, f := range formats {
		for _, stream := range []string{"", `,"stream":true`} {
			s := modeltest.Start(t)
			s.Play("m", modeltest.Recorded("good"))
			resp, body, err := post(t, s, f.path, f.body+stream+"}", f.headers(s.Key()))
			if err != nil || resp.StatusCode != 200 || resp.Header.Get("X-Request-Id")+resp.Header.Get("Request-Id") == "" {
				t.Fatalf("%s%s: %v %v %s", f.name, stream, resp, err, body)
			}
			got := body
			if stream != "" {
				got = streamed(t, f.name, body)
			}
			if !strings.Contains(got, "The capital of France is Paris. It lies on the Seine – since 250 BC. 🗼") {
				t.Errorf("%s%s: got %s", f.name, stream, body)
			}
			if r := s.Requests()[0]; r.Model != "m" || r.Stream != (stream != "") || r.Messages[0].Text != "Hello" || r.Refused() != "" || r.Left() {
				t.Errorf("%s: the request is %+v", f.name, r)
			}
		}
	}
}

// streamed is the text of a stream whose events are all JSON.
func streamed(t *testing.T, format, body string) string {
	t.Helper()
	said := ""
	for block := range strings.SplitSeq(strings.TrimSpace(body), "\n\n") {
		_, data, _ := strings.Cut(block, "data: ")
		if data == "[DONE]" {
			continue
		}
		var e struct {
			Choices []struct{ Delta struct{ Content string } }
			Delta   struct{ Text string }
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatalf("%s: %v: %s", format, err, data)
		}
		said += e.Delta.Text
		for _, c := range e.Choices {
			said += c.Delta.Content
		}
	}
	return said
}

func TestEachRecordedScriptAnswersInBothFormats(t *testing.T) {
	t.Parallel()
	for _, script := range modeltest.AllRecorded() {
		if script.About == "" {
			t.Errorf("script %s does not say what it shows", script.Name)
		}
		for _, f := range formats {
			for _, stream := range []string{"", `,"stream":true`} {
				t.Run(script.Name+"/"+f.name+stream, func(t *testing.T) {
					t.Parallel()
					s := modeltest.Start(t)
					s.Play("m", script)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if first := script.Turns[0]; first.HangFirst || first.Hang { // it ends when the client leaves
						go func() { s.Wait(t, 1); cancel() }()
					}
					req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+f.path, strings.NewReader(f.body+stream+"}"))
					if err != nil {
						t.Fatal(err)
					}
					req.Header = f.headers(s.Key())
					if resp, err := http.DefaultClient.Do(req); err == nil {
						_, _ = io.CopyN(io.Discard, resp.Body, 1<<20)
						resp.Body.Close()
					}
					<-s.Wait(t, 1)[0].Ended()
				})
			}
		}
	}
}
