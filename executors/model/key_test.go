package model_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/model"
)

const canary = "sk-canary-7Fq2Lw9Zx4Rt8Vb1"

// redirect is a service that sends everybody elsewhere.
func redirect(t testing.TB, to string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to+"?key="+url.QueryEscape(r.Header.Get("Authorization")), http.StatusTemporaryRedirect)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestAKeyShowsNowhere: a service that repeats the key in whatever it answers does not get it out: not in errors, answers, streams or pieces.
func TestAKeyShowsNowhere(t *testing.T) {
	t.Parallel()
	quoted := func(text string) string { q, _ := json.Marshal(text); return string(q) }
	forms := map[string]string{
		"plain": canary, "in base64": base64.StdEncoding.EncodeToString([]byte("Bearer " + canary)), "in a URL": url.QueryEscape("k=" + canary),
		"within words": "before" + canary + "after",
	}
	for form, text := range forms {
		openAI := map[string]func(w http.ResponseWriter){
			"an error": func(w http.ResponseWriter) {
				w.WriteHeader(401)
				fmt.Fprintf(w, `{"error":{"message":%s,"type":%s,"code":%s}}`, quoted("bad key "+text), quoted(text), quoted(text))
			},
			"an error of plain text": func(w http.ResponseWriter) { w.WriteHeader(500); fmt.Fprint(w, "key "+text) },
			"a long error": func(w http.ResponseWriter) {
				w.WriteHeader(400)
				fmt.Fprintf(w, `{"error":{"message":%s}}`, quoted(strings.Repeat("x", 590)+text))
			},
			"headers": func(w http.ResponseWriter) {
				w.Header().Set("Retry-After", text)
				w.Header().Set("X-Ratelimit-Reset-Tokens", text)
				w.Header().Set("Location", text)
				w.WriteHeader(429)
			},
			"a page": func(w http.ResponseWriter) { fmt.Fprint(w, "<html>"+text) },
			"an answer": func(w http.ResponseWriter) {
				fmt.Fprintf(w, `{"id":%[1]s,"model":%[1]s,"choices":[{"message":{"content":%[1]s,"tool_calls":[{"id":%[1]s,"function":{"name":%[1]s,"arguments":%[2]s}}]},"finish_reason":%[1]s}],%[1]s:1}`,
					quoted(text), quoted(quoted(text)))
			},
			"a refusal": func(w http.ResponseWriter) {
				fmt.Fprintf(w, `{"choices":[{"message":{"content":null,"refusal":%s},"finish_reason":"stop"}]}`, quoted(text))
			},
			"a stream, letter by letter": func(w http.ResponseWriter) {
				w.Header().Set("Content-Type", asEvents)
				for _, c := range "Your key is " + text + "." {
					fmt.Fprint(w, sse(fmt.Sprintf(`{"model":%s,"choices":[{"delta":{"content":%s}}]}`, quoted(text), quoted(string(c)))))
				}
				fmt.Fprint(w, sse(`{"choices":[{"delta":{},"finish_reason":"stop"}]}`, "[DONE]"))
			},
			"a stream that breaks off": func(w http.ResponseWriter) {
				w.Header().Set("Content-Type", asEvents)
				fmt.Fprint(w, sse(fmt.Sprintf(`{"choices":[{"delta":{"content":%s}}]}`, quoted(text))))
			},
			"an error in a stream": func(w http.ResponseWriter) {
				w.Header().Set("Content-Type", asEvents)
				fmt.Fprint(w, sse(fmt.Sprintf(`{"error":{"message":%s}}`, quoted(text))))
			},
			"an event that is none": func(w http.ResponseWriter) {
				w.Header().Set("Content-Type", asEvents)
				fmt.Fprint(w, sse(text))
			},
			"arguments in a stream": func(w http.ResponseWriter) {
				w.Header().Set("Content-Type", asEvents)
				half := len(text) / 2
				for _, part := range []string{`{"k":"` + text[:half], text[half:] + `"}`} {
					fmt.Fprint(w, sse(fmt.Sprintf(`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":%s}}]}}]}`, quoted(part))))
				}
				fmt.Fprint(w, sse("[DONE]"))
			},
		}
		for name, answer := range openAI {
			for _, stream := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/%v", name, form, stream), func(t *testing.T) {
					t.Parallel()
					s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
					defer s.Close()
					b := newBench(t, model.Config{})
					r := say("Hi")
					r.Stream = stream
					resp, err := b.session(model.Options{Key: canary, BaseURL: s.URL}).Ask(t.Context(), r)
					all := fmt.Sprintf("%v %+v %s", err, resp, encoded(t, b.pieces)) + b.streamed()
					if resp != nil {
						all += encoded(t, resp.Message) + string(resp.Completion) + fmt.Sprintf("%s", resp.Message.Calls)
					}
					for _, leak := range []string{canary, text, url.QueryEscape(canary), canary[:20], canary[6:]} {
						if strings.Contains(strings.ReplaceAll(all, "***", ""), leak) && leak != "" {
							t.Errorf("shows %s: %s", leak, all)
						}
					}
				})
			}
		}
	}
}
