package model_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
	"github.com/taskgrove/taskgrove/executors/network"
)

// bench is a call that asks models, and all that it says.
type bench struct {
	t      testing.TB
	call   *executors.Call
	models *model.Models

	mu     sync.Mutex
	pieces []executors.Piece
	used   executors.Usage
	told   chan struct{} // gets an element with each piece of text, if there is room
}

// open is a network that lets tests reach this machine.
func open() *network.Network {
	return network.New(network.Config{Guard: network.Guard{Loopback: true}})
}

// none is an environment without keys.
func none(string) (string, bool) { return "", false }

func newBench(t testing.TB, cfg model.Config) *bench {
	t.Helper()
	if cfg.LookupEnv == nil {
		cfg.LookupEnv = none
	}
	b := &bench{t: t, models: model.New(cfg, open(), nil), told: make(chan struct{}, 1)}
	t.Cleanup(func() { _ = b.models.Close() })
	b.call, _ = conformance.Call(t, `{}`)
	b.call.Live = func(p executors.Piece) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.pieces = append(b.pieces, p)
		if p.Kind == executors.PieceToken {
			select {
			case b.told <- struct{}{}:
			default:
			}
		}
	}
	b.call.Used = func(_ string, u executors.Usage) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.used.Add(u)
	}
	return b
}

func (b *bench) session(o model.Options) *model.Session {
	b.t.Helper()
	o.ID = "x_executor"
	s, err := b.models.Session(b.call, o)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// streamed is all text that was told.
func (b *bench) streamed() (text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.pieces {
		if p.Kind == executors.PieceToken {
			text += p.Text
		}
	}
	return text
}

// wire is one way in which a test asks.
type wire struct {
	name, api string
	stream    bool
}

var wires = []wire{{"openai", "openai", false}, {"openai streamed", "openai", true}, {"anthropic", "anthropic", false}, {"anthropic streamed", "anthropic", true}}

// at are the options that lead to a service of the tests.
func (w wire) at(s *modeltest.Server) model.Options {
	o := model.Options{Key: s.Key(), BaseURL: s.OpenAI(), API: w.api}
	if w.api == "anthropic" {
		o.BaseURL = s.Anthropic()
	}
	return o
}

// say is a request of one text.
func say(text string, models ...string) *model.Request {
	if len(models) == 0 {
		models = []string{"m"}
	}
	return &model.Request{Models: models, Messages: []model.Message{model.Text(model.User, text)}}
}

// raw is a service that answers anything to anybody.
func raw(t testing.TB, contentType, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1"
}

// within fails a test that takes too long.
func within(t *testing.T, d time.Duration, what string, start time.Time) {
	t.Helper()
	if took := time.Since(start); took > d {
		t.Errorf("%s took %v, more than %v", what, took, d)
	}
}

func encoded(t testing.TB, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
