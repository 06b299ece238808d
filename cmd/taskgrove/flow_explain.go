package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/executors/resource"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/workerfile"
	"github.com/taskgrove/taskgrove/node"
)

// lookFlags are those of commands that look at a flow as the workers of a pool would.
type lookFlags struct {
	env      envFlags
	profiles profilesFlag
	pool     string
	worker   string
	text     []byte         // of the flow; nil: it is a file
	others   flows.Others   // executors beside those of this program; nil: none
	bundle   *fetchedBundle // that the flow is of; nil: of none

	registered *registeredProfiles // of the cluster; nil: none are
}

func (l *lookFlags) bind(cmd *cobra.Command, poolHelp string) *formatFlag {
	out := outputFlag(cmd, formatText, formatJSON)
	alsoJSON(cmd, out)
	l.env.bind(cmd)
	l.profiles.bind(cmd)
	cmd.Flags().StringVar(&l.pool, "pool", "", poolHelp)
	cmd.Flags().StringVar(&l.worker, "worker-file", "", "the worker's file (TASKGROVE_WORKER_FILE) of a worker of the pool")
	return out
}

// read reads the flow that is named, and what it is judged by. bad is the report of a file of profiles with faults.
func (l *lookFlags) read(cmd *cobra.Command, name string) (shown string, text []byte, opts flows.Options, bad *flows.Report, err error) {
	var values *envGiven
	var all map[string]resource.Part
	var uses []byte
	if b := l.bundle; b != nil {
		values, all, uses = b.given, b.profiles, b.uses
	} else {
		if values, err = l.env.read(cmd.ErrOrStderr()); err != nil {
			return "", nil, opts, nil, err
		}
		if all, uses, bad, err = l.profiles.read(); err != nil || bad != nil {
			return "", nil, opts, bad, err
		}
	}
	if l.text != nil {
		shown, text = name, l.text
	} else {
		shown, text, err = readFlow(cmd, name)
	}
	opts = node.FlowOptions()
	opts.Others = l.others
	if l.registered != nil {
		opts.Registered = l.registered.find
	}
	opts.Profiles, opts.Env = all, values.of(text, uses)
	if l.bundle != nil {
		opts = l.bundle.options(opts)
	}
	return shown, text, opts, nil, err
}

// ask takes executors and profiles of the cluster.
func (l *lookFlags) ask(ctx context.Context, s *session) (*clusterExecutors, error) {
	cluster, err := s.clusterExecutors(ctx)
	if err != nil {
		return nil, err
	}
	l.others, l.registered = cluster, &registeredProfiles{s: s, ctx: ctx}
	return cluster, nil
}

// unread is why registered profiles could not be had; nil: they could, or none were asked for.
func (l *lookFlags) unread() error {
	if l.registered == nil {
		return nil
	}
	return l.registered.err
}

// overlays are the profiles of the pool in the worker's file.
func (l *lookFlags) overlays() (map[string]resource.Part, error) {
	if l.worker == "" {
		return nil, nil
	}
	source := workerfile.At(l.worker)
	if err := source.Load(nil); err != nil {
		return nil, codedError{fmt.Errorf("--worker-file: %w", err), exitUsage}
	}
	out := map[string]resource.Part{}
	for name, p := range source.File().Pool(l.pool).Profiles {
		out[name] = p.Part()
	}
	return out, nil
}

// refuse tells the faults of a file.
func refuse(cmd *cobra.Command, report *flows.Report, f format) error {
	if f == formatJSON {
		if err := printReports(cmd.OutOrStdout(), []*flows.Report{report}, formatJSON); err != nil {
			return err
		}
	} else if err := report.Text(cmd.ErrOrStderr()); err != nil {
		return err
	}
	return codedError{fmt.Errorf("%s is invalid", report.FlowYAML), exitUsage}
}

func flowExplainCommand() *cobra.Command {
	var look lookFlags
	var asks bool
	cmd := &cobra.Command{
		Use: "explain FILE|-", Short: "Show what the settings of a flow's resources come to",
		Long: "Shows what the settings of a flow's resources come to, and where each one comes from: the resource itself, the overlay that the workers of a pool have for its profile, the profile, or what\n" +
			"counts by default. Secrets, and what is decoded, are shown as ***. It asks no cluster without --cluster, which takes the profiles that are registered there and that you may see, and the executors\n" +
			"that its workers have. The exit code is 2 if the flow has faults, and 4 if no cluster could be reached.",
		Args: cobra.ExactArgs(1),
	}
	out := look.bind(cmd, "the pool whose workers are meant, with --worker-file")
	bind(cmd, config.Variables(&config.Client{}))
	cmd.Flags().BoolVar(&asks, "cluster", false, "take registered profiles, and the executors of the cluster's workers")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (look.pool == "") != (look.worker == "") {
			return usage("--pool and --worker-file go together")
		}
		var s *session
		if !asks && clientFlagOf(cmd) != "" {
			return usage("--%s: goes with --cluster", clientFlagOf(cmd))
		}
		if asks {
			var err error
			if s, err = connect(cmd); err != nil {
				return err
			}
			defer s.Close() //nolint:errcheck // nothing is left to be sent
			if _, err = look.ask(cmd.Context(), s); err != nil {
				return unreachable(s.explain(cmd.Context(), err))
			}
		}
		shown, text, opts, bad, err := look.read(cmd, args[0])
		if err != nil {
			return err
		}
		if bad != nil {
			return refuse(cmd, bad, out.format)
		}
		overlays, err := look.overlays()
		if err != nil {
			return err
		}
		var explained *flows.Explanation
		report, err := unlessEnded(cmd.Context(), func() (report *flows.Report) {
			explained, report = flows.Explain(shown, text, opts, overlays)
			return report
		})
		if err != nil {
			return err
		}
		if err := look.unread(); err != nil {
			return unreachable(s.explain(cmd.Context(), err))
		}
		if explained == nil {
			return refuse(cmd, report, out.format)
		}
		if out.format == formatJSON {
			return printIndented(cmd.OutOrStdout(), explained)
		}
		return explanation(cmd.OutOrStdout(), explained)
	}
	return cmd
}

func printIndented(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(indented(text), '\n'))
	return err
}

// explanation shows resources to people.
func explanation(w io.Writer, e *flows.Explanation) error {
	for _, name := range slices.Sorted(maps.Keys(e.Resources)) {
		r := e.Resources[name]
		fmt.Fprintf(w, "%s: %s:%s", name, r.Kind, r.Driver)
		if r.Profile != "" {
			fmt.Fprintf(w, ", profile %s", r.Profile)
		}
		fmt.Fprintln(w)
		part := resource.Part{Config: r.Config, Options: r.Options}
		table(w, func(w io.Writer) {
			fmt.Fprintln(w, "SETTING\tVALUE\tORIGIN\t")
			for _, path := range part.Leaves() {
				value, found := part.Find(path)
				if !found {
					continue
				}
				text, is := value.(string)
				if !is {
					raw, _ := json.Marshal(value)
					text = string(raw)
				}
				note := ""
				switch {
				case slices.Contains(r.Decoded, path):
					note = "decoded"
				case slices.Contains(r.Secret, path):
					note = "secret"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", path, oneLine(text), r.Origin[path], note)
			}
		})
	}
	return nil
}
