package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// takes are the values of flags in words, by their type.
var takes = map[string]string{
	"int": "a whole number", "int64": "a whole number", "int32": "a whole number", "uint": "a whole number from 0", "float64": "a number",
	"bool": "true or false", "duration": "a duration, such as 30s or 10m",
}

// flagError says what a flag takes, where the library says how it failed to read the value.
func flagError(_ *cobra.Command, err error) error {
	bad, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	if what, known := takes[bad.GetFlag().Value.Type()]; known {
		return usage("--%s: takes %s, not %q", bad.GetFlag().Name, what, bad.GetValue())
	}
	reason := err.Error()
	if cause := errors.Unwrap(bad); cause != nil {
		reason = cause.Error()
	}
	return usage("--%s: %s", bad.GetFlag().Name, strings.TrimSpace(fmt.Sprintf("not %q: %s", bad.GetValue(), reason)))
}
