package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

// whyRuns is how many of the latest runs are looked at.
const whyRuns = 200

func scheduleWhyCommand() *cobra.Command {
	cmd := clientCommand("why ID", "Say why a schedule does not run",
		"Says what a schedule waits for, which of its runs are open, and what became of its last instant: whether it is paused or has ended, whether a run waits for another, and why\n"+
			"the last instant had no run.", cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
			info, err := s.Schedule(ctx, args[0])
			if err != nil {
				return err
			}
			var runs []*client.ScheduleRun
			for one, err := range s.ScheduleRuns(ctx, client.ScheduleRunFilter{ID: args[0], Limit: whyRuns}) {
				if err != nil {
					return err
				}
				if runs = append(runs, one); len(runs) == whyRuns {
					break
				}
			}
			lines := whyOfSchedule(info, runs)
			return s.print(lines, func(w io.Writer) {
				for _, line := range lines {
					fmt.Fprintln(w, oneLine(line))
				}
			})
		})
	cmd.ValidArgsFunction = completeSchedules
	return cmd
}

// whyOfSchedule says what a schedule waits for, what is open of it, and what became of its last instant. runs are the latest ones, the newest first.
func whyOfSchedule(x *client.ScheduleInfo, runs []*client.ScheduleRun) []string {
	own := slices.DeleteFunc(slices.Clone(runs), func(r *client.ScheduleRun) bool { return r.Backfill != 0 })
	lines := []string{whatBegins(x)}
	slices.Reverse(own) // the oldest first
	var open, before *client.ScheduleRun
	for _, r := range own {
		switch {
		case r.Status == "due" || r.Status == "running":
			open = r
			lines = append(lines, openText(r))
		case !r.EndedAt.IsZero() && r.TreeID != "" && (before == nil || r.StartedAt.After(before.StartedAt)):
			before = r
		}
	}
	waits := 0
	for _, r := range own {
		if r.Status != "queued" {
			continue
		}
		if waits++; waits > 1 {
			continue
		}
		text := "The run of " + shownTime(r.FireTime) + " waits "
		switch {
		case open != nil:
			text += "until that of " + shownTime(open.FireTime) + " has ended."
		case x.AfterSuccess && before != nil && before.Status != "completed":
			text += fmt.Sprintf("for the success of the run before, of %s, which is %s: taskgrove rerun %s runs its tree again, and taskgrove schedule trigger %s begins another.",
				shownTime(before.FireTime), before.Status, before.TreeID, x.ID)
		case x.IsPaused():
			text += "until the schedule is resumed."
		default:
			text += "for a coordinator that starts it."
		}
		lines = append(lines, text)
	}
	if waits > 1 {
		lines = append(lines, fmt.Sprintf("%d more wait behind it.", waits-1))
	}
	last := slices.IndexFunc(runs, func(r *client.ScheduleRun) bool { return r.Kind == "instant" || r.Kind == "event" })
	if last < 0 {
		return append(lines, "No instant has come yet.")
	}
	if text := hadNone(x, runs[last]); text != "" {
		lines = append(lines, text)
	}
	return lines
}

// whatBegins says what begins runs from now on, or why nothing does.
func whatBegins(x *client.ScheduleInfo) string {
	switch {
	case x.IsPaused():
		text := "It is paused"
		if !x.PausedAt.IsZero() {
			text += " since " + shownTime(x.PausedAt)
		}
		if x.PausedBy != "" {
			text += " by " + x.PausedBy
		}
		if x.PauseReason != "" {
			text += ": " + x.PauseReason
		}
		return text + ". Its instants pass, and only what is triggered or backfilled runs: taskgrove schedule resume " + x.ID + "."
	case x.On != nil && x.On.Schedule != "":
		return fmt.Sprintf("It begins when a run of schedule %s is %s.", x.On.Schedule, cmp.Or(strings.Join(x.On.Outcome, " or "), "completed"))
	case x.On != nil && x.SecretAt.IsZero():
		return "It begins when its webhook is called, which nobody can: it has no secret yet. taskgrove schedule secret " + x.ID + " makes one."
	case x.On != nil:
		return "It begins when its webhook is called: POST " + cmp.Or(x.WebhookURL, x.WebhookPath) + ", signed."
	case !x.Next.IsZero():
		return "Its next instant is " + shownTime(x.Next) + "."
	case x.MaxRuns > 0 && x.Runs >= x.MaxRuns:
		return fmt.Sprintf("It has ended: %s of max_runs %d have begun.", counted(x.Runs, "run"), x.MaxRuns)
	}
	return "It has ended: no instant comes before its end_at."
}

// openText says what a run does that has not ended.
func openText(r *client.ScheduleRun) string {
	text := "The run of " + shownTime(r.FireTime) + " is "
	if r.Status == "due" {
		text += "due: its tree is about to be stored"
	} else {
		text += "running as tree " + r.TreeID + " (taskgrove why " + r.TreeID + ")"
		if r.RunID != "" {
			text += ", run " + r.FlowID + "/" + r.RunID + " of version " + strconv.Itoa(r.FlowVersion)
		}
	}
	if r.Late {
		text += ", and late: it was to end by " + shownTime(r.Due)
	}
	return text + "."
}

// hadNone says why an instant had no run; empty: it has one.
func hadNone(x *client.ScheduleInfo, r *client.ScheduleRun) string {
	why := ""
	switch {
	case r.Status == "failed_to_start" && x.Flow != nil:
		why = "its flow was refused: " + r.Reason
	case r.Status == "failed_to_start", r.Status == "failed" && r.TreeID == "": // version 0.13 calls it so
		why = "its tree was refused: " + r.Reason
	case r.Status == "missed" && r.Reason == "grace":
		why = "nobody could begin it within misfire_grace, " + cmp.Or(x.MisfireGrace, "300 seconds")
	case r.Status == "missed" && r.Reason == "coalesced":
		why = "a later one ran in its place"
	case r.Status == "missed" && r.Reason == "too_many":
		why = "too many were missed at once, of which the latest ran"
	case r.Status == "skipped" && r.Reason == "overlap":
		why = "another run had not ended, or waited already (overlap: " + cmp.Or(x.Overlap, "skip") + ")"
	case r.Status == "skipped" && r.Reason == "line_full":
		why = "too many runs waited"
	case r.Status == "skipped" && r.Reason == "superseded":
		why = "a later one came in its place (overlap: cancel_other)"
	case r.Status == "missed" || r.Status == "skipped":
		why = r.Reason
	default:
		return ""
	}
	return fmt.Sprintf("The last instant, %s, had no run: %s.", shownTime(r.FireTime), why)
}
