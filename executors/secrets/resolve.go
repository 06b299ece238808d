package secrets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// maxFaults is how many faults one error names.
const maxFaults = 10

// Use is what the inputs of one executor may name. A nil Use is that of an executor that takes neither secrets nor connections.
type Use struct {
	store      *Store
	id         string
	secrets    bool
	fields     map[string]bool // whose values may hold secrets, by the executor's schema; nil: all
	connection *executors.Connection
}

// For is what an executor of this description may be given; nil: nothing.
func (s *Store) For(d executors.Description) *Use {
	if !d.Secrets && d.Connection == nil {
		return nil
	}
	u := &Use{store: s, id: d.ID, secrets: d.Secrets, connection: d.Connection}
	for name, properties := range rawjson.Members(d.Inputs) {
		if string(name) != `"properties"` {
			continue
		}
		for field := range rawjson.Members(properties) {
			if u.fields == nil {
				u.fields = map[string]bool{}
			}
			u.fields[unquoted(field)] = true
		}
	}
	return u
}

// Resolved is what a call's inputs become.
type Resolved struct {
	Inputs json.RawMessage // of the caller, if nothing in them was named
	// Shown are the inputs as the task itself may look at them, with *** for each secret and without what a connection has set; nil: Inputs
	// are. A task's own schema must not see more: by a pattern it could ask for a password letter by letter.
	Shown      json.RawMessage
	Connection string    // that was named; empty: none
	Redactor   *Redactor // of all that was put in; nil: nothing
}

// Refusal is the error of inputs that name what the task can't have. Its text is safe to show, and says the same of what does not exist
// and of what others have. Unless a later attempt may succeed, it is permanent ([executors.IsPermanent]).
type Refusal struct {
	text string
	// Why is the reason for operators, with names, pools and paths, never a secret.
	Why string
}

// Error names each field and what it names.
func (r *Refusal) Error() string { return r.text }

// Resolve puts the secrets and the connection that inputs name into their places. references are the keys of inputs that may name some:
// those that are as the task was submitted. What other keys hold is data. The error is a [Refusal]; nothing is given then.
func (u *Use) Resolve(ctx context.Context, pool string, inputs json.RawMessage, references []string) (Resolved, error) {
	as := Resolved{Inputs: inputs}
	if u == nil || len(references) == 0 && (u.connection == nil || !bytes.Contains(inputs, keyConnection)) {
		return as, nil
	}
	r := &resolver{ctx: ctx, use: u, pool: pool}
	connected := r.findConnection(inputs, references)
	out := make([]byte, 0, len(inputs)+256)
	out = append(out, '{')
	for quoted, value := range rawjson.Members(inputs) {
		name := unquoted(quoted)
		switch {
		case connected == nil:
		case connected.Fields[name] != nil, r.name == "" && name == "connection", value[0] == 'n' && r.defaults[name] != nil: // a field is null
			continue
		case r.defaults[name] != nil: // the task says it itself
			r.defaults[name] = nil
		}
		out = appendName(out, quoted)
		if u.takes(name, references) {
			out = r.replace(out, value, name, r.secret)
		} else {
			out = append(out, value...)
		}
	}
	if connected != nil {
		as.Connection = r.name
		for _, field := range u.connection.Fields {
			value := connected.Fields[field]
			if value == nil {
				continue
			}
			quoted, _ := jsontext.AppendQuote(nil, field)    // a constant of the executor
			if out = appendName(out, quoted); r.name == "" { // what is defined inline names nothing of the operator's
				out = append(out, value...)
			} else {
				out = r.replace(out, value, "connection."+field, r.ofConnection)
			}
			r.passwords(field, value)
		}
		for _, field := range slices.Sorted(maps.Keys(r.defaults)) {
			if value := r.defaults[field]; value != nil {
				quoted, _ := jsontext.AppendQuote(nil, field)
				out = append(appendName(out, quoted), value...)
			}
		}
	}
	if len(r.faults) > 0 {
		return Resolved{Inputs: inputs}, r.refusal()
	}
	if connected != nil || len(r.values) > 0 {
		as.Inputs = append(out, '}')
		as.Shown = r.masked(inputs, references)
	}
	as.Redactor = newRedactor(r.values)
	return as, nil
}

// takes reports whether the value of a key may hold names of secrets.
func (u *Use) takes(key string, references []string) bool {
	return u.secrets && (u.fields == nil || u.fields[key]) && slices.Contains(references, key)
}

// masked are inputs with *** for what names a secret.
func (r *resolver) masked(inputs json.RawMessage, references []string) json.RawMessage {
	out := append(make([]byte, 0, len(inputs)+16), '{')
	for quoted, value := range rawjson.Members(inputs) {
		out = appendName(out, quoted)
		if name := unquoted(quoted); r.use.takes(name, references) {
			out = r.replace(out, value, name, func(string, string) (string, bool) { return stars, true })
		} else {
			out = append(out, value...)
		}
	}
	return append(out, '}')
}

