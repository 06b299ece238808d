package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

// rolesCommand gives and takes roles.
func rolesCommand() *cobra.Command {
	return groupOf("roles", "Give and take roles, and see who holds which",
		"A role says what somebody may do. Credentials and settings of coordinators give roles, and so do bindings, which these commands make and end.",
		rolesListCommand(), rolesGrantCommand(), rolesRevokeCommand(), rolesBindingsCommand())
}

func rolesListCommand() *cobra.Command {
	return clientCommand("list [ROLE...]", "Show what each role may do", "Shows roles, and with names of roles the permissions that each has, and over whose things.", cobra.ArbitraryArgs,
		func(ctx context.Context, s *session, args []string) error {
			all, err := s.ListRoles(ctx)
			if err != nil {
				return err
			}
			shown := all
			if len(args) > 0 {
				shown = nil
				for _, name := range args {
					n := len(shown)
					for _, r := range all {
						if r.Name == name {
							shown = append(shown, r)
						}
					}
					if len(shown) == n {
						return usage("there is no role %q", name)
					}
				}
			}
			return s.print(shown, func(w io.Writer) { printRoles(w, shown, len(args) > 0) })
		})
}

func printRoles(w io.Writer, roles []client.RoleRights, rights bool) {
	table(w, func(w io.Writer) {
		if !rights {
			fmt.Fprintln(w, "ROLE\tFOR")
			for _, r := range roles {
				fmt.Fprintf(w, "%s\t%s\n", oneLine(r.Name), oneLine(r.Text))
			}
			return
		}
		fmt.Fprintln(w, "ROLE\tPERMISSION\tREACH\tOVER")
		for _, r := range roles {
			for _, right := range r.Rights {
				over := "namespace"
				if right.Cluster {
					over = "cluster"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", oneLine(r.Name), oneLine(right.Permission), oneLine(right.Reach), over)
			}
		}
	})
}

// bindingFlags are who gets or loses a role, and where.
type bindingFlags struct {
	user, group, machine, issuer string
	all                          bool
}

func (b *bindingFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&b.user, "user", "", "the user who holds it")
	f.StringVar(&b.group, "group", "", "the group whose members hold it, as tokens name it")
	f.StringVar(&b.machine, "machine", "", "the machine that holds it, by its certificate")
	f.StringVar(&b.issuer, "issuer", "", "only if this issuer says who it is")
	f.BoolVar(&b.all, "all-namespaces", false, "in all namespaces, and over the cluster itself, rather than in one")
}

func (b *bindingFlags) binding(role string) (client.Binding, error) {
	out, named := client.Binding{Role: role, Issuer: b.issuer}, 0
	for kind, name := range map[string]string{"user": b.user, "group": b.group, "machine": b.machine} {
		if name != "" {
			out.Kind, out.Subject = kind, name
			named++
		}
	}
	if b.all {
		out.Namespace = "*"
	}
	if named != 1 {
		return out, usage("give one of --user, --group and --machine")
	}
	return out, nil
}

func rolesGrantCommand() *cobra.Command {
	var of bindingFlags
	cmd := clientCommand("grant ROLE", "Give a role",
		"Gives a role in the namespace, or in all. Nobody can give what reaches further than one's own roles. It counts in every coordinator within\n15 seconds, and at once where all hear of it.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			asked, err := of.binding(args[0])
			if err != nil {
				return err
			}
			b, err := s.GrantRole(ctx, asked)
			if err != nil {
				return err
			}
			return s.print(b, func(w io.Writer) {
				fmt.Fprintf(w, "%s %s is %s in %s\n", oneLine(b.Kind), oneLine(b.Subject), oneLine(b.Role), oneLine(strings.ReplaceAll(b.Namespace, "*", "all namespaces")))
			})
		})
	of.add(cmd)
	return cmd
}

func rolesRevokeCommand() *cobra.Command {
	var of bindingFlags
	cmd := clientCommand("revoke ROLE", "Take a role",
		"Takes a role that was given by \"taskgrove roles grant\", with the same flags. It counts in no coordinator after 15 seconds. API keys that were made\nwith it keep their roles: \"taskgrove keys revoke\" ends them.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			b, err := of.binding(args[0])
			if err != nil {
				return err
			}
			if err := s.RevokeRole(ctx, b); err != nil {
				return err
			}
			return s.print(b, func(w io.Writer) {
				fmt.Fprintf(w, "%s %s is no longer %s by a binding\n", oneLine(b.Kind), oneLine(b.Subject), oneLine(b.Role))
			})
		})
	of.add(cmd)
	return cmd
}

func rolesBindingsCommand() *cobra.Command {
	var f client.BindingFilter
	var all bool
	cmd := clientCommand("bindings", "List who was given which role", "Lists bindings of the namespace, oldest first. What credentials and settings give is not among them.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			if all {
				f.Namespace = "*"
			}
			list := []*client.StoredBinding{}
			for b, err := range s.Bindings(ctx, f) {
				if err != nil {
					return err
				}
				list = append(list, b)
			}
			if err := s.print(list, func(w io.Writer) {
				table(w, func(w io.Writer) {
					fmt.Fprintln(w, "NAMESPACE\tROLE\tKIND\tSUBJECT\tISSUER\tBY\tSINCE")
					for _, b := range list {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", oneLine(b.Namespace), oneLine(b.Role), oneLine(b.Kind), oneLine(b.Subject), oneLine(b.Issuer), oneLine(b.GrantedBy), shownTime(b.GrantedAt))
					}
				})
			}); err != nil {
				return err
			}
			return s.noteNone(len(list), "binding")
		})
	cmd.Flags().StringVar(&f.Subject, "subject", "", "those of this user, group or machine")
	cmd.Flags().BoolVar(&all, "all-namespaces", false, "those of all namespaces, and of the cluster itself")
	return cmd
}
