package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

// webhooksCommand are the commands for webhooks of the cluster.
func webhooksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "webhooks",
		Short:   "Look after webhooks: addresses that are told what happens in trees",
		Long:    "Webhooks of the cluster are addresses that are told what they ask for, of all trees. \"submit --webhook\" makes one of an execution.",
		GroupID: groupClient,
		Args:    cobra.NoArgs,
	}
	cmd.AddCommand(webhooksListCommand(), webhooksGetCommand(), webhooksCreateCommand(), webhooksUpdateCommand(), webhooksDeleteCommand(), webhooksTestCommand(),
		webhooksDeliveriesCommand(), webhooksResendCommand())
	for _, below := range cmd.Commands() {
		below.GroupID = ""
	}
	return cmd
}

func webhooksListCommand() *cobra.Command {
	var of string
	cmd := clientCommand("list", "List webhooks of the cluster, or with --task those of a tree's executions",
		"Lists webhooks, oldest first. WAITING are trees with events that are not delivered.", cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
			f := client.WebhookFilter{}
			if of != "" {
				id, err := s.id(ctx, of)
				if err != nil {
					return err
				}
				f.TaskID = id
			}
			list := []*client.WebhookInfo{}
			for w, err := range s.Webhooks(ctx, f) {
				if err != nil {
					return err
				}
				list = append(list, w)
			}
			if err := s.print(list, func(w io.Writer) {
				table(w, func(w io.Writer) {
					fmt.Fprintln(w, "ID\tNAME\tSTATE\tWAITING\tURL\tEVENTS")
					for _, x := range list {
						fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", oneLine(x.ID), oneLine(x.Name), oneLine(x.State), x.Waiting, oneLine(x.URL), oneLine(eventsText(x.Events)))
					}
				})
			}); err != nil {
				return err
			}
			return s.noteNone(len(list), "webhook")
		})
	cmd.Flags().StringVar(&of, "task", "", "those of the executions of this task's tree")
	return cmd
}

func eventsText(events []client.WebhookEvent) string {
	var words []string
	for _, e := range events {
		words = append(words, string(e))
	}
	return strings.Join(words, ",")
}

func webhooksGetCommand() *cobra.Command {
	return clientCommand("get ID", "Show a webhook", "Shows a webhook, without what is secret.", cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
		w, err := s.Webhook(ctx, args[0])
		if err != nil {
			return err
		}
		return s.printWebhook(w)
	})
}

func (s *session) printWebhook(x *client.WebhookInfo) error {
	return s.print(x, func(w io.Writer) {
		table(w, func(w io.Writer) {
			for _, row := range [][2]string{{"id", x.ID}, {"name", x.Name}, {"owner", x.Owner}, {"tree", x.TreeID}, {"state", x.State}, {"reason", x.Reason}, {"url", x.URL}, {"method", x.Method},
				{"headers", strings.Join(x.HeaderNames, ", ")}, {"timeout", x.Timeout.String()}, {"attempts", fmt.Sprint(x.MaxAttempts)}, {"signed", signedText(x)},
				{"body", string(x.Body)}, {"form", x.Form}, {"events", strings.ReplaceAll(eventsText(x.Events), ",", ", ")}, {"of user", x.UserID}, {"of trees named", x.Tree},
				{"of trees with labels", labelText(x.Labels)}, {"created", shownTime(x.CreatedAt)}, {"waiting", counted(x.Waiting, "tree")}, {"failing since", shownTime(x.FailingFrom)}} {
				if row[1] != "" {
					fmt.Fprintf(w, "%s\t%s\n", row[0], oneLine(row[1]))
				}
			}
		})
	})
}

func signedText(w *client.WebhookInfo) string {
	switch {
	case w.OwnSecret:
		return "by its own secret"
	case w.Signed:
		return "by the cluster's secret"
	}
	return "no"
}

