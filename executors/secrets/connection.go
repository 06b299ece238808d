package secrets

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// connection finds a connection for tasks of a pool. Its fields are as the operator wrote them.
func (s *Store) connection(name, pool string, takes *executors.Connection) (*workerfile.Connection, error) {
	if !workerfile.ValidName(name) {
		return nil, errUnknown
	}
	found, ok := s.file.File().Connections[name]
	if !ok {
		text, ok := s.cfg.LookupEnv(EnvConnection + canonical(name))
		if !ok || text == "" {
			return nil, errUnknown
		}
		var err error
		if found, err = ofVariable(EnvConnection+canonical(name), text, takes); err != nil {
			return nil, unreadable{err}
		}
	}
	if !in(found.Pools, pool) {
		return nil, errPool
	}
	return &found, nil
}

// ofVariable reads a connection from a variable: a JSON object as in the worker's file, or a URL.
func ofVariable(variable, text string, takes *executors.Connection) (workerfile.Connection, error) {
	if len(text) > maxBytes {
		return workerfile.Connection{}, fmt.Errorf("%s: larger than %d bytes", variable, maxBytes)
	}
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") {
		return workerfile.ParseConnection(variable, []byte(text))
	}
	c, err := ofURL(text, takes)
	if err != nil {
		err = fmt.Errorf("%s: %w", variable, err)
	}
	return c, err
}

// schemes are those whose connections are called otherwise.
var schemes = map[string]string{"postgresql": "postgres", "https": "http"}

// ofURL takes a URL apart, into the fields that the executor has for its parts.
func ofURL(text string, takes *executors.Connection) (workerfile.Connection, error) {
	u, err := url.Parse(text)
	if err != nil || !strings.HasPrefix(text, u.Scheme+"://") { // the error would show it, and so might a scheme of what is no URL
		return workerfile.Connection{}, errors.New("neither a JSON object nor a URL")
	}
	c := workerfile.Connection{Type: u.Scheme, Fields: map[string]json.RawMessage{}}
	if other := schemes[u.Scheme]; other != "" && !slices.Contains(takes.Types, u.Scheme) {
		c.Type = other
	}
	set := func(field, value string) {
		if value != "" {
			c.Fields[field], _ = json.Marshal(value) // text
		}
	}
	has := func(field string) bool { return slices.Contains(takes.Fields, field) }
	switch {
	case has("host"):
		set("host", u.Hostname())
		if port, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
			c.Fields["port"] = strconv.AppendUint(nil, port, 10)
		}
	case has("url"):
		set("url", text)
		return c, nil
	case has("base_url"):
		set("base_url", text)
		return c, nil
	default:
		set("server", net.JoinHostPort(u.Hostname(), u.Port()))
	}
	password, _ := u.User.Password()
	set("username", u.User.Username())
	set("password", password)
	set("database", strings.TrimPrefix(u.Path, "/"))
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return workerfile.Connection{}, errors.New("its query is none")
	}
	for field, values := range query {
		set(field, values[len(values)-1])
	}
	return c, nil
}

// Check is what is wrong with the connections of the worker's file for executors of these descriptions, a sentence each, for operators.
// A connection of a type that none of them takes may be for others. Each version of the file is checked once.
func (s *Store) Check(all []executors.Description) (advice []string) {
	file := s.file.File()
	if s.checked.Swap(file) == file {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(file.Connections)) {
		c := file.Connections[name]
		var takers, unknown []string
		for _, d := range all {
			if d.Connection == nil || !slices.Contains(d.Connection.Types, c.Type) {
				continue
			}
			takers = append(takers, d.ID)
			unknown = append(unknown, unknownFields(&c, d.Connection)...)
		}
		if len(takers) > 0 && len(unknown) > 0 {
			advice = append(advice, fmt.Sprintf("connection %s of type %s has fields that %s does not take from one: %s",
				name, c.Type, strings.Join(takers, ", "), strings.Join(slices.Compact(slices.Sorted(slices.Values(unknown))), ", ")))
		}
	}
	return advice
}

// anyone takes any connection.
var anyone = &executors.Connection{Fields: []string{"host"}}

// CheckVariables is what is wrong with the connections that variables hold, a sentence each, for operators; the variables are as in
// [os.Environ]. No sentence shows a value.
func CheckVariables(environ []string) (advice []string) {
	for _, pair := range slices.Sorted(slices.Values(environ)) {
		variable, text, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(variable, EnvConnection) || text == "" {
			continue
		}
		if _, err := ofVariable(variable, text, anyone); err != nil {
			advice = append(advice, fmt.Sprintf("connection of variable %s can't be used: %v", variable, err))
		}
	}
	return advice
}

// unknownFields are the fields of a connection that the executor does not take from one, sorted.
func unknownFields(c *workerfile.Connection, takes *executors.Connection) (unknown []string) {
	for field := range c.Fields {
		if !slices.Contains(takes.Fields, field) {
			unknown = append(unknown, field)
		}
	}
	slices.Sort(unknown)
	return unknown
}
