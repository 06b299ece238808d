package model

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/budget"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/secrets"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// Bounds where nothing else is configured.
const (
	DefaultAnswerBytes = 8 << 20
	DefaultWait        = 10 * time.Minute
	DefaultSilence     = 2 * time.Minute
)

// Config configures how a worker asks models.
type Config struct {
	// MaxAnswerBytes bounds an answer, also one that is streamed. 0: [DefaultAnswerBytes].
	MaxAnswerBytes int
	// Wait bounds the time until an answer begins, and Silence the time between two parts of it. 0: [DefaultWait], [DefaultSilence].
	Wait, Silence time.Duration
	// PricesFile is the path of a file with the prices of models (package budget), read again when it changes; empty: no model has a price.
	PricesFile string
	// Secret finds a secret that the operator names for a service of the worker's file; nil: there is none.
	Secret func(name string) (string, error)
	// LookupEnv finds a variable of the worker's environment, keys among them; default [os.LookupEnv].
	LookupEnv func(name string) (string, bool)
}

// Models asks models for all attempts of a worker. Safe for concurrent use.
type Models struct {
	cfg     Config
	prices  *budget.Prices
	network *network.Network
	file    *workerfile.Source
}

// New makes one, whose connections go through n. The services of the worker's file, which may be nil, count as they are at the time.
func New(cfg Config, n *network.Network, file *workerfile.Source) *Models {
	if cfg.MaxAnswerBytes <= 0 {
		cfg.MaxAnswerBytes = DefaultAnswerBytes
	}
	if cfg.Wait <= 0 {
		cfg.Wait = DefaultWait
	}
	if cfg.Silence <= 0 {
		cfg.Silence = DefaultSilence
	}
	if cfg.LookupEnv == nil {
		cfg.LookupEnv = os.LookupEnv
	}
	return &Models{cfg, budget.PricesAt(cfg.PricesFile), n, file}
}

// Check says what of the settings can't be used, in a text for operators; nil: nothing.
func (m *Models) Check() error {
	if err := m.prices.Fault(); err != nil {
		return fmt.Errorf("prices: %w", err)
	}
	return m.network.Check()
}

// Close closes idle connections. It stays usable.
func (m *Models) Close() error { return m.network.Close() }

// Options are what an attempt's inputs say of the services that it asks.
type Options struct {
	ID    string        // the executor's id: texts about inputs begin with it
	Meter *budget.Meter // of the attempt; nil: no limits
	// Key, BaseURL and API are the inputs api_key, api_base and api. If the call has a connection, they are the operator's, else the task's.
	Key, BaseURL string
	API          string // of BaseURL: openai or anthropic; empty: the provider's, or openai
}

// Session asks models for one attempt. It is an [Asker].
type Session struct {
	models *Models
	call   *executors.Call
	opts   Options

	mu     sync.Mutex
	keys   []string // that were used
	redact *secrets.Redactor
	asked  int
}

// Session begins one. What can't be right whatever is asked is a permanent error.
func (m *Models) Session(call *executors.Call, o Options) (*Session, error) {
	s := &Session{models: m, call: call, opts: o}
	if faults := o.faults(); len(faults) > 0 {
		return nil, s.invalid(faults)
	}
	s.hide(o.Key)
	return s, nil
}

// hide keeps a key out of all that the session says.
func (s *Session) hide(key string) {
	if key == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, have := range s.keys {
		if have == key {
			return
		}
	}
	s.keys = append(s.keys, key)
	s.redact = secrets.NewRedactor(s.keys...)
}

// redactor takes out the keys that were used so far.
func (s *Session) redactor() *secrets.Redactor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.redact
}

// next counts the questions of the attempt.
func (s *Session) next() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.asked
}
