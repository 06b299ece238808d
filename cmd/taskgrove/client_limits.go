package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

// limitsCommand looks after limits.
func limitsCommand() *cobra.Command {
	cmd := limitsListCommand("limits", "Look after limits: how much of a key, a pool or a user runs at once")
	cmd.Long = "Limits of operators: how much is held of a key that tasks limit themselves by, how often tasks of a rate start, how many tasks of a pool run in the whole\n" +
		"cluster, and how many of a user run and wait. A limit of an operator takes the place of the max that tasks name. Without a command it lists them."
	cmd.AddCommand(limitsListCommand("list", "List limits, and what is held and waits"), limitsSetCommand(), limitsDeleteCommand(), limitsWeightCommand())
	for _, below := range cmd.Commands() {
		below.GroupID = ""
	}
	return cmd
}

func limitsListCommand(use, short string) *cobra.Command {
	var f client.LimitFilter
	cmd := clientCommand(use, short,
		"Lists what operators have set for keys, rates, pools and users, each by name: HELD is the sum of the costs that are held, WAITING how many tasks wait\n"+
			"for it. Who may not see the cluster's pools is shown none of theirs.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error {
			list := []*client.Limit{}
			for l, err := range s.Limits(ctx, f) {
				if err != nil {
					return err
				}
				list = append(list, l)
			}
			if err := s.print(list, func(w io.Writer) { writeLimits(w, list) }); err != nil {
				return err
			}
			return s.noteNone(len(list), "limit")
		})
	cmd.Flags().BoolVar(&f.All, "all", false, "keys, rates and locks too that tasks hold or wait for and that no operator has set a limit for")
	return cmd
}

func writeLimits(w io.Writer, list []*client.Limit) {
	owner := func(*client.Limit) string { return "" } // a column that is there if any has one
	head := ""
	if slices.ContainsFunc(list, func(l *client.Limit) bool { return l.Owner != nil }) {
		head = "OWNER\t"
		owner = func(l *client.Limit) string { return cmp.Or(oneLine(ownerText(l.Owner)), "-") + "\t" }
	}
	table(w, func(w io.Writer) {
		fmt.Fprintf(w, "KIND\tNAME\tLIMIT\tHELD\tWAITING\t%sSET BY\tSET\tREASON\n", head)
		for _, l := range list {
			kind, name := limitName(l.LimitTarget)
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s%s\t%s\t%s\n", kind, oneLine(name), limitText(l), l.Held, l.Waiters, owner(l), cmp.Or(oneLine(l.SetBy), "-"), cmp.Or(shownTime(l.SetAt), "-"), oneLine(l.Reason))
		}
	})
}

// ownerText is who keeps something in files; empty: nobody.
func ownerText(owner *string) string {
	if owner == nil {
		return ""
	}
	return *owner
}

// limitName is what a limit is for.
func limitName(t client.LimitTarget) (kind, name string) {
	for _, one := range [][2]string{{"key", t.Key}, {"rate", t.Rate}, {"pool", t.Pool}, {"user", t.UserID}, {"lock", t.Lock}} {
		if one[1] != "" {
			return one[0], one[1]
		}
	}
	return "", ""
}

// limitText is how much a limit allows.
func limitText(l *client.Limit) string {
	var parts []string
	add := func(what string, n *int32) {
		if n != nil {
			parts = append(parts, what+strconv.Itoa(int(*n)))
		}
	}
	add("", l.Max)
	if l.Per != "" && len(parts) > 0 {
		parts[0] += " per " + l.Per
		if l.Burst > 0 {
			add("burst ", &l.Burst)
		}
	}
	add("running ", l.Running)
	add("waiting ", l.Waiting)
	if l.Weight != 0 && l.Weight != 1 {
		parts = append(parts, fmt.Sprintf("weight %g", l.Weight))
	}
	if l.Lock != "" {
		parts = append(parts, "1")
	}
	text := cmp.Or(strings.Join(parts, ", "), "-")
	if !l.Counted {
		text += " (counting what runs)"
	}
	return text
}

// targetFlags gives a command the flags that say what a limit is for, one of which is to be given.
func targetFlags(cmd *cobra.Command) func() (client.LimitTarget, error) {
	t := client.LimitTarget{}
	f := cmd.Flags()
	f.StringVar(&t.Key, "key", "", "the key of limits of tasks")
	f.StringVar(&t.Rate, "rate", "", "the key of rates of tasks")
	f.StringVar(&t.Pool, "pool", "", "the pool, in the whole cluster")
	f.StringVar(&t.UserID, "user", "", "the user, in the namespace")
	mustComplete(cmd, "pool", completePools)
	return func() (client.LimitTarget, error) {
		given := 0
		for _, name := range []string{t.Key, t.Rate, t.Pool, t.UserID} {
			if name != "" {
				given++
			}
		}
		if given != 1 {
			return t, usage("give one of --key, --rate, --pool and --user")
		}
		return t, nil
	}
}

