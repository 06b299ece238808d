package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/cron"
)

// scheduleCommand looks after schedules.
func scheduleCommand() *cobra.Command {
	cmd := scheduleListCommand("schedule", "Look after schedules: trees that run when it is time, or when others have ended")
	cmd.Long = "Schedules run trees at instants, or when a run of another schedule has ended. Without a command it lists them."
	cmd.AddCommand(scheduleListCommand("list", "List schedules"), scheduleGetCommand(), scheduleRunsCommand(), scheduleWhyCommand(), scheduleCreateCommand(), scheduleApplyCommand(), schedulePauseCommand(),
		scheduleResumeCommand(), scheduleTriggerCommand(), scheduleBackfillCommand(), scheduleSecretCommand(), scheduleDeleteCommand(), scheduleNextCommand())
	for _, below := range cmd.Commands() {
		below.GroupID = ""
	}
	belowAlsoJSON(cmd)
	return cmd
}

func scheduleListCommand(use, short string) *cobra.Command {
	var f client.ScheduleFilter
	cmd := clientCommand(use, short, "Lists schedules by id. BEGINS says what begins runs, NEXT when the next one is due by time.", cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
		list := []*client.ScheduleInfo{}
		for one, err := range s.Schedules(ctx, f) {
			if err != nil {
				return err
			}
			list = append(list, one)
		}
		if err := s.print(list, func(w io.Writer) {
			table(w, func(w io.Writer) {
				fmt.Fprintln(w, "ID\tBEGINS\tNEXT\tRUNS\tUSER\tFLOW\tDESCRIPTION")
				for _, one := range list {
					fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", oneLine(one.ID), oneLine(beginsText(&one.Schedule)), cmp.Or(shownNext(one), "-"), one.Runs, cmp.Or(oneLine(one.UserID), "-"), cmp.Or(oneLine(flowText(one.Flow)), "-"), oneLine(one.Description))
				}
			})
		}); err != nil {
			return err
		}
		return s.noteNone(len(list), "schedule")
	})
	cmd.Flags().StringVar(&f.UserID, "user", "", "those whose trees belong to this user")
	return cmd
}

// flowText is which flow the runs of a schedule are of; empty: they are trees.
func flowText(f *client.ScheduleFlow) string {
	if f == nil {
		return ""
	}
	if f.Version != 0 {
		return fmt.Sprintf("%s version %d", f.ID, f.Version)
	}
	return f.ID
}

// flowLine is which flow the runs of a schedule are of, and how.
func flowLine(f *client.ScheduleFlow) string {
	text := flowText(f)
	if f == nil {
		return text
	}
	if f.Job != "" {
		text += ", job " + f.Job
		if f.NoDeps {
			text += " alone"
		}
	}
	if f.Priority != nil {
		text += fmt.Sprintf(", priority %d", *f.Priority)
	}
	if f.Timeout != 0 {
		text += fmt.Sprintf(", at most %g s", f.Timeout)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Env)) {
		text += fmt.Sprintf(", %s=%s", name, f.Env[name])
	}
	return text
}

// beginsText says what begins runs.
func beginsText(s *client.Schedule) string {
	switch {
	case s.On != nil && s.On.Webhook != nil:
		return "by webhook"
	case s.On != nil:
		text := "after " + s.On.Schedule
		for i, word := range s.On.Outcome {
			text += map[bool]string{true: " ", false: ", "}[i == 0] + word
		}
		return text
	case s.Every != "":
		return "every " + s.Every
	case s.Timezone != "" && s.Timezone != "UTC":
		return s.Cron + " " + s.Timezone
	}
	return s.Cron
}

// shownNext is when the next run is due by time, or that it is paused.
func shownNext(s *client.ScheduleInfo) string {
	if s.IsPaused() {
		return "paused"
	}
	return shownTime(s.Next)
}

// nextText says when the next run is due.
func nextText(s *client.ScheduleInfo) string {
	switch {
	case s.IsPaused():
		return "paused"
	case s.Next.IsZero():
		return beginsText(&s.Schedule)
	}
	return "next at " + shownTime(s.Next)
}

func scheduleGetCommand() *cobra.Command {
	cmd := clientCommand("get ID", "Show a schedule", "Shows a schedule. Its tree and its parameters are in JSON and YAML.", cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
		info, err := s.Schedule(ctx, args[0])
		if err != nil {
			return err
		}
		return s.printSchedule(info)
	})
	cmd.ValidArgsFunction = completeSchedules
	return cmd
}