func webhooksCreateCommand() *cobra.Command {
	var spec client.WebhookSpec
	var from hookFlags
	var events []string
	var labels labelFlag
	cmd := clientCommand("create [URL]", "Make a webhook of the cluster",
		"Makes a webhook that is told what it asks for of all trees, and shows it. A URL that is a secret itself, as chats have them, comes from\n"+
			"--url-env or --url-file instead; header values and secrets always come from variables or files.", cobra.MaximumNArgs(1), func(ctx context.Context, s *session, args []string) error {
			w, err := from.read(s.in)
			switch {
			case err != nil:
				return codedError{err, exitUsage}
			case len(args) == 1 && w.URL != "":
				return usage("there is a URL, and one from a variable or a file: give one of them")
			case len(args) == 1:
				w.URL = args[0]
			}
			spec.Webhook, spec.Labels, spec.Events = *w, labels.labels, webhookEvents(events)
			got, err := s.CreateWebhook(ctx, spec)
			if err != nil {
				return err
			}
			return s.printWebhook(got)
		})
	bindConditions(cmd, &spec.Name, &spec.UserID, &spec.Tree, &events, &labels)
	from.bind(cmd, "")
	return cmd
}

// bindConditions gives a command the flags that say of what a webhook of the cluster is told.
func bindConditions(cmd *cobra.Command, name, user, tree *string, events *[]string, labels *labelFlag) {
	f := cmd.Flags()
	f.StringVar(name, "name", "", "for people")
	f.StringSliceVar(events, "events", nil, "tree_created, tree_started, tree_completed, tree_failed, tree_cancelled, tree_late, run_failed_to_start, task_start, task_completed, task_failed, task_cancelled, task_retry")
	f.StringVar(user, "user", "", "only of trees of this owner")
	f.StringVar(tree, "tree", "", "only of trees whose root has this name")
	labels.selects = true
	f.VarP(labels, "label", "l", "only of trees with this label; KEY alone: with any value; may be repeated")
}

func webhookEvents(names []string) (events []client.WebhookEvent) {
	for _, name := range names {
		events = append(events, client.WebhookEvent(strings.TrimSpace(name)))
	}
	return events
}

func webhooksUpdateCommand() *cobra.Command {
	var from hookFlags
	var events []string
	var labels labelFlag
	var url, name, user, tree string
	var enable, disable bool
	var cmd *cobra.Command
	cmd = clientCommand("update ID", "Change a webhook of the cluster",
		"Changes what flags are given for, and shows the webhook. Headers, labels and events replace all that it has. What waits is delivered as it is\nchanged to.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			change, err := from.change(cmd, s.in)
			if err != nil {
				return codedError{err, exitUsage}
			}
			given := cmd.Flags().Changed
			for flag, set := range map[string]func(){
				"url": func() { change.URL = &url }, "name": func() { change.Name = &name }, "user": func() { change.UserID = &user }, "tree": func() { change.Tree = &tree },
				"events": func() { change.Events = webhookEvents(events) }, "label": func() { change.Labels = &labels.labels },
				"enable": func() { change.Enabled = &enable }, "disable": func() { change.Enabled = new(!disable) },
			} {
				if given(flag) {
					set()
				}
			}
			got, err := s.UpdateWebhook(ctx, args[0], *change)
			if err != nil {
				return err
			}
			return s.printWebhook(got)
		})
	bindConditions(cmd, &name, &user, &tree, &events, &labels)
	from.bind(cmd, "")
	cmd.Flags().StringVar(&url, "url", "", "where to")
	cmd.Flags().BoolVar(&enable, "enable", false, "switch it on")
	cmd.Flags().BoolVar(&disable, "disable", false, "switch it off: what waits is dropped")
	cmd.MarkFlagsMutuallyExclusive("enable", "disable")
	cmd.MarkFlagsMutuallyExclusive("url", "url-env", "url-file")
	return cmd
}

