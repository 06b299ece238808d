package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// format is how a command prints its results.
type format string

const (
	formatText format = "text"
	formatWide format = "wide" // text with more columns, of commands that have them
	formatJSON format = "json"
	formatYAML format = "yaml"
)

// formatFlag is the flag --output: the formats that a command takes, the usual one first, and the one that was chosen.
type formatFlag struct {
	takes  []format
	format format
}

// outputFlag gives a command the flag --output.
func outputFlag(cmd *cobra.Command, takes ...format) *formatFlag {
	f := &formatFlag{takes, takes[0]}
	cmd.Flags().VarP(f, "output", "o", f.words())
	mustComplete(cmd, "output", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var words []cobra.Completion
		for _, one := range f.takes {
			words = append(words, string(one))
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	})
	return f
}

// takesWide lets a command that has [outputFlag] take wide, too.
func takesWide(cmd *cobra.Command) {
	flag := cmd.Flag("output")
	f := flag.Value.(*formatFlag)
	f.takes = slices.Insert(f.takes, 1, formatWide)
	flag.Usage = f.words()
}

// words are the formats that it takes.
func (f *formatFlag) words() string {
	var words []string
	for _, one := range f.takes {
		words = append(words, string(one))
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// Set implements [pflag.Value].
func (f *formatFlag) Set(text string) error {
	if !slices.Contains(f.takes, format(text)) {
		return fmt.Errorf("takes %s, not %q", f.words(), text)
	}
	f.format = format(text)
	return nil
}

// String implements [pflag.Value].
func (f *formatFlag) String() string { return string(f.format) }

// Type implements [pflag.Value]; help shows it.
func (f *formatFlag) Type() string { return "format" }

// forPeople reports whether the output is text.
func (s *session) forPeople() bool { return s.format == formatText || s.wide() }

// wide reports whether all columns are asked for.
func (s *session) wide() bool { return s.format == formatWide }

// print writes one document, or, for people, what text writes.
func (s *session) print(value any, text func(w io.Writer)) error {
	if s.forPeople() {
		w := &firstError{Writer: harmlessWriter{s.out}}
		text(w)
		return w.err
	}
	return s.format.write(s.out, plain(reflect.ValueOf(value)))
}

// note writes a line beside the results.
func (s *session) note(text string, args ...any) error {
	_, err := fmt.Fprintf(s.notes, text+"\n", args...)
	return err
}

// noteNone notes that there are none of the things that were to be listed, if there are none.
func (s *session) noteNone(n int, what string) error {
	if n > 0 {
		return nil
	}
	return s.note("there are no %s", plural(what))
}

// plural is the plural of what is listed.
func plural(what string) string {
	if first, rest, ok := strings.Cut(what, " "); ok {
		return plural(first) + " " + rest
	}
	if stem, ok := strings.CutSuffix(what, "ry"); ok {
		return stem + "ries"
	}
	return what + "s"
}

// write writes a value as one document: JSON in one line, or YAML after a line that begins a document.
func (f format) write(w io.Writer, value any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return err
	}
	document := rawjson.Harmless(text.Bytes())
	if f == formatYAML {
		document = append([]byte("---\n"), yamlOf(document)...)
	}
	_, err := w.Write(document)
	return err
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

// row is a row of a table: its cells, and those that only -o wide shows.
func (s *session) row(cells []string, wide ...string) string {
	if s.wide() {
		cells = append(cells, wide...)
	}
	return strings.Join(cells, "\t")
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
	case client.ScheduleInfo, client.ScheduleRun, client.ScheduleBackfill: // have their own JSON
		raw, err := json.Marshal(value)
		if err != nil {
			return nil
		}
		return json.RawMessage(raw)
	case client.Dependency: // as documents have it
		d := map[string]any{"id": value.Ref, "required": !value.Optional, "type": value.Type}
		switch {
		case len(value.Accept) == 1 && value.Accept[0] == dag.AcceptAny:
			d["accept"] = dag.AcceptAny
		case len(value.Accept) > 0:
			d["accept"] = value.Accept
		}
		if value.Otherwise != "" {
			d["otherwise"] = value.Otherwise
		}
		if value.OrderOnly {
			d["merge"] = false
		}
		if value.Skips {
			d["skips"] = true
		}
		return d
	case client.TaskLimit:
		return said(map[string]any{"key": value.Key, "max": value.Max, "cost": value.Cost})
	case client.TaskLock:
		return said(map[string]any{"key": value.Key, "on_contention": value.OnContention, "wait_timeout": value.WaitTimeout.Seconds(), "hold": value.Hold})
	case client.TaskRate:
		return said(map[string]any{"key": value.Key, "per": value.Per, "max": value.Max, "burst": value.Burst})
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
	case reflect.Map:
		if v.Type().Elem().Kind() != reflect.Struct {
			break
		}
		entries := make(map[string]any, v.Len())
		for key, one := range v.Seq2() {
			entries[key.String()] = plain(one)
		}
		return entries
	case reflect.Struct:
		fields := map[string]any{}
		for i := range v.NumField() {
			switch field := v.Field(i).Interface().(type) {
			case time.Time:
				if field.IsZero() {
					continue
				}
			case *client.TaskOptions: // see export
				continue
			case *client.Usage, *client.Cost, []client.Cost, []client.ModelUsage: // most have none
				if v.Field(i).IsZero() {
					continue
				}
			case client.Usage, client.LimitSpec: // embedded
				maps.Copy(fields, plain(v.Field(i)).(map[string]any))
				continue
			case client.LimitTarget, client.PauseTarget: // embedded; one of its fields is set
				for name, value := range plain(v.Field(i)).(map[string]any) {
					if value != "" && value != false {
						fields[name] = value
					}
				}
				continue
			}
			name := snake(v.Type().Field(i).Name)
			if rare[name] && v.Field(i).IsZero() {
				continue
			}
			fields[name] = plain(v.Field(i))
		}
		return fields
	}
	return v.Interface()
}

// said leaves out what is zero: documents say nothing then.
func said(members map[string]any) map[string]any {
	maps.DeleteFunc(members, func(_ string, value any) bool { return reflect.ValueOf(value).IsZero() })
	return members
}

// rare are fields that most tasks, trees and attempts don't have: they are shown where there is something.
var rare = map[string]bool{"outcome": true, "skip_reason": true, "error_kind": true, "when": true, "fold": true, "allow_failure": true, "skipped": true,
	"failures_allowed": true, "kind": true, "subtree_id": true, "limits": true, "lock": true, "rates": true, "cache": true, "cached_from": true, "may_answer": true}

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
