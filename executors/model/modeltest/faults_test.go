package modeltest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

// play answers one request of each format, streamed and not, from a fresh script.
func play(t *testing.T, script modeltest.Script, look func(what string, stream bool, resp *http.Response, body string, err error, s *modeltest.Server)) {
	t.Helper()
	for _, f := range formats {
		for _, stream := range []bool{false, true} {
			s := modeltest.Start(t)
			s.Play("m", script)
			body := f.body
			if stream {
				body += `,"stream":true`
			}
			resp, got, err := post(t, s, f.path, body+"}", f.headers(s.Key()))
			look(fmt.Sprintf("%s, stream %v", f.name, stream), stream, resp, got, err, s)
		}
	}
}

func TestFaultsHaveTheirStatusAndDelay(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		fault             modeltest.Fault
		openAI, anthropic int
	}{
		{modeltest.FaultRate, 429, 429}, {modeltest.FaultQuota, 429, 400}, {modeltest.FaultOverloaded, 503, 529}, {modeltest.FaultServer, 500, 500},
		{modeltest.FaultUnavailable, 503, 503}, {modeltest.FaultGateway, 502, 502}, {modeltest.FaultTimeout, 504, 504}, {modeltest.FaultKey, 401, 401},
		{modeltest.FaultPermission, 403, 403}, {modeltest.FaultModel, 404, 404}, {modeltest.FaultContext, 400, 400}, {modeltest.FaultPolicy, 400, 400},
		{modeltest.FaultTooLarge, 413, 413},
	} {
		script := modeltest.Script{Turns: []modeltest.Turn{{Fault: row.fault, RetryAfter: "7", EchoKey: true}}}
		play(t, script, func(what string, _ bool, resp *http.Response, body string, err error, s *modeltest.Server) {
			want := row.openAI
			if strings.HasPrefix(what, "anthropic") {
				want = row.anthropic
			}
			if err != nil || resp.StatusCode != want || resp.Header.Get("Retry-After") != "7" {
				t.Errorf("%s %s: got %v %v, want %d", row.fault, what, resp, err, want)
			}
			if !strings.Contains(body, s.Key()) {
				t.Errorf("%s %s: %s does not quote the key", row.fault, what, body)
			}
		})
	}
}

func TestRetryAfterMayBeADateOrMilliseconds(t *testing.T) {
	t.Parallel()
	play(t, modeltest.Recorded("rate-limited-date"), func(what string, _ bool, resp *http.Response, _ string, _ error, _ *modeltest.Server) {
		if at, err := http.ParseTime(resp.Header.Get("Retry-After")); err != nil || time.Until(at) > 3*time.Second || time.Until(at) < -time.Minute {
			t.Errorf("%s: got %q", what, resp.Header.Get("Retry-After"))
		}
	})
	play(t, modeltest.Recorded("rate-limited-ms"), func(what string, _ bool, resp *http.Response, _ string, _ error, _ *modeltest.Server) {
		if resp.Header.Get("Retry-After-Ms") != "300" {
			t.Errorf("%s: got %q", what, resp.Header.Get("Retry-After-Ms"))
		}
	})
}

func TestAnswersAreCutWhereTheScriptSays(t *testing.T) {
	t.Parallel()
	for _, cut := range []modeltest.Cut{modeltest.CutConnection, modeltest.CutHeaders, modeltest.CutMiddle, modeltest.CutBetween} {
		script := modeltest.Script{Turns: []modeltest.Turn{{Text: "Half of it", Cut: cut, Times: -1}}}
		play(t, script, func(what string, stream bool, resp *http.Response, body string, err error, _ *modeltest.Server) {
			ended := strings.Contains(body, "[DONE]") || strings.Contains(body, "message_stop") || strings.HasSuffix(strings.TrimSpace(body), "}") && !stream
			if ended || (err == nil) != (cut == modeltest.CutBetween) || (resp != nil) == (cut == modeltest.CutConnection) {
				t.Errorf("%s %s: %v %q", cut, what, err, body)
			}
			if said := strings.Contains(body, "Half"); stream && said != (cut == modeltest.CutMiddle || cut == modeltest.CutBetween) {
				t.Errorf("%s %s: said %q", cut, what, body)
			}
		})
	}
}

func TestAStreamMayFailLate(t *testing.T) {
	t.Parallel()
	play(t, modeltest.Recorded("overloaded-late"), func(what string, stream bool, resp *http.Response, body string, err error, _ *modeltest.Server) {
		if stream != (resp.StatusCode == 200) || stream && (!strings.Contains(body, `"error":{`) || !strings.Contains(body, "begin")) || err != nil {
			t.Errorf("%s: %v %v %s", what, resp.StatusCode, err, body)
		}
	})
}

