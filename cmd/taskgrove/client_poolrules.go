package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

// poolsAllowCommand says what is allowed on a pool.
func poolsAllowCommand() *cobra.Command {
	var rule client.PoolRule
	var clear bool
	cmd := clientCommand("allow POOL", "Say what is allowed on a pool",
		"Makes the rule of a pool, in the place of the one that it has: whose tasks it takes, which executors run them, and which connections and secrets they may\n"+
			"name. What a rule does not list is all allowed; a name may end with * for all that begin so. The pool need not be there yet. Other tasks are refused from then\n"+
			"on; those that are stored already fail when a worker asks for them. --clear takes the rule away.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			rule.Pool = args[0]
			lists := len(rule.Namespaces) + len(rule.Executors) + len(rule.Connections) + len(rule.Secrets)
			switch {
			case clear && lists > 0:
				return usage("--clear goes with no list")
			case clear:
				if err := s.DeletePoolRule(ctx, rule.Pool); err != nil {
					return err
				}
				return s.print(client.PoolRule{Pool: rule.Pool}, func(w io.Writer) { fmt.Fprintf(w, "%s: all is allowed\n", oneLine(rule.Pool)) })
			case lists == 0:
				return usage("a rule needs a list: --namespaces, --executors, --connections, --secrets; or --clear")
			}
			if err := s.SetPoolRule(ctx, rule); err != nil {
				return err
			}
			return s.print(rule, func(w io.Writer) { printRules(w, []client.PoolRule{rule}) })
		})
	f := cmd.Flags()
	f.StringSliceVar(&rule.Namespaces, "namespaces", nil, "whose tasks it takes")
	f.StringSliceVar(&rule.Executors, "executors", nil, "that run tasks in it, and that its agents use as tools")
	f.StringSliceVar(&rule.Connections, "connections", nil, "that tasks may name")
	f.StringSliceVar(&rule.Secrets, "secrets", nil, "that tasks may name")
	f.BoolVar(&clear, "clear", false, "take the rule away")
	return cmd
}

func poolsRulesCommand() *cobra.Command {
	return clientCommand("rules", "List what is allowed on pools", "Lists the rules of pools. A pool without one allows all.", cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
		rules, err := s.PoolRules(ctx)
		if err != nil {
			return err
		}
		if err := s.print(rules, func(w io.Writer) { printRules(w, rules) }); err != nil {
			return err
		}
		return s.noteNone(len(rules), "rule")
	})
}

func printRules(w io.Writer, rules []client.PoolRule) {
	table(w, func(w io.Writer) {
		fmt.Fprintln(w, "POOL\tNAMESPACES\tEXECUTORS\tCONNECTIONS\tSECRETS")
		for _, r := range rules {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", oneLine(r.Pool), allOr(r.Namespaces), allOr(r.Executors), allOr(r.Connections), allOr(r.Secrets))
		}
	})
}

// allOr is a list of a rule: * if it allows all.
func allOr(list []string) string {
	if len(list) == 0 {
		return "*"
	}
	return oneLine(strings.Join(list, ","))
}
