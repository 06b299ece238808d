package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/executors/resource"
	"github.com/taskgrove/taskgrove/executors/secrets"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/internal/workerfile"
	"github.com/taskgrove/taskgrove/node"
)

// lookFlags are those of commands that look at a flow as the workers of a pool would.
type lookFlags struct {
	env      envFlags
	profiles profilesFlag
	pool     string
	worker   string
}

func (l *lookFlags) bind(cmd *cobra.Command) *formatFlag {
	out := outputFlag(cmd, formatText, formatJSON)
	alsoJSON(cmd, out)
	l.env.bind(cmd)
	l.profiles.bind(cmd)
	cmd.Flags().StringVar(&l.pool, "pool", "", "the pool whose workers are meant, with --worker-file")
	cmd.Flags().StringVar(&l.worker, "worker-file", "", "the worker's file (TASKGROVE_WORKER_FILE) of a worker of the pool")
	return out
}

// read reads the flow that is named, and what it is judged by. bad is the report of a file of profiles with faults.
func (l *lookFlags) read(cmd *cobra.Command, name string) (shown string, text []byte, opts flows.Options, bad *flows.Report, err error) {
	if (l.pool == "") != (l.worker == "") {
		return "", nil, opts, nil, usage("--pool and --worker-file go together")
	}
	values, err := l.env.read(cmd.ErrOrStderr())
	if err != nil {
		return "", nil, opts, nil, err
	}
	all, uses, bad, err := l.profiles.read()
	if err != nil || bad != nil {
		return "", nil, opts, bad, err
	}
	shown, text, err = readFlow(cmd, name)
	opts = node.FlowOptions()
	opts.Profiles, opts.Env = all, values.of(text, uses)
	return shown, text, opts, nil, err
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
	cmd := &cobra.Command{
		Use: "explain FILE|-", Short: "Show what the settings of a flow's resources come to",
		Long: "Shows what the settings of a flow's resources come to, and where each one comes from: the resource itself, the overlay that the workers of a pool have for its profile, the profile, or what\n" +
			"counts by default. Secrets, and what is decoded, are shown as ***. It asks no cluster. The exit code is 2 if the flow has faults.",
		Args: cobra.ExactArgs(1),
	}
	out := look.bind(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
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
		explained, report := flows.Explain(shown, text, opts, overlays)
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

func flowDoctorCommand() *cobra.Command {
	var look lookFlags
	var dir string
	cmd := &cobra.Command{
		Use: "doctor FILE|-", Short: "Tell what a flow lacks: values of its environment, and secrets of workers",
		Long: "Tells what a flow lacks to run: its faults, as \"flow validate\" does, names of its environment without a value and a default, and the secrets that workers must have. With --pool and\n" +
			"--worker-file it looks, where a worker of the pool runs, and with its environment, which secrets that worker has: by the worker's file, TASKGROVE_SECRET_… and --secrets-dir. No value is shown.\n" +
			"It asks no cluster. The exit code is 2 if something is missing.",
		Args: cobra.ExactArgs(1),
	}
	out := look.bind(cmd)
	cmd.Flags().StringVar(&dir, "secrets-dir", "", "with --worker-file: the worker's directory of secrets (TASKGROVE_SECRETS_DIR)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if dir != "" && look.worker == "" {
			return usage("--secrets-dir goes with --worker-file")
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
		checkup := flows.Doctor(shown, text, opts, overlays)
		if look.worker != "" {
			store, err := secrets.New(secrets.Config{File: look.worker, Dir: dir})
			if err != nil {
				return codedError{err, exitUsage}
			}
			examine(cmd.Context(), checkup, store, look.pool)
		}
		if out.format == formatJSON {
			err = printIndented(cmd.OutOrStdout(), checkup)
		} else {
			err = checkupText(cmd.OutOrStdout(), checkup, look.worker != "")
		}
		if err == nil && !checkup.OK {
			err = codedError{errors.New("the flow can't run as it is"), exitUsage}
		}
		return err
	}
	return cmd
}

// examine looks which secrets tasks of a pool have at the worker of a store.
func examine(ctx context.Context, c *flows.Checkup, store *secrets.Store, pool string) {
	for i := range c.Secrets {
		s := &c.Secrets[i]
		if err := store.Lacks(ctx, s.Name, pool); err != nil && !s.Optional {
			s.Missing, c.OK = err.Error(), false
		}
	}
}

// checkupText shows a checkup to people.
func checkupText(w io.Writer, c *flows.Checkup, looked bool) error {
	word := "OK"
	if !c.OK {
		word = "FAIL"
	}
	report := &flows.Report{FlowYAML: c.FlowYAML, OK: c.OK, Errors: c.Errors, Warnings: c.Warnings}
	fmt.Fprintf(w, "%s: %s\n", word, c.FlowYAML)
	if err := report.Lines(w); err != nil {
		return err
	}
	for _, name := range c.MissingEnv {
		fmt.Fprintf(w, "- env.%s has no value, and no default\n", name)
	}
	for _, s := range c.Secrets {
		switch {
		case s.Missing != "":
			fmt.Fprintf(w, "- secret %s (%s): %s\n", s.Name, s.Loc, oneLine(s.Missing))
		case looked:
			fmt.Fprintf(w, "  secret %s (%s): %s\n", s.Name, s.Loc, cmp.Or(map[bool]string{true: "there, or not needed"}[s.Optional], "there"))
		default:
			fmt.Fprintf(w, "  secret %s (%s): workers must have it\n", s.Name, s.Loc)
		}
	}
	return nil
}
