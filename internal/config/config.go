// Package config reads the settings of a process from its environment into one struct: [Coordinator], [Worker], [Dev]
// or [Client].
//
// It owns the variables: their names, defaults and bounds, and their text in docs/configuration.md. It must not know what the
// values are for: package node hands them to the other packages, each of which has a small Config of its own.
//
// # Tags of a field
//
//   - envconfig: the name without [Prefix]
//   - alias: other full names, separated by commas, read in this order if the variable is not set; HOST+PORT makes an
//     address from two variables
//   - default: the value, as an operator would write it
//   - dev: the default of taskgrove dev, if it has another
//   - desc: what it does, for the page
//   - min, max: bounds of a number, size or duration, both allowed
//   - flag: the flag, without dashes, that takes precedence
//   - group: the section of the page; on an embedded struct, the section of all its fields
package config

//go:generate go run ./docgen ../../docs/configuration.md

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
)

// Prefix begins the names of all our variables.
const Prefix = "TASKGROVE_"

// Process is the configuration of a kind of process.
type Process interface {
	*Coordinator | *Worker | *Dev | *Client
	required() []string // names without the prefix
}

// Load fills p from the environment and from flags, which take precedence (values as typed, by the name of the variable). It
// reports all faults at once, as [Faults]; don't use p then.
func Load[P Process](p P, flags map[string]string) error {
	return (&loader{flags: flags, environment: getenv, required: p.required(), dev: isDev(p)}).fill(reflect.ValueOf(p).Elem())
}

// LoadPart fills a part of a process's configuration from the environment, such as [Executors] or [Database]. Its faults are [Faults].
func LoadPart[P any](part *P) error {
	var required []string
	if p, ok := any(part).(interface{ required() []string }); ok {
		required = p.required()
	}
	return (&loader{environment: getenv, required: required}).fill(reflect.ValueOf(part).Elem())
}

// fill loads a struct, then checks the relations between its fields.
func (l *loader) fill(of reflect.Value) error {
	l.walk(of)
	if len(l.faults) == 0 {
		for _, check := range l.checks {
			l.faults = append(l.faults, check()...)
		}
	}
	if len(l.faults) > 0 {
		return l.faults
	}
	return nil
}

// Defaults is the configuration of a process with an empty environment. The caller sets fields without a default, such as the
// address of the database; they are not checked.
func Defaults[P Process]() P {
	c := reflect.New(reflect.TypeFor[P]().Elem())
	l := &loader{environment: func(string) string { return "" }, dev: isDev(c.Interface())}
	l.walk(c.Elem())
	if len(l.faults) > 0 {
		panic(fmt.Sprintf("config: a default is wrong: %v", l.faults))
	}
	return c.Interface().(P)
}

func isDev(process any) bool {
	_, is := process.(*Dev)
	return is
}

// namespaces begin variables whose names operators make up: secrets and connections of workers (package secrets).
var namespaces = []string{Prefix + "SECRET_", Prefix + "CONNECTION_"}