func TestLongAnswersAreCompressedAndStreamed(t *testing.T) {
	t.Parallel()
	script := modeltest.Script{Turns: []modeltest.Turn{{Text: "Once ", Fill: 1 << 20}}}
	play(t, script, func(what string, stream bool, resp *http.Response, body string, err error, _ *modeltest.Server) {
		if err != nil || len(body) < 1<<20 || resp.Uncompressed == stream {
			t.Errorf("%s: %d bytes, compressed %v, %v", what, len(body), resp.Uncompressed, err)
		}
	})
}

func TestTheServiceSeesClientsLeave(t *testing.T) {
	t.Parallel()
	for _, turn := range []modeltest.Turn{{HangFirst: true}, {Text: "Half", Hang: true}, {Endless: true}} {
		for _, f := range formats {
			for _, stream := range []string{"", `,"stream":true`} {
				s := modeltest.Start(t)
				s.Play("m", modeltest.Script{Turns: []modeltest.Turn{turn}})
				ctx, cancel := context.WithCancel(t.Context())
				req, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+f.path, strings.NewReader(f.body+stream+"}"))
				req.Header = f.headers(s.Key())
				go func() { s.Wait(t, 1); cancel() }()
				resp, err := http.DefaultClient.Do(req)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				r := s.Wait(t, 1)[0]
				<-r.Ended()
				if !errors.Is(err, context.Canceled) || !r.Left() {
					t.Errorf("%+v of %s: %v, left %v", turn, f.name, err, r.Left())
				}
			}
		}
	}
}

// told collects what a test is told.
type told struct {
	*testing.T
	texts []string
}

func (t *told) Errorf(format string, args ...any) {
	t.texts = append(t.texts, fmt.Sprintf(format, args...))
}

func TestTurnsFitTheirRequests(t *testing.T) {
	t.Parallel()
	heard := &told{T: t}
	s := modeltest.Start(heard)
	s.Play("m", modeltest.Script{Name: "rules", Turns: []modeltest.Turn{
		{When: "weather\nParis", Text: "rain", Times: 2},
		{Last: "time", Reply: func(r *modeltest.Request) modeltest.Turn {
			return modeltest.Turn{Text: "noon in " + r.Messages[0].Text}
		}},
		{When: "odd", Text: "indeed", Wants: []string{"even"}},
	}})
	f := formats[0]
	ask := func(text string) string {
		_, body, err := post(t, s, f.path, `{"model":"m","messages":[{"role":"user","content":"`+text+`"}]}`, f.headers(s.Key()))
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	for i, row := range []struct{ ask, want string }{
		{"What time is it?", "noon in What time is it?"}, {"weather in Paris", "rain"}, {"weather of Paris", "rain"},
	} {
		if got := ask(row.ask); !strings.Contains(got, row.want) || len(heard.texts) > 0 {
			t.Errorf("%d: got %s %q, want %s", i, got, heard.texts, row.want)
		}
	}
	if got := ask("how odd"); !strings.Contains(got, "indeed") || len(heard.texts) != 1 || !strings.Contains(heard.texts[0], `lacks "even"`) {
		t.Errorf("got %s %q", got, heard.texts)
	}
	if got := ask("weather in Paris"); !strings.Contains(got, "no turn left") || len(heard.texts) != 2 {
		t.Errorf("got %s %q", got, heard.texts)
	}
}

func TestScriptsAreReadFromFilesOfBothKinds(t *testing.T) {
	t.Parallel()
	scripts, err := modeltest.Load(fstest.MapFS{
		"a.yaml":    {Data: []byte("turns: [{text: Hi, delay: 20ms}]")},
		"b.json":    {Data: []byte(`{"name": "bee", "models": ["m", "n"], "turns": [{"calls": [{"name": "f", "arguments": "{}"}], "usage": {"prompt": 3}}]}`)},
		"README.md": {Data: []byte("# Scripts")},
	})
	if err != nil || len(scripts) != 2 || scripts[0].Name != "a" || scripts[0].Turns[0].Delay != 20*time.Millisecond || scripts[1].PlayedBy()[1] != "n" ||
		scripts[1].Turns[0].Usage.Prompt != 3 || scripts[0].PlayedBy()[0] != "a" {
		t.Errorf("got %+v, %v", scripts, err)
	}
	for _, bad := range []string{"turns: []", "turns: [{txt: Hi}]"} {
		if _, err := modeltest.Load(fstest.MapFS{"a.yaml": {Data: []byte(bad)}}); err == nil || !strings.HasPrefix(err.Error(), "a.yaml: ") {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}
