package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Variable describes a variable.
type Variable struct {
	Name       string   // with prefix
	Aliases    []string // HOST+PORT: two variables that make one value
	Default    string
	DevDefault string // of taskgrove dev; empty: the same
	Takes      string // "host:port"
	Effect     string
	Flag       string // without dashes; empty: none
	Short      string // the flag's letter; empty: none
	Switch     bool   // a flag without a value means true
	Secret     bool
	Group      string
	Processes  []string // that read it
}

// Variables lists the variables that a process reads, in the order of its struct.
func Variables[P Process](p P) []Variable { return variablesOf(reflect.TypeOf(p).Elem(), "") }

// All lists the variables of all processes, each once, with the processes that read it.
func All() []Variable {
	var all []Variable
	for _, process := range []struct {
		name string
		of   []Variable
	}{
		{"coordinator", Variables((*Coordinator)(nil))},
		{"worker", Variables((*Worker)(nil))},
		{"dev", Variables((*Dev)(nil))},
		{"client", Variables((*Client)(nil))},
	} {
		for _, v := range process.of {
			i := slices.IndexFunc(all, func(have Variable) bool { return have.Name == v.Name })
			if i < 0 {
				i = len(all)
				all = append(all, v)
			}
			all[i].Processes = append(all[i].Processes, process.name)
		}
	}
	return all
}

func variablesOf(t reflect.Type, group string) []Variable {
	var out []Variable
	for i := range t.NumField() {
		field := t.Field(i)
		switch {
		case field.Tag.Get("envconfig") != "":
			v := variable(field)
			if v.Group == "" {
				v.Group = group
			}
			out = append(out, v)
		case field.Anonymous:
			out = append(out, variablesOf(field.Type, field.Tag.Get("group"))...)
		}
	}
	return out
}

func variable(field reflect.StructField) Variable {
	v := Variable{
		Name: Prefix + field.Tag.Get("envconfig"), Default: field.Tag.Get("default"), Effect: field.Tag.Get("desc"),
		Flag: field.Tag.Get("flag"), Short: field.Tag.Get("short"), Switch: field.Type == reflect.TypeFor[Bool](), Group: field.Tag.Get("group"),
	}
	v.DevDefault = field.Tag.Get("dev")
	if alias := field.Tag.Get("alias"); alias != "" {
		v.Aliases = strings.Split(alias, ",")
	}
	value := reflect.New(field.Type).Interface()
	_, v.Secret = value.(interface{ secret() })
	v.Takes = takes(field, value)
	return v
}

// takes describes the values that a field takes, with its bounds.
func takes(field reflect.StructField, value any) string {
	kind := "text"
	if t, ok := value.(taker); ok {
		kind = t.takes()
	} else if field.Type == reflect.TypeFor[time.Duration]() {
		kind = "a duration, such as 250ms, 30s, 168h"
	} else if field.Type.Kind() == reflect.Int {
		kind = "a whole number"
	}
	switch low, high := field.Tag.Get("min"), field.Tag.Get("max"); {
	case low != "" && high != "":
		return fmt.Sprintf("%s, from %s to %s", kind, low, high)
	case low != "":
		return fmt.Sprintf("%s, at least %s", kind, low)
	}
	return kind
}
