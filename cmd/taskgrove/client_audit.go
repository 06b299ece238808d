package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/record"
)

// auditCommand are the commands for the audit record.
func auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Read and check the audit record: who changed what, and who was refused",
		Long:    "The audit record has an entry for each change that was asked for, for how it ended, and for each refusal. Their hashes make a chain, so that\nwhat is changed afterwards is found.",
		GroupID: groupClient,
		Args:    cobra.NoArgs,
	}
	cmd.AddCommand(auditListCommand(), auditExportCommand(), auditFollowCommand(), auditVerifyCommand())
	for _, below := range cmd.Commands() {
		below.GroupID = ""
	}
	return cmd
}

// everywhere is the flag of entries of all namespaces.
func everywhere(cmd *cobra.Command, into *bool) {
	cmd.Flags().BoolVar(into, "all-namespaces", false, "of all namespaces, and of the cluster itself")
}

func namespaceOf(all bool) string {
	if all {
		return "*"
	}
	return ""
}

func auditListCommand() *cobra.Command {
	sel, f, all := selection{}, client.AuditFilter{}, false
	cmd := clientCommand("list", "List changes and refusals, newest first",
		"Lists calls that changed something or were refused, each with how it ended; unknown: the record does not say, as the call goes on, or its\n"+
			"coordinator died. With -o json: one JSON object a line.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			if sel.limit < 1 {
				return usage("--limit: takes a number from 1 on, not %d", sel.limit)
			}
			f.Namespace, f.Since, f.Before = namespaceOf(all), sel.since.at, sel.before.at
			return list(s, sel, listing[*client.AuditCall]{
				what: "entry", header: []string{"SEQ", "TIME", "CALLER", "FROM", "METHOD", "OUTCOME", "ABOUT"},
				page: func(cursor string, limit int) (*client.Page[*client.AuditCall], error) {
					f.Cursor, f.PageSize = cursor, limit
					return s.AuditPage(ctx, f)
				},
				id: func(c *client.AuditCall) string { return strconv.FormatInt(c.Seq, 10) },
				row: func(c *client.AuditCall, _ string) string {
					return strings.Join([]string{strconv.FormatInt(c.Seq, 10), shownTime(c.At), dash(c.Caller.Name), dash(c.Caller.From), dash(c.Method), outcomeText(c), aboutText(c)}, "\t")
				},
			})
		})
	flags := cmd.Flags()
	flags.StringVar(&f.Caller, "caller", "", "of this caller")
	flags.StringVar(&f.Method, "method", "", "of this method, such as Cancel")
	flags.StringVar(&f.Outcome, "outcome", "", "done, failed, refused or unknown")
	flags.StringVar(&f.Task, "task", "", "that name this task")
	flags.Var(&sel.since, "since", "since then: a time, or a duration before now, such as 24h or 7d")
	flags.Var(&sel.before, "before", "before then, as --since")
	flags.IntVar(&sel.limit, "limit", 100, "how many at most")
	flags.StringVar(&sel.cursor, "cursor", "", "where to go on, as the list before said")
	everywhere(cmd, &all)
	mustComplete(cmd, "outcome", cobra.FixedCompletions([]string{"done", "failed", "refused", "unknown"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return oneLine(text)
}

func outcomeText(c *client.AuditCall) string {
	text := c.Outcome
	if c.Code != "" {
		text += ": " + c.Code
	}
	if c.Count > 1 {
		text += fmt.Sprintf(" (%d times)", c.Count)
	}
	return oneLine(text)
}

// aboutText is what a call named, and what came of it.
func aboutText(c *client.AuditCall) string {
	var parts []string
	if c.Task != "" {
		parts = append(parts, "task="+c.Task)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Details)) {
		parts = append(parts, name+"="+c.Details[name])
	}
	return dash(strings.Join(parts, " "))
}

func auditExportCommand() *cobra.Command {
	r, sel, all, file := client.AuditRange{}, selection{}, false, ""
	cmd := clientCommand("export", "Write entries of the record as lines of JSON, oldest first",
		"Writes the record, or a range of it, as lines of JSON, as \"audit verify FILE\" reads them. Entries of the whole record, which --all-namespaces\n"+
			"gives, make a chain; those of one namespace have gaps.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			r.Namespace, r.Since, r.Before = namespaceOf(all), sel.since.at, sel.before.at
			if file == "" {
				return s.writeEntries(ctx, r, s.out)
			}
			out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			return errors.Join(s.writeEntries(ctx, r, out), out.Close())
		})
	flags := cmd.Flags()
	flags.Int64Var(&r.After, "after", 0, "only entries with a greater number")
	flags.Var(&sel.since, "since", "since then: a time, or a duration before now, such as 24h or 7d")
	flags.Var(&sel.before, "before", "before then, as --since")
	flags.StringVar(&file, "file", "", "write to this file, which must not be there yet")
	everywhere(cmd, &all)
	mustComplete(cmd, "file", nil)
	return cmd
}

func auditFollowCommand() *cobra.Command {
	r, sel, all := client.AuditRange{Follow: true}, selection{}, false
	cmd := clientCommand("follow", "Write new entries as lines of JSON, as they come",
		"Writes entries as \"audit export\" does, and goes on with those that come, until it is interrupted. Without --after and --since it begins with those\nof the last minute.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			r.Namespace, r.Since = namespaceOf(all), sel.since.at
			if r.After == 0 && r.Since.IsZero() {
				if err := sel.since.Set("1m"); err != nil {
					return err
				}
				r.Since = sel.since.at
			}
			return s.writeEntries(ctx, r, s.out)
		})
	cmd.Flags().Int64Var(&r.After, "after", 0, "only entries with a greater number")
	cmd.Flags().Var(&sel.since, "since", "since then: a time, or a duration before now, such as 24h or 7d")
	everywhere(cmd, &all)
	return cmd
}

// writeEntries writes entries as lines of JSON.
func (s *session) writeEntries(ctx context.Context, r client.AuditRange, to io.Writer) error {
	w := bufio.NewWriter(to)
	for e, err := range s.AuditEntries(ctx, r) {
		if err != nil {
			return errors.Join(w.Flush(), err)
		}
		line, err := json.Marshal(entryOf(e))
		if err != nil {
			return err
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
		if r.Follow {
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

// entryOf is an entry in the form that is hashed.
func entryOf(e *client.AuditEntry) *record.Entry {
	details := e.Details
	if details == nil {
		details = map[string]string{}
	}
	return &record.Entry{Seq: e.Seq, At: record.At(e.At), Kind: record.Kind(e.Kind), Of: e.Of, Namespace: e.Namespace, Method: e.Method, Permission: e.Permission,
		Outcome: record.Outcome(e.Outcome), Code: e.Code, Error: e.Error, Caller: record.Caller(e.Caller), Task: e.Task, Trace: e.Trace, Count: e.Count,
		Coordinator: e.Coordinator, Details: details, Key: e.Key, Prev: e.Prev, Hash: e.Hash}
}
