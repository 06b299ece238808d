package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/flows"
)

// profileCommand looks after the profiles that the cluster has.
func profileCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "profile", Short: "Keep profiles: parts of resources that flows share", GroupID: groupClient,
		Long: "Profiles are parts of resources that flows share, by name: config, options and decode. A registered one counts for flows that name it and are not given a file with it. What is stored has\n" +
			"the names of secrets, and not their values.",
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(profileApplyCommand(), profileListCommand(), profileGetCommand(), profileDeleteCommand())
	for _, below := range cmd.Commands() {
		below.GroupID = ""
	}
	belowAlsoJSON(cmd)
	return cmd
}

// noProfile says of a registered profile that is not there where the others are listed.
func noProfile(err error, name string) error {
	if !errors.Is(err, client.ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w: there is no registered profile %s, or none of that version (\"taskgrove profile list\")", err, cut(oneLine(name), descriptionWidth))
}

// completeProfiles offers the names of registered profiles.
var completeProfiles = completeFirst(func(ctx context.Context, s *session) (names []string, err error) {
	page, err := s.ProfilesPage(ctx, client.ProfileFilter{Limit: 1000})
	if err != nil {
		return nil, err
	}
	for _, one := range page.Items {
		names = append(names, one.Name)
	}
	return names, nil
})

func profileApplyCommand() *cobra.Command {
	var a client.ProfilesApply
	cmd := clientCommand("apply FILE|-", "Register the profiles of a file",
		"Registers the profiles of a file, a map by name as for --profiles-file: each is a new version, unless it is as the newest one is. All of them are stored or none. Profiles that the file does\n"+
			"not name stay as they are. If the file has faults, all are told as by \"flow validate\", and the exit code is 2. With --dry-run nothing is stored.", cobra.ExactArgs(1), nil)
	cmd.ValidArgsFunction = fileCompletions
	cmd.Flags().StringVar(&a.UserID, "user", "", "whose the profiles are to be that are new: they serve flows of this user alone")
	cmd.Flags().BoolVar(&a.Preview, "dry-run", false, "only look what is wrong")
	run(cmd, func(ctx context.Context, s *session, args []string) error {
		var err error
		if a.Name, a.Text, err = readFlow(cmd, args[0]); err != nil {
			return err
		}
		applied, err := s.ApplyProfiles(ctx, a)
		if errors.Is(err, client.ErrInvalid) {
			if _, report := flows.RegisterProfiles(a.Name, a.Text); !report.OK {
				return refuse(cmd, report, s.format)
			}
		}
		if err != nil {
			return err
		}
		return s.print(applied.Profiles, func(w io.Writer) {
			for _, p := range applied.Profiles {
				switch {
				case a.Preview:
					fmt.Fprintf(w, "%s: nothing is wrong\n", p.Name)
				case p.Fresh:
					fmt.Fprintf(w, "%s: version %d\n", p.Name, p.Version)
				default:
					fmt.Fprintf(w, "%s: unchanged, version %d\n", p.Name, p.Version)
				}
			}
		})
	})
	return cmd
}

func profileListCommand() *cobra.Command {
	var f client.ProfileFilter
	cmd := clientCommand("list", "List registered profiles", "Lists the newest version of each registered profile.", cobra.NoArgs, func(ctx context.Context, s *session, _ []string) error {
		list := []*client.Profile{}
		for one, err := range s.Profiles(ctx, f) {
			if err != nil {
				return err
			}
			list = append(list, one)
		}
		if err := s.print(list, func(w io.Writer) {
			table(w, func(w io.Writer) {
				fmt.Fprintln(w, "NAME\tVERSION\tSTORED\tBY\tUSER")
				for _, one := range list {
					fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", one.Name, one.Version, shownTime(one.CreatedAt), cmp.Or(oneLine(one.CreatedBy), "-"), cmp.Or(oneLine(one.UserID), "-"))
				}
			})
		}); err != nil {
			return err
		}
		return s.noteNone(len(list), "profile")
	})
	cmd.Flags().StringVar(&f.UserID, "user", "", "those of this user")
	return cmd
}

func profileGetCommand() *cobra.Command {
	var version int
	cmd := clientCommand("get NAME", "Print a registered profile",
		"Prints a registered profile as a file has it, with names in the place of secrets. In JSON and YAML also whose it is, and when it was stored.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			p, err := s.Profile(ctx, args[0], version)
			if err != nil {
				return noProfile(err, args[0])
			}
			file, err := json.Marshal(map[string]json.RawMessage{p.Name: p.Body})
			if err != nil {
				return err
			}
			return s.print(p, func(w io.Writer) { _, _ = w.Write(yamlOf(file)) }) // its errors stay in w
		})
	cmd.ValidArgsFunction = completeProfiles
	cmd.Flags().IntVar(&version, "version", 0, "of this version; 0: the newest")
	return cmd
}

func profileDeleteCommand() *cobra.Command {
	cmd := clientCommand("delete NAME", "Delete a registered profile", "Deletes a registered profile with all its versions. Runs keep what they have of it.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			if err := s.DeleteProfile(ctx, args[0]); err != nil {
				return noProfile(err, args[0])
			}
			return s.print(map[string]any{"name": args[0], "deleted": true}, func(w io.Writer) { fmt.Fprintf(w, "%s deleted\n", args[0]) })
		})
	cmd.ValidArgsFunction = completeProfiles
	return cmd
}