func (s *session) printSchedule(x *client.ScheduleInfo) error {
	return s.print(x, func(w io.Writer) {
		number := func(n int) string {
			if n == 0 {
				return ""
			}
			return fmt.Sprint(n)
		}
		at := func(t *time.Time) string {
			if t == nil {
				return ""
			}
			return shownTime(*t)
		}
		coalesce := ""
		if x.Coalesce != nil {
			coalesce = fmt.Sprint(*x.Coalesce)
		}
		paused := ""
		if x.IsPaused() {
			paused = "since " + moment(x.PausedAt, time.Now())
			if x.PausedBy != "" {
				paused += " by " + x.PausedBy
			}
			if x.PauseReason != "" {
				paused += ": " + x.PauseReason
			}
		}
		table(w, func(w io.Writer) {
			for _, row := range [][2]string{{"id", x.ID}, {"description", x.Description}, {"begins", beginsText(&x.Schedule)}, {"flow", flowLine(x.Flow)}, {"webhook", cmp.Or(x.WebhookURL, x.WebhookPath)}, {"secret", webhookSecretText(x)}, {"next", shownTime(x.Next)}, {"paused", paused}, {"overlap", x.Overlap},
				{"misfire grace", x.MisfireGrace}, {"coalesce", coalesce}, {"jitter", x.Jitter}, {"start at", at(x.StartAt)}, {"end at", at(x.EndAt)}, {"max runs", number(x.MaxRuns)},
				{"after success", map[bool]string{true: "yes"}[x.AfterSuccess]}, {"due", x.Due}, {"user", x.UserID}, {"owner", ownerText(x.Owner)}, {"labels", labelText(x.Labels)}, {"retention", x.Retention}, {"runs", fmt.Sprint(x.Runs)},
				{"revision", fmt.Sprintf("%d, %s by %s", x.Revision, shownTime(x.UpdatedAt), cmp.Or(x.UpdatedBy, "nobody"))}} {
				if row[1] != "" {
					fmt.Fprintf(w, "%s\t%s\n", row[0], oneLine(row[1]))
				}
			}
		})
		writeValue(w, "parameters", x.Parameters)
		if x.Flow != nil {
			writeValue(w, "params", x.Flow.Params)
		}
	})
}

func scheduleRunsCommand() *cobra.Command {
	var most int
	cmd := clientCommand("runs ID", "List the runs of a schedule, and the instants that had none",
		"Lists runs, the latest first, and instants that had none, with the reason. STATUS is queued while a run waits for others, due until its tree is stored, and then as\n"+
			"its tree ends; or missed, or skipped. TOOK is from its start to its end.", cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
			list := []*client.ScheduleRun{}
			for one, err := range s.ScheduleRuns(ctx, client.ScheduleRunFilter{ID: args[0], Limit: min(most, 1000)}) {
				if err != nil {
					return err
				}
				if list = append(list, one); len(list) == most {
					break
				}
			}
			if err := s.print(list, func(w io.Writer) { writeRuns(w, list, time.Now()) }); err != nil {
				return err
			}
			return s.noteNone(len(list), "run")
		})
	cmd.Flags().IntVar(&most, "limit", 20, "how many at most")
	cmd.ValidArgsFunction = completeSchedules
	return cmd
}

func writeRuns(w io.Writer, list []*client.ScheduleRun, now time.Time) {
	table(w, func(w io.Writer) {
		fmt.Fprintln(w, "INSTANT\tKIND\tSTATUS\tTOOK\tTREE\tRUN\tREASON")
		for _, r := range list {
			status, reason := r.Status, r.Reason
			if r.Late {
				status += ", late"
			}
			if r.Count > 1 {
				reason = fmt.Sprintf("%d instants up to %s: %s", r.Count, shownTime(r.Until), reason)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", shownTime(r.FireTime), kindText(r), status, cmp.Or(took(r.StartedAt, r.EndedAt, now), "-"), cmp.Or(oneLine(r.TreeID), "-"), runText(r), oneLine(reason))
		}
	})
}

// runText is the run of a flow that a run of a schedule is.
func runText(r *client.ScheduleRun) string {
	if r.RunID == "" {
		return "-"
	}
	return fmt.Sprintf("%s/%s version %d", r.FlowID, r.RunID, r.FlowVersion)
}

// kindText is what a run came of.
func kindText(r *client.ScheduleRun) string {
	if r.Backfill != 0 {
		return fmt.Sprintf("%s %d", r.Kind, r.Backfill)
	}
	return r.Kind
}

func schedulePauseCommand() *cobra.Command {
	var reason string
	cmd := clientCommand("pause ID", "Stop the start of a schedule's runs",
		"Stops the start of a schedule's runs, but for those that are triggered, and for backfills. What runs goes on. Instants pass meanwhile, and are not made up for.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			return s.printNext(s.PauseSchedule(ctx, args[0], reason))
		})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people")
	cmd.ValidArgsFunction = completeSchedules
	return cmd
}