func limitsSetCommand() *cobra.Command {
	var spec client.LimitSpec
	cmd := clientCommand("set (--key KEY | --rate KEY | --pool POOL | --user USER)", "Set a limit",
		"Sets a limit, in the place of the one that there is, and answers once all that runs is counted. --max 0 lets nothing start. What runs goes on.", cobra.NoArgs, nil)
	target := targetFlags(cmd)
	f := cmd.Flags()
	most := map[string]**int32{"max": &spec.Max, "running": &spec.Running, "waiting": &spec.Waiting}
	f.Int32("max", 0, "of a key, a rate or a pool: how much is held, started in the time, or runs at most")
	f.Int32("running", 0, "of a user: tasks that run at most")
	f.Int32("waiting", 0, "of a user: tasks that wait at most; submissions that go above are refused")
	f.StringVar(&spec.Per, "per", "", "of a rate: second, minute or hour")
	f.Int32Var(&spec.Burst, "burst", 0, "of a rate: starts at once after a pause; default --max")
	f.StringVar(&spec.Reason, "reason", "", "why, for people")
	mustComplete(cmd, "per", cobra.FixedCompletions([]cobra.Completion{"second", "minute", "hour"}, cobra.ShellCompDirectiveNoFileComp))
	run(cmd, func(ctx context.Context, s *session, _ []string) (err error) {
		if spec.LimitTarget, err = target(); err != nil {
			return err
		}
		for name, to := range most {
			if n, err := f.GetInt32(name); err == nil && f.Changed(name) {
				*to = &n
			}
		}
		set, err := s.SetLimit(ctx, spec)
		if err != nil {
			return err
		}
		return s.print(set, func(w io.Writer) {
			kind, name := limitName(set.LimitTarget)
			fmt.Fprintf(w, "%s %s: %s\n", kind, oneLine(name), limitText(set))
		})
	})
	return cmd
}

func limitsDeleteCommand() *cobra.Command {
	cmd := clientCommand("delete (--key KEY | --rate KEY | --pool POOL | --user USER)", "Take a limit away",
		"Takes a limit away: tasks go by what they name themselves again; those that name no max are not limited any more.", cobra.NoArgs, nil)
	target := targetFlags(cmd)
	run(cmd, func(ctx context.Context, s *session, _ []string) error {
		of, err := target()
		if err != nil {
			return err
		}
		if err := s.DeleteLimit(ctx, of); err != nil {
			return err
		}
		return s.print(struct {
			client.LimitTarget
			Deleted bool
		}{of, true}, func(w io.Writer) {
			kind, name := limitName(of)
			fmt.Fprintf(w, "%s %s: no limit\n", kind, oneLine(name))
		})
	})
	return cmd
}

func limitsWeightCommand() *cobra.Command {
	return clientCommand("weight USER WEIGHT", "Say how many slots a user gets beside others",
		"Says how many slots a user's tasks get beside others that wait in the same pool: twice as many with twice the weight, which is 0.01 to 100, and 1 unless\n"+
			"it is set.", cobra.ExactArgs(2), func(ctx context.Context, s *session, args []string) error {
			weight, err := strconv.ParseFloat(args[1], 64)
			if err != nil {
				return usage("the weight is a number from 0.01 to 100, not %q", args[1])
			}
			if err := s.SetWeight(ctx, args[0], weight); err != nil {
				return err
			}
			return s.print(struct {
				UserID string
				Weight float64
			}{args[0], weight}, func(w io.Writer) { fmt.Fprintf(w, "user %s: weight %g\n", oneLine(args[0]), weight) })
		})
}

// pauseFlags gives a command the flags that say what is paused, beside a tree that its argument names.
func pauseFlags(cmd *cobra.Command) func(ctx context.Context, s *session, args []string) (client.PauseTarget, error) {
	t := client.PauseTarget{}
	cmd.Flags().StringVar(&t.Pool, "pool", "", "a pool")
	cmd.Flags().BoolVar(&t.Everything, "all", false, "everything")
	mustComplete(cmd, "pool", completePools)
	cmd.ValidArgsFunction = completeTasks(1)
	return func(ctx context.Context, s *session, args []string) (target client.PauseTarget, err error) {
		if len(args) > 0 && (t.Pool != "" || t.Everything) || t.Pool != "" && t.Everything {
			return t, usage("name a tree, or give --pool or --all")
		}
		target = t
		if len(args) > 0 {
			target.TreeID, err = s.id(ctx, args[0])
		}
		return target, err
	}
}

// pauseName is what a pause is of.
func pauseName(t client.PauseTarget) string {
	switch {
	case t.Everything:
		return "everything"
	case t.Pool != "":
		return "pool " + oneLine(t.Pool)
	}
	return "tree " + oneLine(t.TreeID)
}

