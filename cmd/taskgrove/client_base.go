package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/config"
)

// Exit codes of the client commands, beside those of every command; docs/cli.md lists them.
const (
	exitTreeFailed    = 3 // --wait, --watch: the tree failed
	exitTreeCancelled = 4 // --wait, --watch: the tree was cancelled; rerun: the task was, and nothing was started
	exitUnreachable   = 5 // no coordinator could be reached, or it has too much to do
	// 6 is that of verify
	exitOptionalFailed = 7 // --wait, --watch: the tree failed by the protocol, but only optional tasks did
	exitInterrupted    = 130
)

// groupClient holds the commands that speak to a running cluster.
const groupClient = "client"

// clientCommands are the commands that speak to a running cluster.
func clientCommands() []*cobra.Command {
	return []*cobra.Command{
		submitCommand(), rerunCommand(), getCommand(), treeCommand(), listCommand(), watchCommand(), cancelCommand(),
		logsCommand(), whyCommand(), verifyCommand(), coordinatorsCommand(), workersCommand(), poolsCommand(),
	}
}

// codedError ends the process with a code.
type codedError struct {
	error
	code int
}

// ExitCode is what the process ends with.
func (e codedError) ExitCode() int { return e.code }

// Unwrap is the error itself.
func (e codedError) Unwrap() error { return e.error }

// usage is a wrong command line that only the command could see.
func usage(format string, args ...any) error {
	return codedError{fmt.Errorf(format, args...), exitUsage}
}

// session is one run of a client command: the connection and where output goes. Results go to out, notes to notes.
type session struct {
	*client.Client
	out, notes io.Writer
	json       bool
	server     string
}

// clientCommand makes a command that has a connection.
func clientCommand(use, short, long string, args cobra.PositionalArgs, run func(ctx context.Context, s *session, args []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Args: args, GroupID: groupClient}
	output := cmd.Flags().StringP("output", "o", "text", "text or json")
	variables := config.Variables(&config.Client{})
	bind(cmd, variables)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *output != "text" && *output != "json" {
			return usage("--output: takes text or json, not %q", *output)
		}
		var cfg config.Client
		if err := config.Load(&cfg, flags(cmd, variables)); err != nil {
			return codedError{err, exitUsage}
		}
		c, err := client.New(cfg.Server, client.WithCallTimeout(cfg.RequestTimeout))
		if err != nil {
			return codedError{err, exitUsage}
		}
		defer c.Close() //nolint:errcheck // nothing is left to be sent
		s := &session{Client: c, out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr(), json: *output == "json", server: cfg.Server}
		return s.explain(cmd.Context(), run(cmd.Context(), s, args))
	}
	return cmd
}

// explain gives errors their exit code, and says what a person can do about them.
func (s *session) explain(ctx context.Context, err error) error {
	_, coded := errors.AsType[codedError](err)
	switch {
	case err == nil || coded:
		return err
	case ctx.Err() != nil:
		return codedError{errors.New("interrupted; what runs in the cluster goes on"), exitInterrupted}
	case errors.Is(err, client.ErrUnavailable):
		return codedError{fmt.Errorf("%w\nno coordinator answers at %s, or it has too much to do: start one with \"taskgrove dev\", or name another with --server", err, s.server), exitUnreachable}
	}
	if bad, ok := errors.AsType[*client.InvalidError](err); ok {
		if len(bad.Faults) == 0 {
			return codedError{err, exitUsage}
		}
		var b strings.Builder
		b.WriteString("not accepted:")
		for _, f := range bad.Faults {
			b.WriteString("\n  ")
			if !strings.HasPrefix(f.Reason, strings.TrimSuffix(f.Field, ".")) {
				b.WriteString(f.Field + ": ")
			}
			b.WriteString(f.Reason)
		}
		return codedError{errors.New(b.String()), exitUsage}
	}
	return err
}

// print writes one JSON document, or, for people, what text writes.
func (s *session) print(value any, text func(w io.Writer)) error {
	if !s.json {
		w := &firstError{Writer: harmlessWriter{s.out}}
		text(w)
		return w.err
	}
	return json.NewEncoder(s.out).Encode(plain(reflect.ValueOf(value)))
}

// firstError keeps the first error of writing, so that formatting need not look at each.
type firstError struct {
	io.Writer
	err error
}

func (w *firstError) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.Writer.Write(p)
	w.err = err
	return n, err
}

// table writes rows in columns.
func table(w io.Writer, rows func(w io.Writer)) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	rows(t)
	_ = t.Flush()
}

// plain makes JSON of the client's types: keys in snake case, durations in seconds, times that are not set left out.
func plain(v reflect.Value) any {
	switch value := v.Interface().(type) {
	case json.RawMessage:
		if len(value) == 0 {
			return nil
		}
		return value
	case time.Time:
		return value
	case time.Duration:
		return value.Seconds()
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plain(v.Index(i))
		}
		return list
	case reflect.Struct:
		fields := map[string]any{}
		for i := range v.NumField() {
			if t, ok := v.Field(i).Interface().(time.Time); ok && t.IsZero() {
				continue
			}
			fields[snake(v.Type().Field(i).Name)] = plain(v.Field(i))
		}
		return fields
	}
	return v.Interface()
}

// snake is a Go name in snake case: TreeID is tree_id.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(rune(name[i-1])) || i+1 < len(name) && unicode.IsLower(rune(name[i+1]))) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// outcome is the exit code of a tree that was waited for on behalf of one of its tasks: where only a part was executed,
// that task's.
func (s *session) outcome(ctx context.Context, t *client.Tree, id string) error {
	if err := s.noteExits(ctx, t); err != nil {
		return err
	}
	if t.Status == client.StatusPending && id != t.ID {
		task, err := s.Task(ctx, id)
		if err != nil || task.Status == client.StatusCompleted {
			return err
		}
	}
	switch t.Status {
	case client.StatusFailed:
		if t.OnlyOptionalFailed {
			return codedError{fmt.Errorf("tree %s: all but %d optional completed", t.ID, t.Failed), exitOptionalFailed}
		}
		return codedError{fmt.Errorf("tree %s failed: %d failed, %d blocked of %d tasks", t.ID, t.Failed, t.Blocked, t.Tasks), exitTreeFailed}
	case client.StatusCancelled:
		return codedError{fmt.Errorf("tree %s was cancelled", t.ID), exitTreeCancelled}
	case client.StatusPending: // spec 9: a tree that is stuck is no success
		return codedError{fmt.Errorf("tree %s does not run: %d of %d tasks are held; rerun starts them", t.ID, t.Held, t.Tasks), exitError}
	}
	return nil
}

// took is how long something lasted, for people; now for what has not ended.
func took(from, to, now time.Time) string {
	if from.IsZero() {
		return ""
	}
	if to.IsZero() {
		to = now
	}
	d := to.Sub(from)
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}