// change is what is to be changed of where a webhook goes: what a flag was given for.
func (f *hookFlags) change(cmd *cobra.Command, stdin io.Reader) (*client.WebhookChange, error) {
	w, err := f.read(stdin)
	if err != nil {
		return nil, err
	}
	out := &client.WebhookChange{Body: w.Body}
	if len(w.Headers) > 0 {
		out.Headers = &w.Headers
	}
	for to, value := range map[**string]*string{&out.URL: &w.URL, &out.Method: &w.Method, &out.Secret: &w.Secret} {
		if *value != "" {
			*to = value
		}
	}
	if cmd.Flags().Changed("timeout") {
		out.Timeout = &w.Timeout
	}
	if cmd.Flags().Changed("max-retries") {
		out.MaxAttempts = &w.MaxAttempts
	}
	return out, nil
}

func webhooksDeleteCommand() *cobra.Command {
	return clientCommand("delete ID...", "Forget webhooks, with what waits to be delivered", "Forgets webhooks, with what waits to be delivered.",
		cobra.MinimumNArgs(1), func(ctx context.Context, s *session, args []string) error {
			var failed error
			for _, id := range args {
				if err := s.DeleteWebhook(ctx, id); err != nil {
					failed = errors.Join(failed, err)
					continue
				}
				if err := s.print(map[string]string{"id": id}, func(w io.Writer) { fmt.Fprintf(w, "%s: deleted\n", oneLine(id)) }); err != nil {
					return err
				}
			}
			return failed
		})
}

func webhooksTestCommand() *cobra.Command {
	return clientCommand("test ID", "Send an event of no tree at once", "Sends an event of no tree, whose type is test, and tells what became of it. The exit code is 1 if it was not delivered.",
		cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
			d, err := s.TestWebhook(ctx, args[0])
			if err != nil {
				return err
			}
			return s.printDelivery(d)
		})
}

func webhooksResendCommand() *cobra.Command {
	return clientCommand("resend DELIVERY", "Send the event of a delivery again at once", "Sends the event of a delivery again, and tells what became of it. The exit code is 1 if it was not delivered.",
		cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
			d, err := s.Resend(ctx, args[0])
			if err != nil {
				return err
			}
			return s.printDelivery(d)
		})
}

// printDelivery prints a delivery just made, and is an error if it failed.
func (s *session) printDelivery(d *client.Delivery) error {
	if err := s.print(d, func(w io.Writer) {
		table(w, func(w io.Writer) { deliveryRows(w, []*client.Delivery{d}) })
	}); err != nil {
		return err
	}
	if d.Outcome != "delivered" {
		return errors.New("it was not delivered")
	}
	return nil
}

func deliveryRows(w io.Writer, list []*client.Delivery) {
	fmt.Fprintln(w, "ID\tAT\tEVENT\tTREE\tOUTCOME\tATTEMPTS\tSTATUS\tLATENCY\tERROR")
	for _, d := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", oneLine(d.ID), shownTime(d.At), oneLine(d.Event), oneLine(d.TreeID), oneLine(d.Outcome), d.Attempts, d.Status,
			lasted(d.Latency), oneLine(d.Error))
	}
}

func webhooksDeliveriesCommand() *cobra.Command {
	var failed bool
	cmd := clientCommand("deliveries ID", "List the last deliveries of a webhook", "Lists the last 100 deliveries of a webhook, newest first.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			list := []*client.Delivery{}
			for d, err := range s.Deliveries(ctx, client.DeliveryFilter{WebhookID: args[0], Failed: failed}) {
				if err != nil {
					return err
				}
				list = append(list, d)
			}
			if err := s.print(list, func(w io.Writer) {
				table(w, func(w io.Writer) { deliveryRows(w, list) })
			}); err != nil {
				return err
			}
			return s.noteNone(len(list), "delivery")
		})
	cmd.Flags().BoolVar(&failed, "failed", false, "only those that were not delivered")
	return cmd
}

