package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// all events of a text, each as name|data, and the error at its end.
func all(r io.Reader) (list []string, err error) {
	in := newEvents(r)
	for {
		e, err := in.next()
		if err != nil {
			return list, err
		}
		list = append(list, e.name+"|"+string(e.data))
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		text, want string
		err        error
	}{
		"one":                     {"data: a\n\n", "|a", io.EOF},
		"with a name":             {"event: ping\ndata: a\n\n", "ping|a", io.EOF},
		"lines of HTTP":           {"event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", "x|a |b", io.EOF},
		"without a space":         {"data:a\n\n", "|a", io.EOF},
		"two spaces":              {"data:  a\n\n", "| a", io.EOF},
		"in two lines":            {"data: a\ndata: b\n\n", "|a\nb", io.EOF},
		"comments, ids, retries":  {": x\n\nid: 1\nretry: 5\n: y\ndata: a\n\n", "|a", io.EOF},
		"a name without data":     {"event: x\n\ndata: a\n\n", "|a", io.EOF},
		"empty data":              {"data:\n\n", "|", io.EOF},
		"a field without a colon": {"data\n\n", "|", io.EOF},
		"a mark of byte order":    {"\xef\xbb\xbfdata: a\n\n", "|a", io.EOF},
		"cut within an event":     {"data: a\n", "", io.ErrUnexpectedEOF},
		"cut within a line":       {"data: a\n\ndat", "|a", io.ErrUnexpectedEOF},
		"nothing":                 {"", "", io.EOF},
		"long":                    {"data: " + strings.Repeat("x", 100<<10) + "\n\n", "|" + strings.Repeat("x", 100<<10), io.EOF},
		"too long":                {"data: " + strings.Repeat("x", maxEvent+1) + "\n\n", "", errLongEvent},
	} {
		for way, r := range map[string]io.Reader{"whole": strings.NewReader(row.text), "by bytes": iotest.OneByteReader(strings.NewReader(row.text))} {
			got, err := all(r)
			if strings.Join(got, " ") != row.want || !errors.Is(err, row.err) {
				t.Errorf("%s, %s: got %.100q, %v", name, way, got, err)
			}
		}
	}
}

// FuzzEvents: any text is read alike in whatever parts it comes, within bounds.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("event: x\ndata: a\ndata: b\n\n: c\r\ndata: d\r\n\r\n"))
	f.Add([]byte("data"))
	f.Fuzz(func(t *testing.T, text []byte) {
		whole, err := all(bytes.NewReader(text))
		parts, again := all(iotest.OneByteReader(bytes.NewReader(text)))
		if strings.Join(whole, "\x00") != strings.Join(parts, "\x00") || !errors.Is(again, err) {
			t.Errorf("whole: %q, %v\nin parts: %q, %v", whole, err, parts, again)
		}
	})
}

// FuzzAnswers: whatever a service answers, streamed or not, gives an error or an answer that can be stored.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"id":"c","choices":[{"index":0,"message":{"content":"x","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}`,
		`{"choices":[{"delta":{"content":"x","tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}}]}`,
		`{"type":"message","content":[{"type":"text","text":"x"},{"type":"tool_use","id":"a","name":"f","input":{}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":2}}`,
		`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f"}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{"}}`,
		`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}`,
		`{"error":{"message":"x","type":"overloaded_error"}}`, `{"detail":[{"msg":"x"}]}`,
	} {
		f.Add([]byte(seed), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		for _, w := range []wire{openAI{}, anthropic{}} {
			q := &question{Request: &Request{}, route: &route{asked: "m", name: "m", wire: w}}
			d := &draft{}
			if w.decode(q, first, d) == nil {
				storable(t, d.response(q, nil))
			}
			d = &draft{}
			for _, data := range [][]byte{first, second, first} {
				if _, _, err := w.event(q, event{data: data}, d); err != nil {
					break
				}
			}
			storable(t, d.response(q, nil))
		}
		_, _ = reading(first)
	})
}

func storable(t *testing.T, r *Response) {
	t.Helper()
	if !json.Valid(r.Completion) {
		t.Errorf("the completion is %q", r.Completion)
	}
	if strings.ContainsRune(r.Message.Text(), 0) || len(r.Message.Calls) > maxCalls {
		t.Errorf("got %+v", r.Message)
	}
}