// Unknown lists the variables of this environment that begin with [Prefix] and that no process reads: probably misspelled.
func Unknown() []string {
	known := All()
	var unknown []string
	for _, name := range variables() {
		madeUp := slices.ContainsFunc(namespaces, func(n string) bool { return strings.HasPrefix(name, n) })
		if strings.HasPrefix(name, Prefix) && !madeUp && !slices.ContainsFunc(known, func(v Variable) bool { return v.Name == name || slices.Contains(v.Aliases, name) }) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// Fault is a variable that has a wrong value or lacks one.
type Fault struct {
	Variable string // the name, or the flag, that the operator typed
	Value    string // as typed; *** for a secret, empty when not set
	Reason   string // why it is wrong; may be empty
	Takes    string // the values that it takes
}

// Error names the variable and the values that it takes.
func (f Fault) Error() string {
	text := f.Variable
	if f.Value != "" {
		text += "=" + f.Value
	}
	if f.Reason != "" {
		text += ": " + f.Reason + ";"
	} else {
		text += ":"
	}
	return text + " takes " + f.Takes
}

// Faults are all faults of a configuration, in the order of the fields.
type Faults []Fault

// Error has a line for each.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

type loader struct {
	flags       map[string]string
	environment func(name string) string // empty: not set
	required    []string
	dev         bool // taskgrove dev: its defaults count
	faults      Faults
	checks      []func() []Fault // relations between fields, checked once each field is right
}

// walk loads the fields of a struct, including those of embedded structs.
func (l *loader) walk(of reflect.Value) {
	for i := range of.NumField() {
		field := of.Type().Field(i)
		switch {
		case field.Tag.Get("envconfig") != "":
			l.load(field, of.Field(i))
		case field.Anonymous:
			l.walk(of.Field(i))
		}
	}
	switch c := of.Addr().Interface().(type) {
	case *Coordinator:
		l.checks = append(l.checks, c.check)
	case *Worker:
		l.checks = append(l.checks, c.check)
	case *Auth:
		l.checks = append(l.checks, c.check)
	case *Archive:
		l.checks = append(l.checks, c.check)
	case *PostgresLogin:
		l.checks = append(l.checks, c.check)
	case *NATSLogin:
		l.checks = append(l.checks, c.check)
	case *ListenTLS:
		l.checks = append(l.checks, c.check)
	case *Client:
		l.checks = append(l.checks, c.check)
	case *Dev:
		l.checks = append(l.checks, c.check)
	}
}

// load lets envconfig read one field. It goes field by field because envconfig stops at the first fault.
func (l *loader) load(field reflect.StructField, to reflect.Value) {
	v := variable(field)
	if l.dev {
		v.Default = cmp.Or(v.DevDefault, v.Default)
	}
	source, text := l.lookup(v)
	if source == "" && v.Default == "" {
		if slices.Contains(l.required, strings.TrimPrefix(v.Name, Prefix)) {
			l.faults = append(l.faults, Fault{Variable: v.Name, Reason: "not set", Takes: v.Takes})
		}
		return
	}
	err := decode(field.Type, to, cmp.Or(text, v.Default))
	if err == nil {
		err = bounds(field, to)
	}
	if err != nil {
		if v.Secret {
			text = hidden
		}
		l.faults = append(l.faults, Fault{Variable: cmp.Or(source, v.Name), Value: text, Reason: err.Error(), Takes: v.Takes})
	}
}

// lookup finds where a value comes from: the flag, the variable, an alias. An empty variable counts as unset.
func (l *loader) lookup(v Variable) (source, text string) {
	if text, ok := l.flags[v.Name]; ok {
		return "--" + v.Flag, text
	}
	for _, name := range append([]string{v.Name}, v.Aliases...) {
		host, port, pair := strings.Cut(name, "+")
		if !pair {
			if text := l.environment(name); text != "" {
				return name, text
			}
			continue
		}
		defaultHost, defaultPort, _ := strings.Cut(v.Default, ":")
		if l.environment(host) != "" || l.environment(port) != "" {
			return host + "," + port, net.JoinHostPort(strings.Trim(cmp.Or(l.environment(host), defaultHost), "[]"), cmp.Or(l.environment(port), defaultPort))
		}
	}
	return "", ""
}

// decode lets envconfig read text into a struct that has only this field.
func decode(t reflect.Type, to reflect.Value, text string) error {
	const nobody = "\x00" // no environment has this name, so that the default counts
	alone := reflect.New(reflect.StructOf([]reflect.StructField{{
		Name: "Value", Type: t, Tag: reflect.StructTag(fmt.Sprintf("envconfig:%q default:%q", nobody, text)),
	}}))
	if err := envconfig.Process("", alone.Interface()); err != nil {
		if parse, ok := errors.AsType[*envconfig.ParseError](err); ok {
			err = parse.Err
		}
		switch {
		case t == reflect.TypeFor[time.Duration]():
			return errors.New("not a duration")
		case t.Kind() == reflect.Int && t.PkgPath() == "":
			return errors.New("not a number")
		}
		return err
	}
	to.Set(alone.Elem().Field(0))
	return nil
}

// bounds checks min and max.
func bounds(field reflect.StructField, value reflect.Value) error {
	for _, b := range []struct {
		tag  string
		sign int
		text string
	}{{"min", -1, "too small"}, {"max", 1, "too large"}} {
		text := field.Tag.Get(b.tag)
		if text == "" {
			continue
		}
		bound, err := number(field.Type, text)
		if err != nil {
			panic(fmt.Sprintf("config: %s of %s: %v", b.tag, field.Name, err))
		}
		if cmp.Compare(value.Int(), bound) == b.sign {
			return errors.New(b.text)
		}
	}
	return nil
}

func number(t reflect.Type, text string) (int64, error) {
	switch t {
	case reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(text)
		return int64(d), err
	case reflect.TypeFor[Size]():
		var s Size
		err := s.Decode(text)
		return int64(s), err
	}
	return strconv.ParseInt(text, 10, 64)
}

func orElse(text, otherwise string) string { return cmp.Or(text, otherwise) }