func scheduleResumeCommand() *cobra.Command {
	cmd := clientCommand("resume ID", "Let a schedule's runs start again", "Lets a schedule's runs start again, from the next instant on.", cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
		return s.printNext(s.ResumeSchedule(ctx, args[0]))
	})
	cmd.ValidArgsFunction = completeSchedules
	return cmd
}

// printNext prints a schedule that was changed.
func (s *session) printNext(info *client.ScheduleInfo, err error) error {
	if err != nil {
		return err
	}
	return s.print(info, func(w io.Writer) { fmt.Fprintf(w, "%s: %s\n", oneLine(info.ID), nextText(info)) })
}

func scheduleTriggerCommand() *cobra.Command {
	t := client.ScheduleTrigger{}
	cmd := clientCommand("trigger ID", "Begin a run of a schedule now", "Begins a run now, also of a paused schedule. Its instant is now. Unless --overlap says otherwise, it runs beside others.", cobra.ExactArgs(1), nil)
	parameters := runParameters(cmd)
	cmd.Flags().StringVar(&t.Overlap, "overlap", "", "what becomes of it while a run is open: skip, queue_one, allow or cancel_other (allow)")
	cmd.Flags().StringVar(&t.IdempotencyKey, "idempotency-key", "", "a second trigger with the same key begins nothing, and is answered by the first one's run")
	mustComplete(cmd, "overlap", cobra.FixedCompletions([]cobra.Completion{"skip", "queue_one", "allow", "cancel_other"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.ValidArgsFunction = completeSchedules
	run(cmd, func(ctx context.Context, s *session, args []string) (err error) {
		t.ID = args[0]
		if t.Parameters, err = parameters(ctx, s, t.ID); err != nil {
			return err
		}
		r, err := s.TriggerSchedule(ctx, t)
		if err != nil {
			return err
		}
		return s.print(r, func(w io.Writer) {
			reason := ""
			if r.Reason != "" {
				reason = ": " + oneLine(r.Reason)
			}
			fmt.Fprintf(w, "%s: run at %s, %s%s\n", oneLine(r.Schedule), shownTime(r.FireTime), r.Status, reason)
		})
	})
	return cmd
}

func scheduleBackfillCommand() *cobra.Command {
	var from, to timeFlag
	b := client.ScheduleBackfill{}
	cmd := clientCommand("backfill ID --from TIME --to TIME", "Run the instants of a range again",
		"Has a run for each instant from --from up to, but not including, --to, whatever became of it before. The schedule's overlap and pause don't count; with after_success each\n"+
			"run waits until the one before has succeeded.", cobra.ExactArgs(1), nil)
	parameters := runParameters(cmd)
	cmd.Flags().Var(&from, "from", "the first instant is then or later; a date, a time, or how long ago, as 7d")
	cmd.Flags().Var(&to, "to", "the last instant is before")
	cmd.Flags().IntVar(&b.MaxConcurrent, "max-concurrent", 1, "runs at once, at most 100")
	cmd.ValidArgsFunction = completeSchedules
	run(cmd, func(ctx context.Context, s *session, args []string) (err error) {
		if from.at.IsZero() || to.at.IsZero() {
			return usage("say --from and --to")
		}
		b.ID, b.From, b.To = args[0], from.at, to.at
		if b.Parameters, err = parameters(ctx, s, b.ID); err != nil {
			return err
		}
		done, err := s.BackfillSchedule(ctx, b)
		if err != nil {
			return err
		}
		return s.print(done, func(w io.Writer) {
			fmt.Fprintf(w, "%s: backfill %d of %s, %d at once\n", oneLine(done.ID), done.Key, counted(done.Instants, "instant"), done.MaxConcurrent)
		})
	})
	return cmd
}

func scheduleDeleteCommand() *cobra.Command {
	cmd := clientCommand("delete ID", "Delete a schedule, and what is known of its runs", "Deletes a schedule, and what is known of its runs. Their trees stay, and go on.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			if err := s.DeleteSchedule(ctx, args[0]); err != nil {
				return err
			}
			return s.print(map[string]any{"id": args[0], "deleted": true}, func(w io.Writer) { fmt.Fprintf(w, "%s deleted\n", oneLine(args[0])) })
		})
	cmd.ValidArgsFunction = completeSchedules
	return cmd
}

// completeSchedules offers the ids of schedules.
var completeSchedules = completeFirst(func(ctx context.Context, s *session) (ids []string, err error) {
	page, err := s.SchedulesPage(ctx, client.ScheduleFilter{Limit: 1000})
	if err != nil {
		return nil, err
	}
	for _, one := range page.Items {
		ids = append(ids, one.ID)
	}
	return ids, nil
})

// completeFirst offers names for the first argument of a command; nothing when none answers.
func completeFirst(names func(ctx context.Context, s *session) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
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
		all, err := names(ctx, s)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return slices.DeleteFunc(all, func(name string) bool { return name != harmless(name, "") }), cobra.ShellCompDirectiveNoFileComp
	}
}

