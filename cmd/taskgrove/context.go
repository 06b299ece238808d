package main

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/queue"
)

// contextCommand manages saved contexts.
func contextCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "context",
		Short: "Save addresses of clusters under names",
		Long: "A context is the address of a cluster under a name, so that commands need no --server. Commands use the one that\n" +
			"\"context use\" has chosen, or that --context or TASKGROVE_CONTEXT names. They are kept in taskgrove/contexts.json in the\n" +
			"user's configuration directory.",
		GroupID: groupClient,
		Args:    cobra.NoArgs,
	}
	cmd.AddCommand(contextListCommand(), contextUseCommand(), contextSetCommand(), contextDeleteCommand())
	return cmd
}

// listedContext is a context as list shows it.
type listedContext struct {
	Name    string `json:"name"`
	Current bool   `json:"current"`
	saved
}

func contextListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List contexts; the one in use has a *", Args: cobra.NoArgs}
	output := outputFlag(cmd, formatText, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		all, err := savedContexts()
		if err != nil {
			return err
		}
		list := []listedContext{}
		for _, name := range slices.Sorted(maps.Keys(all.Contexts)) {
			list = append(list, listedContext{name, name == all.Current, all.Contexts[name]})
		}
		if output.format != formatText {
			return output.format.write(cmd.OutOrStdout(), list)
		}
		w := &firstError{Writer: harmlessWriter{cmd.OutOrStdout()}}
		table(w, func(w io.Writer) {
			fmt.Fprintln(w, "\tNAME\tSERVER\tNAMESPACE\tREQUEST TIMEOUT")
			for _, c := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", map[bool]string{true: "*"}[c.Current], oneLine(c.Name), oneLine(c.Server), oneLine(c.Namespace), oneLine(c.RequestTimeout))
			}
		})
		if w.err == nil && len(list) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "there are no contexts: taskgrove context set NAME --server HOST:PORT makes one")
		}
		return w.err
	}
	return cmd
}

func savedContexts() (*contexts, error) {
	path, err := contextsFile()
	if err != nil {
		return nil, err
	}
	return readContexts(path)
}

func contextUseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Choose the context that commands use", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOneContext,
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeContexts(func(all *contexts) error {
				if _, err := all.get(args[0]); err != nil {
					return err
				}
				all.Current = args[0]
				return nil
			})
		},
	}
}

func contextSetCommand() *cobra.Command {
	var use bool
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Make a context, or change it", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOneContext,
		Example: "  taskgrove context set production --server dns:///taskgrove.example.com:7700 --use",
	}
	variables := config.Variables(&config.Client{})
	variables = slices.DeleteFunc(variables, func(v config.Variable) bool { return v.Name == contextVariable })
	bind(cmd, variables)
	cmd.Flags().BoolVar(&use, "use", false, "and use it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, given := args[0], flags(cmd, variables)
		if !queue.ValidName(strings.ReplaceAll(name, ".", "-")) {
			return usage("%q is no name of a context: it takes 1 to 64 letters, digits, dots, - and _", name)
		}
		var cfg config.Client
		if err := config.Load(&cfg, given); err != nil { // what is wrong is refused here, not when it is used
			return codedError{err, exitUsage}
		}
		return changeContexts(func(all *contexts) error {
			c, known := all.Contexts[name]
			if _, ok := given[serverVariable]; !ok && !known {
				return usage("--server: a new context needs the address of a cluster")
			}
			for variable, field := range c.fields() {
				value, ok := given[variable]
				if !ok {
					continue
				}
				if strings.HasSuffix(variable, "_FILE") && value != "" { // commands run elsewhere
					path, err := filepath.Abs(value)
					if err != nil {
						return fmt.Errorf("contexts: %w", err)
					}
					value = path
				}
				*field = value
			}
			all.Contexts[name] = c
			if use {
				all.Current = name
			}
			return nil
		})
	}
	return cmd
}

func contextDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a context", Args: cobra.ExactArgs(1), ValidArgsFunction: completeOneContext,
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeContexts(func(all *contexts) error {
				if _, err := all.get(args[0]); err != nil {
					return err
				}
				delete(all.Contexts, args[0])
				if all.Current == args[0] {
					all.Current = ""
					fmt.Fprintln(cmd.ErrOrStderr(), "it was the one in use: none is now")
				}
				return nil
			})
		},
	}
}
