package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

// namespacesCommand looks after namespaces.
func namespacesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "namespaces",
		Short: "Look after namespaces, in which teams keep what is theirs",
		Long: "A tree, its tasks' ids, webhooks, idempotency keys and API keys belong to a namespace, and are found there only. Commands work in that of\n" +
			"--namespace, TASKGROVE_NAMESPACE or the context; default is always there. Who makes and changes namespaces is an admin of the cluster.",
		GroupID: groupClient,
		Args:    cobra.NoArgs,
	}
	cmd.AddCommand(namespacesCreateCommand(), namespacesListCommand(), namespacesGetCommand(), namespacesUpdateCommand(), namespacesDeleteCommand())
	for _, below := range cmd.Commands() {
		below.GroupID = ""
	}
	return cmd
}

// quotaFlags are those of quotas; none is set that is not given.
func quotaFlags(cmd *cobra.Command, more string) func() client.Quotas {
	var q client.Quotas
	of := map[string]**int64{"open-trees": &q.OpenTrees, "trees": &q.Trees, "tasks": &q.Tasks, "bytes": &q.Bytes}
	f := cmd.Flags()
	f.Int64("open-trees", 0, "how many trees may have an execution in progress"+more)
	f.Int64("trees", 0, "how many trees may be stored"+more)
	f.Int64("tasks", 0, "how many tasks may be stored"+more)
	f.Int64("bytes", 0, "how many bytes of inputs, params, schemas and custom keys may be stored"+more)
	return func() client.Quotas {
		for name, to := range of {
			if n, err := f.GetInt64(name); err == nil && f.Changed(name) {
				*to = &n
			}
		}
		return q
	}
}

func namespacesCreateCommand() *cobra.Command {
	var spec client.NamespaceSpec
	var quotas func() client.Quotas
	cmd := clientCommand("create NAME", "Make a namespace",
		"Makes a namespace, with a name of 1 to 63 of a-z, 0-9 and -. All coordinators and workers must be of version 0.8 or later.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			spec.Name, spec.Quotas = args[0], quotas()
			n, err := s.CreateNamespace(ctx, spec)
			if err != nil {
				return err
			}
			return s.printNamespace(n)
		})
	cmd.Flags().StringVar(&spec.Description, "description", "", "for people")
	quotas = quotaFlags(cmd, "")
	return cmd
}

func (s *session) printNamespace(n *client.Namespace) error {
	return s.print(n, func(w io.Writer) { writeNamespaces(w, []*client.Namespace{n}) })
}

func writeNamespaces(w io.Writer, list []*client.Namespace) {
	table(w, func(w io.Writer) {
		fmt.Fprintln(w, "NAME\tOPEN TREES\tTREES\tTASKS\tBYTES\tCREATED\tDESCRIPTION")
		for _, n := range list {
			description := oneLine(n.Description)
			if n.Deleting {
				description = "(being deleted) " + description
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", oneLine(n.Name), ofQuota(nil, n.Quotas.OpenTrees), ofQuota(n.Stored.Trees, n.Quotas.Trees),
				ofQuota(n.Stored.Tasks, n.Quotas.Tasks), ofQuota(n.Stored.Bytes, n.Quotas.Bytes), shownTime(n.CreatedAt), description)
		}
	})
}

// ofQuota is how much there is, and how much there may be.
func ofQuota(has, most *int64) string {
	switch {
	case most == nil:
		return "-"
	case has == nil:
		return "<= " + strconv.FormatInt(*most, 10)
	}
	return fmt.Sprintf("%d of %d", *has, *most)
}

func namespacesListCommand() *cobra.Command {
	return clientCommand("list", "List namespaces", "Lists namespaces by name, with what is stored and what may be, where there is a quota.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			list := []*client.Namespace{}
			for n, err := range s.Namespaces(ctx) {
				if err != nil {
					return err
				}
				list = append(list, n)
			}
			return s.print(list, func(w io.Writer) { writeNamespaces(w, list) })
		})
}

func namespacesGetCommand() *cobra.Command {
	return clientCommand("get NAME", "Show a namespace", "Shows a namespace.", cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
		n, err := s.Namespace(ctx, args[0])
		if err != nil {
			return err
		}
		return s.printNamespace(n)
	})
}

func namespacesUpdateCommand() *cobra.Command {
	var quotas func() client.Quotas
	cmd := clientCommand("update NAME", "Change a namespace", "Changes what is given. What is stored above a new quota stays; nothing more is stored until there is room.", cobra.ExactArgs(1),
		nil)
	description := cmd.Flags().String("description", "", "for people")
	quotas = quotaFlags(cmd, "; -1: any number")
	run(cmd, func(ctx context.Context, s *session, args []string) error {
		change := client.NamespaceChange{Quotas: quotas()}
		if cmd.Flags().Changed("description") {
			change.Description = description
		}
		n, err := s.UpdateNamespace(ctx, args[0], change)
		if err != nil {
			return err
		}
		return s.printNamespace(n)
	})
	return cmd
}

func namespacesDeleteCommand() *cobra.Command {
	var force bool
	cmd := clientCommand("delete NAME", "Delete a namespace",
		"Deletes a namespace that has no trees. With --force its trees go, too: what runs is cancelled, and coordinators delete tree by tree; until all\n"+
			"are gone, list shows it as being deleted. Its webhooks, API keys and stored keys of models go with it.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			left, err := s.DeleteNamespace(ctx, args[0], force)
			switch {
			case err != nil:
				return err
			case left != nil:
				return s.print(left, func(w io.Writer) { fmt.Fprintf(w, "%s: is being deleted\n", oneLine(args[0])) })
			}
			return s.print(map[string]any{"name": args[0], "deleted": true}, func(w io.Writer) { fmt.Fprintf(w, "%s: deleted\n", oneLine(args[0])) })
		})
	cmd.Flags().BoolVar(&force, "force", false, "though it has trees or schedules: they are deleted with it")
	return cmd
}