func scheduleNextCommand() *cobra.Command {
	var q client.InstantsQuery
	var after timeFlag
	var offline string
	cmd := clientCommand("next [CRON]", "List the next instants of a schedule",
		"Lists when a schedule would run, as clocks of its time zone read. Nothing is stored. CRON is five fields in one argument, or a short form: @hourly, @daily,\n"+
			"@midnight, @weekly, @monthly, @yearly, @annually. With --cron instead no cluster is asked, the clock is this machine's, and instants are in UTC.", cobra.MaximumNArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			q.After = after.at
			switch {
			case (len(args) == 1) == (offline != ""):
				return usage("give five fields as an argument, or by --cron")
			case offline != "":
				q.Cron = offline
				return s.nextOffline(q)
			}
			q.Cron = args[0]
			list, err := s.NextInstants(ctx, q)
			if err != nil {
				return err
			}
			texts := make([]string, len(list)) // of the schedule's zone
			for i, at := range list {
				texts[i] = at.Format(time.RFC3339)
			}
			return s.print(texts, func(w io.Writer) {
				for _, at := range list {
					fmt.Fprintln(w, at.Format("Mon 2006-01-02 15:04:05 -07:00"))
				}
			})
		})
	cmd.Example = "  taskgrove schedule next '30 2 * * *' --timezone Europe/Berlin -n 3"
	cmd.ResetFlags() // -n is not the namespace here
	cmd.Flags().IntVarP(&q.Count, "number", "n", 5, "how many instants, at most 1000")
	clientFlags(cmd)
	cmd.Flags().StringVar(&q.Timezone, "timezone", "UTC", "a time zone of IANA's database, as Europe/Berlin")
	cmd.Flags().StringVar(&offline, "cron", "", "five fields, without asking a cluster")
	cmd.Flags().Var(&after, "after", "the first instant comes after this time, not after now")
	return cmd
}

// nextOffline lists instants in UTC, by the clock of this machine unless the query says after what.
func (s *session) nextOffline(q client.InstantsQuery) error {
	schedule, err := cron.Parse(q.Cron, q.Timezone)
	if faults, are := errors.AsType[cron.Faults](err); are {
		var texts []string
		for _, f := range faults {
			texts = append(texts, f.Error())
		}
		if s.format != formatText {
			if err := s.format.write(s.out, map[string][]string{"errors": texts}); err != nil {
				return err
			}
		}
		return codedError{faults, exitUsage}
	}
	if q.Count < 1 || q.Count > cron.MaxList {
		return usage("--number: takes 1 to %d", cron.MaxList)
	}
	from := q.After
	if from.IsZero() {
		from = time.Now()
	}
	next := []string{}
	for _, at := range cron.List(schedule, from, q.Count) {
		next = append(next, at.UTC().Format(time.RFC3339))
	}
	return s.print(map[string][]string{"next": next}, func(w io.Writer) {
		for _, at := range next {
			fmt.Fprintln(w, at)
		}
	})
}
