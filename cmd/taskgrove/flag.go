package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/taskgrove/taskgrove/dag"
)

// takes are the values of flags in words, by their type.
var takes = map[string]string{
	"int": "a whole number", "int64": "a whole number", "int32": "a whole number", "uint": "a whole number from 0", "float64": "a number",
	"bool": "true or false", "duration": "a duration, such as 30s or 10m",
}

// flagError says what is wrong with a flag, where the library says how it failed to read it.
func flagError(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		return unknownFlag(cmd, unknown)
	}
	if lacks, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return usage("--%s: a value is missing after it", lacks.GetFlag().Name)
	}
	bad, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	if what, known := takes[bad.GetFlag().Value.Type()]; known {
		return usage("--%s: takes %s, not %q", bad.GetFlag().Name, what, bad.GetValue())
	}
	return usage("--%s: %w", bad.GetFlag().Name, cmp.Or(errors.Unwrap(bad), err))
}

// unknownFlag names the flag that was likely meant.
func unknownFlag(cmd *cobra.Command, unknown *pflag.NotExistError) error {
	name := "--" + unknown.GetSpecifiedName()
	if unknown.GetSpecifiedShortnames() != "" {
		return usage("there is no flag -%s\n%s", unknown.GetSpecifiedName(), usageOf(cmd))
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	hint := ""
	if meant := dag.Nearest(unknown.GetSpecifiedName(), names); meant != "" {
		hint = "; did you mean --" + meant + "?"
	}
	return usage("there is no flag %s%s\n%s", name, hint, usageOf(cmd))
}

// usageOf is how a command is called.
func usageOf(cmd *cobra.Command) string {
	return fmt.Sprintf("usage: %s (\"%s --help\" says more)", cmd.UseLine(), cmd.CommandPath())
}

// plainArguments makes a command, and those below it, say what their arguments are, where the library counts them.
func plainArguments(cmd *cobra.Command) {
	for _, below := range cmd.Commands() {
		plainArguments(below)
	}
	check := cmd.Args
	if cmd.HasSubCommands() {
		mustName(cmd)
		return
	}
	if check == nil {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if _, coded := errors.AsType[codedError](err); err == nil || coded {
			return err
		}
		_, wants, _ := strings.Cut(cmd.Use, " ")
		_, name, _ := strings.Cut(cmd.CommandPath(), " ")
		given := fmt.Sprintf("%q", args)
		given = given[1 : len(given)-1]
		switch {
		case wants == "":
			return usage("%s takes no arguments, but there is %s\n%s", name, given, usageOf(cmd))
		case len(args) == 0:
			return usage("%s needs an argument: %s\n%s", name, wants, usageOf(cmd))
		}
		if len(args) == 1 { // of several
			return usage("%s takes %s, but there is only %s\n%s", name, wants, given, usageOf(cmd))
		}
		if strings.Contains(wants, " ") {
			return usage("%s takes %s, but there are %d: %s\n%s", name, wants, len(args), given, usageOf(cmd))
		}
		return usage("%s takes one argument, %s, but there are %d: %s\n%s", name, wants, len(args), given, usageOf(cmd))
	}
}

// mustName makes a command that only has others below it refuse a name that none of them has. The library shows the help then, as if all were well.
func mustName(group *cobra.Command) {
	if group.Runnable() || !group.HasParent() {
		return
	}
	group.Args, group.DisableFlagsInUseLine = cobra.ArbitraryArgs, true
	group.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		var names []string
		for _, below := range cmd.Commands() {
			if below.IsAvailableCommand() {
				names = append(names, below.Name())
			}
		}
		return usage("unknown command %q for %q; there are: %s", args[0], cmd.CommandPath(), strings.Join(names, ", "))
	}
}
