// Package doctor has an executor that tells what tasks of its pool may use: secrets, and what the definition of a connection needs.
//
// It owns doctor_executor: its inputs and its answer, in which there are names alone. It must not know where secrets come from, or what a flow is.
package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/resource"
	"github.com/taskgrove/taskgrove/executors/secrets"
)

// ID is the executor's id.
const ID = "doctor_executor"

// MaxSecrets is how many secrets one task may ask about.
const MaxSecrets = 1000

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "secrets": {"type": ["array", "null"], "maxItems": 1000, "description": "Secrets that tasks of the pool shall be able to name", "items": {
      "type": "object", "properties": {"secret": {"type": "string", "minLength": 1, "maxLength": 128, "description": "Its name"}}, "required": ["secret"], "additionalProperties": false
    }},
    "connection": {"type": ["string", "object", "null"], "description": "The name of a connection, or the definition of one, that they shall be able to use"},
    "dial": {"type": ["boolean", "null"], "default": false, "description": "Open a connection to where a definition goes, as tasks of the pool may, and close it"}
  }
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "ok": {"type": "boolean", "description": "Tasks of the pool could use all of it, at this worker"},
    "secrets": {"type": "array", "description": "Those that were asked about, in their order", "items": {"type": "object", "properties": {
      "name": {"type": "string", "description": "Its name"},
      "missing": {"type": "string", "description": "Why they can't have it; absent: they can"}
    }, "required": ["name"]}},
    "connection": {"type": "object", "description": "Present if one was asked about", "properties": {
      "name": {"type": "string", "description": "Its name"},
      "profile": {"type": "string", "description": "That it names"},
      "overlay": {"type": "boolean", "description": "The worker's file has settings for the profile in this pool"},
      "secrets": {"type": "array", "description": "That its settings name, with those of the overlay", "items": {"type": "object", "properties": {
        "name": {"type": "string", "description": "Its name"},
        "path": {"type": "string", "description": "Of the setting that names it first"},
        "optional": {"type": "boolean", "description": "Each place has a default"},
        "missing": {"type": "string", "description": "Why they can't have it; absent: they can, or need not"}
      }, "required": ["name"]}},
      "reached": {"type": "string", "description": "With dial: host and port that a connection was opened to"},
      "faults": {"type": "array", "items": {"type": "string"}, "description": "What else keeps them from using it"}
    }}
  },
  "required": ["ok", "secrets"]
}`)

// Store says what tasks of pools may use. *[secrets.Store] does.
type Store interface {
	Denied(ctx context.Context, name, pool string) string
	DeniedConnection(name, pool string) string
	Examine(ctx context.Context, pool string, d *resource.Definition) secrets.Examined
}

// Executor is doctor_executor.
type Executor struct {
	open func() (Store, error)
	net  *network.Network
}

// New makes one. open is called by each attempt.
func New(open func() (Store, error), net *network.Network) *Executor { return &Executor{open, net} }

// Describe implements [executors.Executor].
func (*Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "Doctor", Type: "core",
		Description: "Tells which secrets and connections tasks of its pool may use, by names alone",
		Tags:        []string{"core", "flows"},
		Inputs:      inputSchema, Output: outputSchema,
		Cancelable: true, Repeatable: true, Concurrency: executors.Waiting,
		Examples: []executors.Example{
			{Title: "Ask about a secret", Inputs: json.RawMessage(`{"secrets": [{"secret": "orders-token"}]}`)},
			{Title: "Ask about a connection that a task defines", Inputs: json.RawMessage(`{"connection": {"kind": "db", "driver": "postgres", "profile": "warehouse", "config": {"host": "db.internal", "password": "{{env.DB_PASSWORD}}"}}}`)},
		},
	}
}

// Answer is what a worker says.
type Answer struct {
	OK         bool        `json:"ok"`
	Secrets    []Secret    `json:"secrets"`
	Connection *Connection `json:"connection,omitempty"`
}

// Secret is one that was asked about.
type Secret struct {
	Name     string `json:"name"`
	Path     string `json:"path,omitempty"` // of a connection: of the setting that names it first
	Optional bool   `json:"optional,omitempty"`
	Missing  string `json:"missing,omitempty"` // why tasks of the pool can't have it; empty: they can, or need not
}

// Connection is one that was asked about.
type Connection struct {
	Name    string   `json:"name,omitempty"`
	Profile string   `json:"profile,omitempty"`
	Overlay bool     `json:"overlay"` // the worker's file has settings for the profile
	Secrets []Secret `json:"secrets,omitempty"`
	Reached string   `json:"reached,omitempty"` // host and port that a connection was opened to; empty: nobody was asked to, or it failed
	Faults  []string `json:"faults,omitempty"`
}

// asked are the inputs.
type asked struct {
	Secrets []struct {
		Secret string `json:"secret"`
	} `json:"secrets"`
	Connection json.RawMessage `json:"connection"`
	Dial       bool            `json:"dial"`
}

func (a *asked) connection() json.RawMessage {
	if text := bytes.TrimSpace(a.Connection); len(text) > 0 && text[0] != 'n' {
		return text
	}
	return nil
}

// Run implements [executors.Executor].
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var in asked
	if err := inputs.Decode(ID, call, &in); err != nil {
		return nil, err
	}
	connection := in.connection()
	switch {
	case in.Secrets == nil && connection == nil:
		return nil, executors.Invalid(ID, "secrets or connection is required in inputs")
	case len(in.Secrets) > MaxSecrets:
		return nil, executors.Invalid(ID, fmt.Sprintf("secrets must be at most %d", MaxSecrets))
	}
	store, err := e.open()
	if err != nil {
		return nil, err
	}
	out := &Answer{OK: true, Secrets: []Secret{}}
	for _, one := range in.Secrets {
		out.secret(&out.Secrets, Secret{Name: one.Secret, Missing: store.Denied(ctx, one.Secret, call.Pool)})
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	if connection != nil {
		address, err := out.connect(ctx, store, call.Pool, connection)
		if err != nil {
			return nil, executors.Invalid(ID, err.Error())
		}
		if in.Dial && address != "" {
			e.dial(ctx, call.Pool, address, out)
		}
	}
	if ctx.Err() != nil { // what was denied may have been so for that
		return nil, context.Cause(ctx)
	}
	return executors.Completed(out), nil
}

func (a *Answer) secret(to *[]Secret, s Secret) {
	*to = append(*to, s)
	a.OK = a.OK && s.Missing == ""
}

// dialTimeout is how long a server may take to accept a connection.
const dialTimeout = 5 * time.Second

// dial opens a connection to a server, as tasks of the pool may.
func (e *Executor) dial(ctx context.Context, pool, address string, a *Answer) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := e.net.Pool(pool).DialContext(ctx, "tcp", address)
	if err != nil {
		a.Connection.Faults, a.OK = append(a.Connection.Faults, fmt.Sprintf("%s can't be reached: %v", address, err)), false
		return
	}
	_ = conn.Close() // nothing was sent
	a.Connection.Reached = address
}

// connect says what there is of a connection, and where it goes; empty: nobody knows.
func (a *Answer) connect(ctx context.Context, store Store, pool string, connection json.RawMessage) (address string, err error) {
	c := &Connection{}
	a.Connection = c
	if connection[0] == '"' {
		if err := json.Unmarshal(connection, &c.Name); err != nil {
			return "", fmt.Errorf("connection can't be read")
		}
		if denied := store.DeniedConnection(c.Name, pool); denied != "" {
			c.Faults, a.OK = []string{denied}, false
		}
		return "", nil
	}
	d, err := resource.Parse(connection)
	if err != nil {
		return "", fmt.Errorf("connection: %w", err)
	}
	found := store.Examine(ctx, pool, d)
	c.Name, c.Profile, c.Overlay, c.Faults = d.Name, d.Profile, found.Overlay, found.Faults
	for _, s := range found.Secrets {
		a.secret(&c.Secrets, Secret{Name: s.Name, Path: s.Path, Optional: s.Optional, Missing: s.Denied})
	}
	a.OK = a.OK && len(c.Faults) == 0
	return found.Address, nil
}

// Demo implements [executors.Demonstrator].
func (*Executor) Demo(call *executors.Call) (result any, takes time.Duration) {
	var in asked
	_ = json.Unmarshal(call.Inputs, &in) // a demonstration fails for nothing
	out := &Answer{OK: true, Secrets: []Secret{}}
	for _, one := range in.Secrets {
		out.Secrets = append(out.Secrets, Secret{Name: one.Secret})
	}
	if in.connection() != nil {
		out.Connection = &Connection{}
	}
	return out, 0
}