// pausedText is a pause in one line, behind what it is of.
func pausedText(p *client.Pause, now time.Time) string {
	text := "paused " + age(p.SetAt, now) + " ago"
	if p.SetBy != "" {
		text += " by " + oneLine(p.SetBy)
	}
	if p.Reason != "" {
		text += ": " + oneLine(p.Reason)
	}
	return text
}

func pauseCommand() *cobra.Command {
	var reason string
	cmd := clientCommand("pause [TREE | --pool POOL | --all]", "Stop the start of tasks, of a tree, of a pool, or of everything",
		"Stops the start of tasks: once it has answered, nothing new starts. What runs goes on. What is paused already stays so, by who paused it first. Without\n"+
			"anything to pause it lists what is paused, as \"pauses\" does. \"resume\" lets tasks start again.\n"+taskRefHelp, cobra.MaximumNArgs(1), nil)
	target := pauseFlags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people: \"why\" and \"pauses\" tell it")
	run(cmd, func(ctx context.Context, s *session, args []string) error {
		of, err := target(ctx, s, args)
		switch {
		case err != nil:
			return err
		case of == client.PauseTarget{} && reason != "":
			return usage("--reason: name a tree, or give --pool or --all")
		case of == client.PauseTarget{}:
			return s.listPauses(ctx)
		}
		p, err := s.Pause(ctx, of, reason)
		if err != nil {
			return err
		}
		return s.print(p, func(w io.Writer) { fmt.Fprintf(w, "%s: %s\n", pauseName(p.PauseTarget), pausedText(p, time.Now())) })
	})
	return cmd
}

func resumeCommand() *cobra.Command {
	cmd := clientCommand("resume (TREE | --pool POOL | --all)", "Let tasks start again, of a tree, of a pool, or of everything",
		"Takes away what \"pause\" did. --all takes away the pause of everything; pools and trees that are paused by themselves stay so.\n"+taskRefHelp, cobra.MaximumNArgs(1), nil)
	target := pauseFlags(cmd)
	run(cmd, func(ctx context.Context, s *session, args []string) error {
		of, err := target(ctx, s, args)
		switch {
		case err != nil:
			return err
		case of == client.PauseTarget{}:
			return usage("name a tree, or give --pool or --all")
		}
		if err := s.Resume(ctx, of); err != nil {
			return err
		}
		return s.print(struct {
			client.PauseTarget
			Resumed bool
		}{of, true}, func(w io.Writer) { fmt.Fprintf(w, "%s: goes on\n", pauseName(of)) })
	})
	return cmd
}

func pausesCommand() *cobra.Command {
	return clientCommand("pauses", "List what is paused", "Lists what is paused, the oldest first: everything, pools, and the trees that you may see.", cobra.NoArgs,
		func(ctx context.Context, s *session, _ []string) error { return s.listPauses(ctx) })
}

func (s *session) listPauses(ctx context.Context) error {
	list, err := s.pauses(ctx)
	if err != nil {
		return err
	}
	if err := s.print(list, func(w io.Writer) {
		table(w, func(w io.Writer) {
			fmt.Fprintln(w, "WHAT\tPAUSED BY\tSINCE\tREASON")
			for _, p := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", pauseName(p.PauseTarget), cmp.Or(oneLine(p.SetBy), "-"), shownTime(p.SetAt), oneLine(p.Reason))
			}
		})
	}); err != nil {
		return err
	}
	return s.noteNone(len(list), "pause")
}

// pausesOf are the pauses of which is says so; none where nobody tells, as a coordinator of an older version does not.
func (s *session) pausesOf(ctx context.Context, is func(*client.Pause) bool) []*client.Pause {
	list, err := s.pauses(ctx)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(list, func(p *client.Pause) bool { return !is(p) })
}

// pausedValue is, for programs, the pause that holds something back: its own, or else the first of the others; nil: there is none.
func pausedValue(list []*client.Pause, own func(*client.Pause) bool) any {
	if len(list) == 0 {
		return nil
	}
	p := list[max(0, slices.IndexFunc(list, own))]
	return map[string]any{"what": pauseName(p.PauseTarget), "by": p.SetBy, "at": p.SetAt, "reason": p.Reason}
}

// writePaused writes what is paused, a line each.
func writePaused(w io.Writer, list []*client.Pause) {
	for _, p := range list {
		fmt.Fprintf(w, "%s: %s\n", pauseName(p.PauseTarget), pausedText(p, time.Now()))
	}
}

func (s *session) pauses(ctx context.Context) ([]*client.Pause, error) {
	list := []*client.Pause{}
	for p, err := range s.Pauses(ctx) {
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// completePools offers the pools of the cluster; nothing when none answers.
func completePools(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
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
	pools, err := s.Pools(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []cobra.Completion
	for _, p := range pools {
		if p.Name == harmless(p.Name, "") {
			names = append(names, p.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
