package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

// keysCommand looks after API keys.
func keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Look after API keys, by which programs call",
		Long: "An API key lets a program call on behalf of a user, until it expires or is revoked. It is a token like any other: TASKGROVE_TOKEN, or a\n" +
			"header Authorization. The key itself is shown once, when it is made.",
		GroupID: groupClient,
		Args:    cobra.NoArgs,
	}
	cmd.AddCommand(keysCreateCommand(), keysListCommand(), keysRevokeCommand(), keysRotateCommand())
	for _, below := range cmd.Commands() {
		below.GroupID = ""
	}
	return cmd
}

func keysCreateCommand() *cobra.Command {
	var spec client.APIKeySpec
	var into string
	cmd := clientCommand("create", "Make an API key",
		"Makes a key and prints it, this once; --secret-file writes it into a new file instead. Without --role it may do what its maker may in the\n"+
			"namespace; with --scope only what needs one of these permissions. A key makes no other keys, unless --scope keys.write says so.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			got, err := s.CreateAPIKey(ctx, spec)
			if err != nil {
				return err
			}
			return s.printNewKey(got, into)
		})
	f := cmd.Flags()
	f.StringVar(&spec.Name, "name", "", "for people")
	f.StringVar(&spec.UserID, "user", "", "whose key it is, for who may do that; default: one's own")
	f.StringArrayVar(&spec.Roles, "role", nil, "a role, such as operator or NAMESPACE:viewer; may be repeated")
	f.StringArrayVar(&spec.Scopes, "scope", nil, "a permission that it is good for, such as trees.read; may be repeated")
	f.DurationVar(&spec.Expires, "expires", 90*24*time.Hour, "when it ends; at most 8784h")
	secretFileFlag(cmd, &into)
	return cmd
}

func secretFileFlag(cmd *cobra.Command, into *string) {
	cmd.Flags().StringVar(into, "secret-file", "", "write the key into this new file, which only its owner may read, instead of printing it")
}

// printNewKey shows a key that was just made: the key itself alone on a line, or in a file.
func (s *session) printNewKey(k *client.NewAPIKey, into string) error {
	if into != "" {
		f, err := os.OpenFile(into, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(k.Secret + "\n")
			if closed := f.Close(); err == nil {
				err = closed
			}
		}
		if err != nil {
			return fmt.Errorf("the key %s was made, and could not be written: %w; revoke it", k.ID, err)
		}
		k.Secret = ""
	}
	fmt.Fprintf(s.notes, "key %s of %s, until %s\n", oneLine(k.ID), oneLine(k.UserID), shownTime(k.ExpiresAt))
	return s.print(k, func(w io.Writer) {
		if k.Secret != "" {
			fmt.Fprintln(w, k.Secret)
		}
	})
}

func keysListCommand() *cobra.Command {
	var f client.APIKeyFilter
	cmd := clientCommand("list", "List API keys", "Lists keys of the namespace, oldest first: one's own, and everybody's for who may see them. USED is written down about every 30 seconds.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			list := []*client.APIKey{}
			for k, err := range s.APIKeys(ctx, f) {
				if err != nil {
					return err
				}
				list = append(list, k)
			}
			if err := s.print(list, func(w io.Writer) {
				table(w, func(w io.Writer) {
					fmt.Fprintln(w, "ID\tUSER\tNAME\tROLES\tSCOPES\tEXPIRES\tUSED\tREVOKED")
					for _, k := range list {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", oneLine(k.ID), oneLine(k.UserID), oneLine(k.Name), oneLine(strings.Join(k.Roles, ",")), oneLine(strings.Join(k.Scopes, ",")),
							shownTime(k.ExpiresAt), shownTime(k.UsedAt), shownTime(k.RevokedAt))
					}
				})
			}); err != nil {
				return err
			}
			return s.noteNone(len(list), "key")
		})
	cmd.Flags().StringVar(&f.UserID, "user", "", "those of this user")
	cmd.Flags().BoolVar(&f.Ended, "ended", false, "also those that have expired, or were revoked")
	return cmd
}

func keysRevokeCommand() *cobra.Command {
	return clientCommand("revoke ID", "End an API key", "Ends a key: within 10 seconds no coordinator believes it.", cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
		k, err := s.RevokeAPIKey(ctx, args[0])
		if err != nil {
			return err
		}
		return s.print(k, func(w io.Writer) { fmt.Fprintf(w, "%s: revoked\n", oneLine(k.ID)) })
	})
}

func keysRotateCommand() *cobra.Command {
	var grace time.Duration
	var into string
	cmd := clientCommand("rotate ID", "Replace an API key by a new one",
		"Makes a new key in the place of an old one, with the same id, rights and length of life, and prints it, this once. With --grace the old one\ncounts for a while, so that programs can be given the new one.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			got, err := s.RotateAPIKey(ctx, args[0], grace)
			if err != nil {
				return err
			}
			return s.printNewKey(got, into)
		})
	cmd.Flags().DurationVar(&grace, "grace", 0, "for how long the old one counts; at most 168h")
	secretFileFlag(cmd, &into)
	return cmd
}
