package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/api/identity"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/policy"
	"github.com/taskgrove/taskgrove/node"
)

// tokenCommand makes tokens of callers.
func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make tokens for callers", GroupID: groupClient, Args: cobra.NoArgs}
	cmd.AddCommand(tokenCreateCommand())
	return cmd
}

func tokenCreateCommand() *cobra.Command {
	var user string
	var roles []string
	var life time.Duration
	cmd := &cobra.Command{
		Use: "create --user NAME", Short: "Make a token", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "It asks no coordinator: it signs with the secret that coordinators have, in TASKGROVE_JWT_SECRET or TASKGROVE_JWT_SECRET_FILE. The token goes to stdout,\n" +
			"and nowhere else. Whoever has it is that user until it ends.",
		Example: "  taskgrove token create --user amy\n  taskgrove token create --user root --role admin --expires 8h > token",
	}
	cmd.Flags().StringVar(&user, "user", "", "the user; required")
	cmd.Flags().StringArrayVar(&roles, "role", nil, "a role of the user: admin, operator, submitter, approver, viewer or worker, or NAMESPACE:ROLE; may be there several times")
	cmd.Flags().DurationVar(&life, "expires", identity.Lifetime, "when it ends")
	mustComplete(cmd, "user", cobra.NoFileCompletions)
	mustComplete(cmd, "expires", cobra.NoFileCompletions)
	mustComplete(cmd, "role", cobra.FixedCompletions(roleNames(), cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var cfg config.Auth
		err := config.LoadPart(&cfg)
		switch {
		case err != nil:
		case user == "":
			err = errors.New("--user is needed: the user that the token is for")
		case life <= 0:
			err = errors.New("--expires: takes a duration, such as 8h")
		}
		if err != nil {
			return codedError{err, exitUsage}
		}
		tokens, err := node.Tokens(&cfg)
		if err == nil && tokens == nil {
			err = errors.New("no secret to sign with: set TASKGROVE_JWT_SECRET or TASKGROVE_JWT_SECRET_FILE, as coordinators have it")
		}
		if err != nil {
			return codedError{err, exitUsage}
		}
		token, err := tokens.Issue(user, roles, life, time.Now())
		if err != nil {
			return codedError{err, exitUsage}
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
		return err
	}
	return cmd
}

// roleNames are all roles, to complete one.
func roleNames() (names []string) {
	for _, r := range policy.Roles {
		names = append(names, r.Name)
	}
	return names
}
