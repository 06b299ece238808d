package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

func scheduleSecretCommand() *cobra.Command {
	var given bool
	keep := 24 * time.Hour
	cmd := clientCommand("secret ID", "Give the webhook of a schedule another secret",
		"Makes a secret for the webhook of a schedule, and prints it. It is not shown again. Whoever calls the webhook signs with it, as Standard Webhooks say. The secret before counts for\n"+
			"another day, or for --keep; the one before that no more. With --stdin, the secret is the one that the caller has.", cobra.ExactArgs(1), nil)
	cmd.Flags().BoolVar(&given, "stdin", false, "read the secret from standard input: whsec_ and base64")
	cmd.Flags().DurationVar(&keep, "keep", keep, "how long the secret before counts as well, at most 720h; 0: not at all")
	cmd.ValidArgsFunction = completeSchedules
	run(cmd, func(ctx context.Context, s *session, args []string) error {
		ask := client.SecretRenewal{ID: args[0], Keep: &keep}
		if given {
			text, err := io.ReadAll(io.LimitReader(s.in, 1<<10))
			if err != nil {
				return codedError{err, exitUsage}
			}
			if ask.Secret = strings.TrimSpace(string(text)); ask.Secret == "" {
				return usage("--stdin: there is no secret in it")
			}
		}
		got, err := s.RenewScheduleSecret(ctx, ask)
		if err != nil {
			return err
		}
		return s.print(got, func(w io.Writer) {
			rows := [][2]string{{"webhook", cmp.Or(got.URL, got.Path)}, {"secret", cmp.Or(got.Secret, "as given")}}
			if !got.Until.IsZero() {
				rows = append(rows, [2]string{"the one before", "counts until " + shownTime(got.Until)})
			}
			table(w, func(w io.Writer) {
				for _, row := range rows {
					fmt.Fprintf(w, "%s\t%s\n", row[0], oneLine(row[1]))
				}
			})
		})
	})
	return cmd
}

// webhookSecretText says which secrets the webhook of a schedule has; empty: it has no webhook.
func webhookSecretText(x *client.ScheduleInfo) string {
	switch {
	case x.WebhookPath == "":
		return ""
	case x.SecretAt.IsZero():
		return "none: nobody can call the webhook"
	case x.SecretUntil.After(time.Now()):
		return "of " + shownTime(x.SecretAt) + "; the one before counts until " + shownTime(x.SecretUntil)
	}
	return "of " + shownTime(x.SecretAt)
}
