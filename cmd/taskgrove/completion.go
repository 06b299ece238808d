package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

// mustComplete gives a flag its completion; a flag that is not there is a mistake of ours.
func mustComplete(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err)
	}
}

// completionTime is how long a user who presses Tab waits for a cluster at most.
const completionTime = 2 * time.Second

// completionCount is how many tasks are offered at most.
const completionCount = 50

// completeTasks offers the tasks that the text may stand for, to the first most arguments; nothing when no cluster answers.
func completeTasks(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		s, err := connect(cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		defer s.Close() //nolint:errcheck // nothing is left to be sent
		parent := cmd.Context()
		if parent == nil {
			parent = context.Background()
		}
		ctx, cancel := context.WithTimeout(parent, completionTime)
		defer cancel()
		offered, err := s.offer(ctx, text)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return offered, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// offer are the completions of a task: of no text the newest trees, of TREE/ its tasks' names, else ids.
func (s *session) offer(ctx context.Context, text string) (offered []cobra.Completion, err error) {
	add := func(value, description string) {
		if value == harmless(value, "") { // a shell could not type others
			offered = append(offered, cobra.CompletionWithDesc(value, oneLine(description)))
		}
	}
	if text == "" {
		page, err := s.TreesPage(ctx, client.TreeFilter{PageSize: completionCount})
		if err != nil {
			return nil, err
		}
		for _, t := range page.Items {
			add(t.ID, t.Name+"  "+string(t.Status))
		}
		return offered, nil
	}
	if i := strings.LastIndexByte(text, '/'); i > 0 {
		if found, err := s.Resolve(ctx, text[:i]); err == nil {
			return s.offerNames(ctx, found, text[:i+1])
		}
	}
	found, err := s.Resolve(ctx, text)
	if err != nil {
		return nil, err
	}
	for _, m := range found.Tasks {
		add(m.ID, m.Name+"  "+string(m.Status))
	}
	return offered, nil
}

// offerNames are the names of the tasks of the tree that what was found belongs to.
func (s *session) offerNames(ctx context.Context, found *client.Matches, tree string) (offered []cobra.Completion, err error) {
	page, err := s.TasksPage(ctx, client.TaskFilter{TreeOf: found.Tasks[0].TreeID, PageSize: completionCount})
	if err != nil {
		return nil, err
	}
	for _, t := range page.Items {
		if t.Name == harmless(t.Name, "") {
			offered = append(offered, cobra.CompletionWithDesc(tree+t.Name, string(t.Status)))
		}
	}
	return offered, nil
}

// completeContexts offers the names of saved contexts.
func completeContexts(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	all, err := savedContexts()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(all.Contexts)), cobra.ShellCompDirectiveNoFileComp
}

// completeNamespaces offers the namespaces of saved contexts.
func completeNamespaces(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	all, err := savedContexts()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := []cobra.Completion{coordinator.DefaultNamespace}
	for _, c := range all.Contexts {
		if c.Namespace != "" {
			names = append(names, c.Namespace)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}

// completeOneContext offers them to the first argument only.
func completeOneContext(cmd *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeContexts(cmd, args, text)
}

// completeTrees offers files that may hold trees.
func completeTrees(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return []cobra.Completion{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
}