func appendName(out, quoted []byte) []byte {
	if out[len(out)-1] != '{' {
		out = append(out, ',')
	}
	return append(append(out, quoted...), ':')
}

// unquoted is a name of a valid object.
func unquoted(quoted []byte) string {
	text, _ := rawjson.Unquote(quoted)
	return text
}

// resolver goes through the inputs of one call.
type resolver struct {
	ctx  context.Context
	use  *Use
	pool string
	name string // of the connection; empty: it is defined inline

	values   []string // that were put in
	faults   []string
	why      []string
	final    bool                       // one of the faults can't be mended without the task being changed
	kind     string                     // of the failure; empty: none of its own
	defaults map[string]json.RawMessage // inputs that an inline connection has, where the task leaves them open; nil: none, or the task says it
}

var (
	keySecret     = []byte(`"secret"`)
	keyConnection = []byte(`"connection"`)
)

// replace appends a valid value, with what stands for each {"secret": "name"} in it.
func (r *resolver) replace(out, value []byte, path string, find func(name, path string) (string, bool)) []byte {
	if !bytes.Contains(value, keySecret) {
		return append(out, value...)
	}
	if name, is := reference(value); is {
		text, ok := find(name, path)
		if !ok {
			return append(out, "null"...)
		}
		out, _ = jsontext.AppendQuote(out, text) // it is UTF-8
		return out
	}
	switch value[0] {
	case '{':
		out = append(out, '{')
		for quoted, member := range rawjson.Members(value) {
			out = r.replace(appendName(out, quoted), member, path+"."+unquoted(quoted), find)
		}
		return append(out, '}')
	case '[':
		out = append(out, '[')
		i := 0
		for element := range rawjson.Elements(value) {
			if i > 0 {
				out = append(out, ',')
			}
			out = r.replace(out, element, fmt.Sprintf("%s[%d]", path, i), find)
			i++
		}
		return append(out, ']')
	}
	return append(out, value...)
}

// Named reports whether a valid value is, or holds at any depth, what names a secret: {"secret": "name"}.
func Named(value []byte) bool {
	if !bytes.Contains(value, keySecret) {
		return false
	}
	if _, is := reference(value); is {
		return true
	}
	for _, member := range rawjson.Members(value) {
		if Named(member) {
			return true
		}
	}
	if value[0] == '[' {
		for element := range rawjson.Elements(value) {
			if Named(element) {
				return true
			}
		}
	}
	return false
}

// reference is the name in {"secret": "name"}, if a value is that: an object with this key alone, whose value is text.
func reference(value []byte) (name string, is bool) {
	for quoted, member := range rawjson.Members(value) {
		if is || !bytes.Equal(quoted, keySecret) || member[0] != '"' {
			return "", false
		}
		name, is = unquoted(member), true
	}
	return name, is
}

// secret finds what a task names.
func (r *resolver) secret(name, path string) (string, bool) {
	value, err := r.use.store.secret(r.ctx, name, r.pool)
	if err != nil {
		r.refuse(path, "secret", name, err)
		return "", false
	}
	r.values = append(r.values, value)
	return value, true
}

// ofConnection finds what the operator names in a connection: that the pool may use the connection is enough.
func (r *resolver) ofConnection(name, path string) (string, bool) {
	value, err := r.use.store.read(r.ctx, r.use.store.file.File(), name)
	if err != nil {
		r.fault(path+": a secret of the connection can't be read at this worker now", fmt.Sprintf("%s: secret %.128q: %v", path, name, err), true)
		return "", false
	}
	r.values = append(r.values, value)
	return value, true
}

// refuse notes that the task can't have what it names.
func (r *resolver) refuse(path, what, name string, err error) {
	why := fmt.Sprintf("%s: %s %.128q: %v", path, what, name, err)
	_, later := errors.AsType[unreadable](err)
	r.fault(path+": "+denied(what, name, r.pool, err), why, later)
}

func (r *resolver) fault(text, why string, later bool) {
	r.faults, r.why = append(r.faults, text), append(r.why, why)
	r.final = r.final || !later
}

// refusal is the error of all faults.
func (r *resolver) refusal() error {
	var err error = &Refusal{text: "[" + r.use.id + "] " + several(r.faults), Why: several(r.why)}
	if r.kind != "" {
		err = executors.WithKind(err, r.kind)
	}
	if r.final {
		return executors.Permanent(err)
	}
	return err
}

func several(all []string) string {
	if more := len(all) - maxFaults; more > 0 {
		all = append(slices.Clone(all[:maxFaults]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(all, "; ")
}
