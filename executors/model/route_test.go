package model

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

const services = `
models:
  local: {url: "http://llm.internal:8000/v1", key: {secret: llm-key}}
  bare: {url: "http://bare.internal/v1"}
  claudes: {url: "https://gate.internal/anthropic", api: anthropic, pools: [agents]}
  mistral: {url: "https://gate.internal/mistral"}
  broken: {url: "https://gate.internal", key: {secret: none}}
`

// sessionWith is a session of a worker with that file and environment.
func sessionWith(t *testing.T, call *executors.Call, o Options, env map[string]string) *Session {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker.yaml")
	if err := os.WriteFile(path, []byte(services), 0o600); err != nil {
		t.Fatal(err)
	}
	file := workerfile.At(path)
	if err := file.Load(nil); err != nil {
		t.Fatal(err)
	}
	o.ID = "x_executor"
	models := New(Config{
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Secret: func(name string) (string, error) {
			if name == "llm-key" {
				return "file-key", nil
			}
			return "", errors.New("there is none")
		},
	}, network.New(network.Config{}), file)
	s, err := models.Session(call, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestProviders: spec 5.7.
func TestProviders(t *testing.T) {
	t.Parallel()
	s := sessionWith(t, &executors.Call{Pool: "agents"}, Options{Key: "k"}, map[string]string{"XAI_BASE_URL": "http://xai.internal/v1", "AZURE_API_BASE": "https://me.openai.azure.com/openai/v1"})
	for model, want := range map[string]string{ // provider, name, format, address, and whether it is the operator's
		"gpt-4o":                        "openai gpt-4o openai https://api.openai.com/v1",
		"openai/gpt-4o":                 "openai gpt-4o openai https://api.openai.com/v1",
		"OpenAI/gpt-4o":                 "openai gpt-4o openai https://api.openai.com/v1",
		"something":                     "openai something openai https://api.openai.com/v1",
		"claude-sonnet-4-5":             "anthropic claude-sonnet-4-5 anthropic https://api.anthropic.com",
		"anthropic/claude-x":            "anthropic claude-x anthropic https://api.anthropic.com",
		"gemini-2.5-pro":                "google gemini-2.5-pro openai https://generativelanguage.googleapis.com/v1beta/openai",
		"gemini/gemini-2.5-pro":         "google gemini-2.5-pro openai https://generativelanguage.googleapis.com/v1beta/openai",
		"palm-2":                        "google palm-2 openai https://generativelanguage.googleapis.com/v1beta/openai",
		"command-r":                     "cohere command-r openai https://api.cohere.ai/compatibility/v1",
		"mixtral-8x7b":                  "mistral mixtral-8x7b openai https://gate.internal/mistral operator",
		"llama-3.3-70b":                 "groq llama-3.3-70b openai https://api.groq.com/openai/v1",
		"j2-ultra":                      "ai21 j2-ultra openai https://api.ai21.com/studio/v1",
		"together/meta-llama/llama-3":   "together meta-llama/llama-3 openai https://api.together.xyz/v1",
		"meta-llama/llama-3":            "groq meta-llama/llama-3 openai https://api.groq.com/openai/v1",
		"openrouter/anthropic/claude-x": "openrouter anthropic/claude-x openai https://openrouter.ai/api/v1",
		"ollama/llama3":                 "ollama llama3 openai http://localhost:11434/v1",
		"xai/grok-4":                    "xai grok-4 openai http://xai.internal/v1 operator",
		"azure/my-deployment":           "azure my-deployment openai https://me.openai.azure.com/openai/v1 operator",
		"local/llama-3":                 "local llama-3 openai http://llm.internal:8000/v1 operator",
		"claudes/claude-x":              "claudes claude-x anthropic https://gate.internal/anthropic operator",
		"locl/llam-3":                   `! there is no service "locl"`,
		"bedrock/x":                     "! bedrock has no address that is known to all (its requests are signed in a way of its own)",
		"vertex_ai/x":                   "! vertex has no address that is known to all",
		"cloudflare/x":                  "! cloudflare has no address that is known to all",
	} {
		r, err := s.route(t.Context(), model)
		if refusal, bad := strings.CutPrefix(want, "! "); bad {
			if err == nil || !strings.Contains(err.Error(), refusal) {
				t.Errorf("%s: got %v, want %s", model, err, refusal)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", model, err)
			continue
		}
		got := strings.Join([]string{r.provider, r.name, r.api, r.base.String()}, " ")
		if r.trusted {
			got += " operator"
		}
		if got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", model, got, want)
		}
	}
	other := sessionWith(t, &executors.Call{Pool: "web"}, Options{Key: "k"}, nil)
	if _, err := other.route(t.Context(), "claudes/claude-x"); err == nil || !strings.Contains(err.Error(), `no model service "claudes" for tasks of pool "web"`) {
		t.Errorf("another pool got %v", err)
	}
}

// TestKeys: in which order they are looked for, and where which of them goes.
func TestKeys(t *testing.T) {
	t.Parallel()
	env := map[string]string{"OPENAI_API_KEY": "env-openai", "ANTHROPIC_KEY": "env-anthropic", "LLM_API_KEY": "env-any"}
	sent := func(_ context.Context, provider string) (string, error) { return "sent-" + provider, nil }
	nobody := func(context.Context, string) (string, error) { return "", nil }
	const task, mine = "https://task.example", "https://mine.internal/v1"
	for name, row := range map[string]struct {
		model string
		o     Options
		key   func(context.Context, string) (string, error)
		conn  string
		env   map[string]string
		want  string // the key; "! " and a part of the error
	}{
		"the task's own goes first":            {"gpt-4o", Options{Key: "own"}, sent, "", env, "own"},
		"then the one sent along":              {"gpt-4o", Options{}, sent, "", env, "sent-openai"},
		"by the provider of the model":         {"claude-x", Options{}, sent, "", env, "sent-anthropic"},
		"then that of the worker's file":       {"local/x", Options{}, nobody, "", env, "file-key"},
		"which may be missing now":             {"broken/x", Options{}, nil, "", env, "! the key of broken can't be read at this worker now"},
		"then the environment":                 {"gpt-4o", Options{}, nobody, "", env, "env-openai"},
		"by either name":                       {"claude-x", Options{}, nil, "", env, "env-anthropic"},
		"a general one last":                   {"groq/x", Options{}, nil, "", env, "env-any"},
		"OpenAI's key is nobody else's":        {"groq/x", Options{}, nil, "", map[string]string{"OPENAI_API_KEY": "env-openai"}, "! no key of groq"},
		"none":                                 {"gpt-4o", Options{}, nil, "", nil, "! no key of openai: set api_key in inputs, send one along with the tree, or let the operator set OPENAI_API_KEY"},
		"another address of a known one":       {"mistral/x", Options{}, nil, "", map[string]string{"MISTRAL_API_KEY": "m"}, "m"},
		"a service of one's own needs none":    {"bare/x", Options{}, nil, "", nil, ""},
		"ollama needs none":                    {"ollama/x", Options{}, sent, "", env, ""},
		"a task's address gets the task's key": {"gpt-4o", Options{Key: "own", BaseURL: task}, sent, "", env, "own"},
		"and no other":                         {"gpt-4o", Options{BaseURL: task}, sent, "", env, "! api_key is required with api_base"},
		"also not for a service of the file":   {"mistral/x", Options{BaseURL: task}, nil, "", env, "! api_key is required with api_base"},
		"also not for ollama":                  {"ollama/x", Options{BaseURL: task}, sent, "", env, ""},
		"a connection's address has its key":   {"gpt-4o", Options{Key: "conn", BaseURL: mine}, sent, "llm-1", env, "conn"},
		"or none":                              {"gpt-4o", Options{BaseURL: mine}, sent, "llm-1", env, ""},
		"a connection's key, to the provider":  {"gpt-4o", Options{Key: "conn"}, sent, "llm-1", env, "conn"},
		"which its format names":               {"claude-x", Options{Key: "conn", API: "anthropic"}, sent, "llm-1", env, "conn"},
		"and to no other":                      {"groq/x", Options{Key: "conn"}, sent, "llm-1", env, "! its key is for openai alone, and not for groq"},
		"not even with an address of its own":  {"bare/x", Options{Key: "conn"}, sent, "llm-1", env, "! its key is for openai alone, and not for bare"},
		"a key that no header can hold":        {"gpt-4o", Options{}, func(context.Context, string) (string, error) { return "a\nb", nil }, "", nil, "! characters that can't be sent"},
		"a key that can't be had now":          {"gpt-4o", Options{}, func(context.Context, string) (string, error) { return "", errors.New("sealed") }, "", env, "! key of openai: sealed"},
	} {
		s := sessionWith(t, &executors.Call{ModelKey: row.key, Connection: row.conn}, row.o, row.env)
		r, err := s.route(t.Context(), row.model)
		if refusal, bad := strings.CutPrefix(row.want, "! "); bad {
			if err == nil || !strings.Contains(err.Error(), refusal) {
				t.Errorf("%s: got %v, want %s", name, err, refusal)
			}
			continue
		}
		if err != nil || r.key != row.want {
			t.Errorf("%s: got %+v, %v, want %q", name, r, err, row.want)
			continue
		}
		if trusted := row.conn != "" && row.o.BaseURL != "" || strings.HasPrefix(row.model, "bare") || strings.HasPrefix(row.model, "mistral") || strings.HasPrefix(row.model, "local"); r.trusted != trusted {
			t.Errorf("%s: trusted is %v", name, r.trusted)
		}
		if r.key != "" && strings.Contains(s.redactor().Text("x "+r.key), r.key) && len(r.key) >= 4 {
			t.Errorf("%s: the key is not hidden", name)
		}
	}
}

// TestKeySentAlong: one that can't be had now may be there for a later attempt; one that is gone never is.
func TestKeySentAlong(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		err       error
		permanent bool
	}{"can't be had now": {errors.New("nobody answers"), false}, "is gone": {executors.Permanent(errors.New("gone")), true}} {
		s := sessionWith(t, &executors.Call{ModelKey: func(context.Context, string) (string, error) { return "", row.err }}, Options{}, map[string]string{"OPENAI_API_KEY": "own"})
		_, err := s.Ask(t.Context(), &Request{Models: []string{"gpt-4o"}, Messages: []Message{{Role: User, Parts: []Part{{Text: "x"}}}}})
		if err == nil || executors.IsPermanent(err) != row.permanent || !strings.Contains(err.Error(), row.err.Error()) {
			t.Errorf("a key that %s: got %v", name, err)
		}
	}
}

func TestOptionsThatCantBeRight(t *testing.T) {
	t.Parallel()
	models := New(Config{}, network.New(network.Config{}), nil)
	_, err := models.Session(&executors.Call{}, Options{ID: "x_executor", API: "soap", Key: "a b", BaseURL: "ftp://x"})
	if want := "[x_executor] api must be openai or anthropic; api_key has characters that can't be sent; api_base must be http://host or https://host, with a path if need be"; err == nil || err.Error() != want || !executors.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	for _, base := range []string{"https://ann:hunter2@x", "http://", "https://x#y", "http://[::1", "unix:/x"} {
		if _, err := models.Session(&executors.Call{}, Options{ID: "x_executor", BaseURL: base}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", base, err)
		}
	}
}

func TestDelays(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
	for name, row := range map[string]struct {
		h    http.Header
		want time.Duration
	}{
		"nothing":                   {http.Header{}, 0},
		"seconds":                   {http.Header{"Retry-After": {"7"}}, 7 * time.Second},
		"parts of a second":         {http.Header{"Retry-After": {"0.5"}}, 500 * time.Millisecond},
		"milliseconds go first":     {http.Header{"Retry-After-Ms": {"1500"}, "Retry-After": {"2"}}, 1500 * time.Millisecond},
		"a date":                    {http.Header{"Retry-After": {"Tue, 01 Dec 2026 10:00:30 GMT"}}, 30 * time.Second},
		"OpenAI's limits":           {http.Header{"X-Ratelimit-Reset-Requests": {"1s"}, "X-Ratelimit-Reset-Tokens": {"6m0s"}}, 6 * time.Minute},
		"of those that are used up": {http.Header{"X-Ratelimit-Reset-Requests": {"120ms"}, "X-Ratelimit-Remaining-Requests": {"0"}, "X-Ratelimit-Reset-Tokens": {"6m0s"}, "X-Ratelimit-Remaining-Tokens": {"100"}}, 120 * time.Millisecond},
		"Anthropic's limits":        {http.Header{"Anthropic-Ratelimit-Tokens-Reset": {"2026-12-01T10:01:00Z"}}, time.Minute},
		"seconds of a limit":        {http.Header{"X-Ratelimit-Reset-Tokens": {"17"}}, 17 * time.Second},
		"nonsense":                  {http.Header{"Retry-After": {"soon"}, "Retry-After-Ms": {"NaN"}, "X-Ratelimit-Reset-Tokens": {"-5s"}, "X-Ratelimit-Reset-Requests": {"1e999"}}, 0},
		"beyond reason":             {http.Header{"Retry-After-Ms": {"1e300"}}, headers.MostRetryAfter},
	} {
		if got := delay(row.h, now); got != row.want {
			t.Errorf("%s: got %v, want %v", name, got, row.want)
		}
	}
}

func TestStrictSchemas(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]bool{
		`{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}`:                                          true,
		`{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}`:                                                                       false,
		`{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}`:                                                           false,
		`{"type":"object","properties":{"a":{"type":"array","items":{"type":"object","properties":{}}}},"required":["a"],"additionalProperties":false}`: false,
		`{"type":"object","properties":{"a":{"type":"string","minLength":3}},"required":["a"],"additionalProperties":false}`:                            false,
	} {
		if got := strict([]byte(schema)); got != want {
			t.Errorf("%s: got %v", schema, got)
		}
	}
}
