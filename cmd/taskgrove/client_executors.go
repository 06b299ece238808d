package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/reference"
)

func executorsCommand() *cobra.Command {
	cmd := clientCommand("executors [ID]", "List executors, or show one",
		"Lists the executors that tasks may name: the built-in ones, and those of workers that describe theirs. WORKERS are the live workers that\n"+
			"have it. With an id, shows its inputs, its result and its examples; _executor at the end of the id may be left out.",
		cobra.MaximumNArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			if len(args) == 1 {
				e, err := s.Executor(ctx, args[0])
				if errors.Is(err, client.ErrNotFound) {
					return fmt.Errorf("%w; \"taskgrove executors\" lists those that there are", err)
				}
				if err != nil {
					return err
				}
				return s.print(e, func(w io.Writer) { writeExecutor(w, e) })
			}
			return s.listExecutors(ctx)
		})
	takesWide(cmd)
	return cmd
}

func (s *session) listExecutors(ctx context.Context) error {
	var all []*client.Executor
	for e, err := range s.Executors(ctx) {
		if err != nil {
			return err
		}
		all = append(all, e)
	}
	if err := s.print(all, func(w io.Writer) {
		table(w, func(w io.Writer) {
			fmt.Fprintln(w, s.row([]string{"ID", "TYPE", "WORKERS", "DESCRIPTION"}, "BUILT IN", "CANCELABLE", "REPEATABLE", "POOLS"))
			for _, e := range all {
				text := oneLine(e.Description)
				if !s.wide() {
					text = cut(text, descriptionWidth)
				}
				fmt.Fprintln(w, s.row([]string{oneLine(e.ID), oneLine(e.Type), strconv.Itoa(e.Workers), text},
					yesNo(e.BuiltIn), yesNo(e.Cancelable), yesNo(e.Repeatable), oneLine(strings.Join(e.Pools, ","))))
			}
		})
		for _, e := range all {
			if e.Differs != "" {
				fmt.Fprintf(w, "%s: %s\n", oneLine(e.ID), oneLine(e.Differs))
			}
		}
	}); err != nil {
		return err
	}
	return s.noteNone(len(all), "executor")
}

// descriptionWidth is how many columns of a description a list shows.
const descriptionWidth = 70

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// writeExecutor writes all that a cluster knows of an executor.
func writeExecutor(w io.Writer, e *client.Executor) {
	workers := strconv.Itoa(e.Workers)
	if e.Workers == 0 {
		workers = `0 ("taskgrove workers" says why where it is off)`
	}
	writeSelf(w, e, [2]string{"built in", yesNo(e.BuiltIn)}, [2]string{"workers", workers}, [2]string{"pools", strings.Join(e.Pools, ", ")}, [2]string{"differs", e.Differs})
}

// writeSelf writes all that an executor says of itself, and what else is known of it, as names with values.
func writeSelf(w io.Writer, e *client.Executor, known ...[2]string) {
	table(w, func(w io.Writer) {
		line := func(name, value string) {
			if value != "" {
				fmt.Fprintf(w, "%s\t%s\n", name, oneLine(value))
			}
		}
		line("id", e.ID)
		line("type", e.Type)
		line("name", e.Name)
		line("description", e.Description)
		for _, k := range known {
			line(k[0], k[1])
		}
		line("cancelable", yesNo(e.Cancelable))
		line("repeatable", yesNo(e.Repeatable))
		if e.Timeout > 0 {
			line("timeout", lasted(e.Timeout))
		}
		line("secrets", yesNo(e.Secrets))
		if c := e.Connection; c != nil {
			line("connection", "of type "+strings.Join(c.Types, " or ")+", which sets "+strings.Join(c.Fields, ", "))
		}
	})
	writeFields(w, "inputs", e.Inputs)
	writeFields(w, "result", e.Output)
	for _, x := range e.Examples {
		doc, err := reference.Document(e.ID, executors.Example{Title: x.Title, Inputs: x.Inputs, Params: x.Params, Schemas: x.Schemas})
		if err != nil {
			continue // a worker's example may be anything
		}
		fmt.Fprintf(w, "\n# %s\n%s", oneLine(x.Title), doc)
	}
}

// writeFields writes the members of an object by its schema.
func writeFields(w io.Writer, what string, schema []byte) {
	fields, err := reference.Fields(schema)
	if err != nil || len(fields) == 0 {
		return
	}
	plainText := strings.NewReplacer("`", "", `\|`, "|")
	fmt.Fprintf(w, "\n%s\n", what)
	table(w, func(w io.Writer) {
		for _, f := range fields {
			about := f.Text
			if f.Default != "" {
				about = strings.TrimPrefix(about+"; default "+f.Default, "; ")
			}
			if f.Required {
				about = strings.TrimSuffix("required; "+about, "; ")
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\n", oneLine(f.Name), oneLine(plainText.Replace(f.Type)), oneLine(plainText.Replace(about)))
		}
	})
}
