package secrets

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// findConnection looks whether inputs name or define a connection, finds it and checks that it fits. nil: there is none, or a fault was noted.
func (r *resolver) findConnection(inputs json.RawMessage, references []string) *workerfile.Connection {
	takes := r.use.connection
	if takes == nil {
		return nil
	}
	value, set := named(inputs, takes.Fields)
	switch {
	case value == nil || value[0] == 'n':
		return nil
	case !slices.Contains(references, "connection"):
		r.fault("connection: only the task itself may name one, not a result of a dependency", "connection: it is not as it was submitted, or the coordinator is older than 0.5.0", false)
		return nil
	case value[0] != '"' && value[0] != '{':
		r.fault("connection: must be the name of a connection, as text, or define one: an object with kind and driver", "connection: it is neither text nor an object", false)
		return nil
	case value[0] == '{':
		if len(set) > 0 {
			r.wrong("connection: it says where to go and as whom: leave out " + strings.Join(set, ", "))
		}
		return r.inline(value)
	}
	r.name = unquoted(value)
	c, err := r.use.store.connection(r.name, r.pool, takes)
	if err != nil {
		r.refuse("connection", "connection", r.name, err)
		return nil
	}
	if len(set) > 0 {
		text := fmt.Sprintf("connection: %q says where to go and as whom: leave out %s", r.name, strings.Join(set, ", "))
		r.fault(text, text, false)
	}
	if !slices.Contains(takes.Types, c.Type) {
		text := fmt.Sprintf("connection: %q is of type %s, and this executor takes %s", r.name, c.Type, strings.Join(takes.Types, ", "))
		r.fault(text, text, false)
		return nil
	}
	c = typed(c, takes)
	if unknown := unknownFields(c, takes); len(unknown) > 0 {
		text := fmt.Sprintf("connection: %q has fields that this executor does not take from one: %s", r.name, strings.Join(unknown, ", "))
		r.fault(text, text, false)
		return nil
	}
	return c
}

// named is the value of the input "connection", nil if there is none, and which of the fields that a connection may set are set. Fields are
// compared as encoding/json does, which takes Host for host: what the connection leaves open would else be the task's to say.
func named(inputs json.RawMessage, fields []string) (connection []byte, set []string) {
	for quoted, value := range rawjson.Members(inputs) {
		name := unquoted(quoted)
		switch {
		case name == "connection":
			connection = value
		case value[0] != 'n' && slices.ContainsFunc(fields, func(field string) bool { return strings.EqualFold(field, name) }):
			set = append(set, name)
		}
	}
	return connection, set
}

// Closed are the inputs that a model must not choose where a task's author has fixed others: all that say where to go and as whom, if the fixed ones
// say any of that or name a secret. Else a model could send a password to a host of its own, as some executors let one input go before another
// (host before url). What only tells the kind of a service closes nothing. fixed is a valid object, or empty.
func Closed(d executors.Description, fixed []byte) (closed []string) {
	if d.Connection == nil || len(fixed) == 0 {
		return nil
	}
	place := d.Connection.Fields
	if kind := d.Connection.TypeField; kind != "" {
		place = slices.DeleteFunc(slices.Clone(place), func(field string) bool { return field == kind })
	}
	connection, set := named(fixed, place)
	if len(set) == 0 && (connection == nil || connection[0] == 'n') && !Named(fixed) {
		return nil
	}
	closed = slices.Clone(d.Connection.Fields)
	if kind := d.Connection.TypeField; kind != "" && !slices.Contains(closed, kind) {
		closed = append(closed, kind)
	}
	return closed
}

// passwords notes what a connection holds without being a secret of its own: texts in fields that are called like passwords, and the
// passwords of URLs.
func (r *resolver) passwords(field string, value []byte) {
	switch value[0] {
	case '"':
		text := unquoted(value)
		if likePassword(field) {
			r.values = append(r.values, text)
		} else if u := urlOf(text); u != nil && u.User != nil {
			r.values = append(r.values, passwordOf(u))
		}
	case '{':
		for name, member := range rawjson.Members(value) {
			r.passwords(unquoted(name), member)
		}
	case '[':
		for element := range rawjson.Elements(value) {
			r.passwords(field, element)
		}
	}
}

// likePassword reports whether a field of that name likely holds what nobody should see.
func likePassword(field string) bool {
	field = strings.ToLower(field)
	return field == "value" || slices.ContainsFunc([]string{"pass", "secret", "token", "key", "credential", "authorization", "cookie", "dsn"},
		func(part string) bool { return strings.Contains(field, part) })
}
