package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

// groupOf makes a command that only has others below it.
func groupOf(use, short, long string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, GroupID: groupClient, Args: cobra.NoArgs}
	cmd.AddCommand(below...)
	for _, c := range below {
		c.GroupID = ""
	}
	return cmd
}

// authCommand asks who the caller is, and what it may do.
func authCommand() *cobra.Command {
	return groupOf("auth", "Ask who you are, and what you and others may do", "Asks the cluster for whom it takes the caller, and what somebody may do.", whoAmICommand(), canICommand())
}

func whoAmICommand() *cobra.Command {
	return clientCommand("whoami", "Show who you are and which roles you have", "Shows for whom the cluster takes you, and the roles that you hold by your credentials, the settings and bindings.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			me, err := s.WhoAmI(ctx)
			if err != nil {
				return err
			}
			if !me.Complete {
				fmt.Fprintln(s.notes, "the roles that are stored can't be read now: there may be others")
			}
			return s.print(me, func(w io.Writer) {
				if me.User == "" {
					fmt.Fprintln(w, "nobody is asked who it is, and everybody may do everything")
					return
				}
				var roles []string
				for _, r := range me.Roles {
					roles = append(roles, r.Role+"@"+r.Namespace)
				}
				scopes := strings.Join(me.Scopes, ",")
				if me.Scopes != nil && scopes == "" {
					scopes = "nothing at all"
				}
				table(w, func(w io.Writer) {
					for _, row := range [][2]string{{"user", me.User}, {"kind", me.Kind}, {"issuer", me.Issuer}, {"key", me.KeyID}, {"namespace", me.Namespace},
						{"groups", strings.Join(me.Groups, ",")}, {"roles", strings.Join(roles, ",")}, {"only for", scopes}} {
						if row[1] != "" {
							fmt.Fprintf(w, "%s\t%s\n", row[0], oneLine(row[1]))
						}
					}
				})
			})
		})
}

func canICommand() *cobra.Command {
	var q client.AccessQuestion
	var list bool
	cmd := clientCommand("can-i [PERMISSION...]", "Ask whether something may be done",
		"Says for each permission, such as trees.cancel, whether you may in the namespace, and over whose things: own, or all. With --task it is about one\n"+
			"task. The exit code is 0 when all may be done, and 1 when one may not. --list shows all permissions, with exit code 0.\n\n"+
			"--as-user asks about another user, by what settings and bindings say of that name, and --as-role about who has these roles and no others.\n"+
			"To ask about others takes bindings.read.", cobra.ArbitraryArgs,
		func(ctx context.Context, s *session, args []string) error {
			if list == (len(args) > 0) {
				return usage("give permissions, such as trees.read, or --list")
			}
			q.Permissions = args
			answers, err := s.CanI(ctx, q)
			if err != nil {
				return err
			}
			var lacks []string
			for _, a := range answers {
				if !a.Allowed {
					lacks = append(lacks, a.Permission)
				}
			}
			if err := s.print(answers, func(w io.Writer) { printAnswers(w, answers, list) }); err != nil || list || len(lacks) == 0 {
				return err
			}
			return codedError{errors.New("missing permission: " + oneLine(strings.Join(lacks, ", "))), exitError}
		})
	f := cmd.Flags()
	f.StringVar(&q.TaskID, "task", "", "ask about this task")
	f.BoolVar(&list, "list", false, "show all permissions")
	f.StringVar(&q.User, "as-user", "", "ask about this user")
	f.StringArrayVar(&q.Roles, "as-role", nil, "ask about who has this role, such as viewer or viewer@NAMESPACE; may be repeated")
	return cmd
}

// printAnswers prints one word a permission, or a table of many.
func printAnswers(w io.Writer, answers []client.AccessAnswer, list bool) {
	word := func(a client.AccessAnswer) string {
		switch {
		case !a.Allowed:
			return "no"
		case a.Reach != "" && a.Reach != "all":
			return "yes, " + a.Reach
		}
		return "yes"
	}
	if !list && len(answers) == 1 {
		fmt.Fprintln(w, oneLine(word(answers[0])))
		return
	}
	table(w, func(w io.Writer) {
		fmt.Fprintln(w, "PERMISSION\tALLOWED")
		for _, a := range answers {
			fmt.Fprintf(w, "%s\t%s\n", oneLine(a.Permission), oneLine(word(a)))
		}
	})
}