// hookFlags say where events go, and how. What is secret comes from variables and files: others on the host can read command lines.
type hookFlags struct {
	prefix                string // of the flags
	urlEnv, urlFile       string
	secretEnv, secretFile string
	headerEnv, headerFile []string
	method, body          string
	timeout               time.Duration
	attempts              int
}

func (f *hookFlags) bind(cmd *cobra.Command, prefix string) {
	f.prefix = prefix
	flags := cmd.Flags()
	flags.StringVar(&f.urlEnv, prefix+"url-env", "", "the URL is in this variable")
	flags.StringVar(&f.urlFile, prefix+"url-file", "", "the URL is in this file")
	flags.StringArrayVar(&f.headerEnv, prefix+"header-env", nil, "NAME=VARIABLE: send a header along, whose value is in the variable; may be repeated")
	flags.StringArrayVar(&f.headerFile, prefix+"header-file", nil, "NAME=FILE: as --"+prefix+"header-env, from a file; may be repeated")
	flags.StringVar(&f.secretEnv, prefix+"secret-env", "", "this variable has a secret, whsec_…, that signs deliveries in place of the cluster's")
	flags.StringVar(&f.secretFile, prefix+"secret-file", "", "as --"+prefix+"secret-env, from a file")
	flags.StringVar(&f.body, prefix+"body", "", "a template of the body, JSON; @FILE reads it from a file")
	flags.StringVar(&f.method, prefix+"method", "", "POST (default) or PUT")
	flags.DurationVar(&f.timeout, prefix+"timeout", 0, "of one request; 0: 30s")
	flags.IntVar(&f.attempts, prefix+"max-retries", 0, "attempts at each event, in all; 0: the cluster's default")
	cmd.MarkFlagsMutuallyExclusive(prefix+"url-env", prefix+"url-file")
	cmd.MarkFlagsMutuallyExclusive(prefix+"secret-env", prefix+"secret-file")
}

// read is the webhook; its URL is empty if no flag names one. Errors show nothing secret.
func (f *hookFlags) read(stdin io.Reader) (w *client.Webhook, err error) {
	w = &client.Webhook{Method: f.method, Timeout: f.timeout, MaxAttempts: f.attempts, Headers: map[string]string{}}
	if w.URL, err = secretText(f.prefix+"url", f.urlEnv, f.urlFile); err != nil {
		return nil, err
	}
	if w.Secret, err = secretText(f.prefix+"secret", f.secretEnv, f.secretFile); err != nil {
		return nil, err
	}
	for flag, list := range map[string][]string{f.prefix + "header-env": f.headerEnv, f.prefix + "header-file": f.headerFile} {
		for _, one := range list {
			name, from, ok := strings.Cut(one, "=")
			if !ok || name == "" || from == "" {
				return nil, fmt.Errorf("--%s: %q must be NAME=, and where its value is", flag, one)
			}
			env, file := from, ""
			if strings.HasSuffix(flag, "-file") {
				env, file = "", from
			}
			if w.Headers[name], err = secretText(f.prefix+"header", env, file); err != nil {
				return nil, err
			}
		}
	}
	if f.body != "" {
		if w.Body, err = jsonOrFile(f.prefix+"body", f.body, stdin); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// given reports whether any flag was.
func (f *hookFlags) given() bool {
	return f.urlEnv+f.urlFile+f.secretEnv+f.secretFile+f.method+f.body != "" || len(f.headerEnv)+len(f.headerFile) > 0 || f.timeout != 0 || f.attempts != 0
}

// of is the webhook of an execution; nil: none is asked for.
func (f *hookFlags) of(url string, stdin io.Reader) (*client.Webhook, error) {
	if url == "" && !f.given() {
		return nil, nil
	}
	w, err := f.read(stdin)
	if err == nil && url != "" {
		w.URL = url
	}
	return w, err
}
