package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/executors/bundle/sources"
	"github.com/taskgrove/taskgrove/executors/resource"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/flows/env"
	"github.com/taskgrove/taskgrove/node"
)

func bundleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "bundle", Short: "Check, fetch and keep bundles: versioned directories of flows", GroupID: groupClient,
		Long: "Bundles are versioned directories of flows, profiles and templates. A manifest says where one comes from.",
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(bundleValidateCommand(), bundleSyncCommand(), bundleStatusCommand(), bundleListCommand(), bundleDeleteCommand())
	for _, below := range cmd.Commands() {
		below.GroupID = ""
	}
	belowAlsoJSON(cmd)
	return cmd
}

// bundleFlags are those of commands that fetch bundles.
type bundleFlags struct {
	env envFlags
	dir string
}

func (b *bundleFlags) bind(cmd *cobra.Command) {
	b.env.bind(cmd)
	b.bindDir(cmd)
}

func (b *bundleFlags) bindDir(cmd *cobra.Command) {
	cmd.Flags().StringVar(&b.dir, "bundle-dir", "", "directory for bundles that are fetched, each below its id; default: taskgrove/bundles below this user's directory for caches")
}

// root is the directory for bundles.
func (b *bundleFlags) root() (string, error) {
	if b.dir != "" {
		return b.dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", usage("--bundle-dir: is needed, as this user has no directory for caches: %v", err)
	}
	return filepath.Join(cache, "taskgrove", "bundles"), nil
}

// readManifest reads the manifest of a bundle. bad is the report of one with faults.
func readManifest(cmd *cobra.Command, name string) (m *flows.Manifest, bad *flows.Report, err error) {
	if name == "-" {
		return nil, nil, usage("a manifest must be a file: relative paths in it are below its directory")
	}
	_, text, err := readFlow(cmd, name)
	if err != nil {
		return nil, nil, err
	}
	m, report := flows.ReadManifest(filepath.ToSlash(name), text)
	if !report.OK {
		return nil, report, nil
	}
	return m, nil, report.Lines(cmd.ErrOrStderr())
}

// bundlePlace is where the source of a bundle is: the resource of the manifest that it names gets its values from flags, and else from this process's environment.
func bundlePlace(m *flows.Manifest, manifest string, given *envGiven) (*bundle.Place, error) {
	at := &bundle.Place{Spec: &m.Spec, Dir: filepath.Dir(manifest)}
	if m.Origin.Resource == "" {
		return at, nil
	}
	r, there := m.Resources[m.Origin.Resource]
	if !there {
		return nil, usage("there is no resource %s in the manifest", m.Origin.Resource)
	}
	values := map[string]string{}
	var missing []string
	known := env.Merge(given.files, given.named)
	for _, one := range r.Part.Secrets() {
		value, has := known[one.Name]
		if !has {
			value.Text, has = os.LookupEnv(one.Name)
		}
		if has && value.Text != "" {
			values[one.Name] = value.Text
		} else if !one.Optional {
			missing = append(missing, one.Name)
		}
	}
	if len(missing) > 0 {
		return nil, usage("the resource %s of the manifest needs %s: give --env, --env-file or the variable", m.Origin.Resource, strings.Join(missing, ", "))
	}
	if decoded, _ := r.Part.DecodePaths(); len(decoded) > 0 {
		return nil, usage("decode.no_provider: resources.%s.%s is to be decoded, and a command has nothing that decodes: name a variable with the plain value", m.Origin.Resource, decoded[0])
	}
	rendered, _, err := r.Part.Render(values)
	if err != nil {
		return nil, usage("resources.%s.%v", m.Origin.Resource, err)
	}
	driver, fault := resource.Find(r.Kind, r.Driver)
	if fault != nil {
		return nil, usage("resources.%s.%v", m.Origin.Resource, fault)
	}
	c, faults := driver.Connect(&rendered)
	if len(faults) > 0 {
		return nil, usage("resources.%s.%v", m.Origin.Resource, faults[0])
	}
	at.Connection = c
	return at, nil
}

// sync fetches the bundle of a manifest.
func (b *bundleFlags) sync(ctx context.Context, m *flows.Manifest, manifest string, given *envGiven, allowStale bool) (*bundle.Result, error) {
	root, err := b.root()
	if err != nil {
		return nil, err
	}
	at, err := bundlePlace(m, manifest, given)
	if err != nil {
		return nil, err
	}
	return bundle.Sync(ctx, bundle.Request{Spec: &m.Spec, Root: root, AllowStale: allowStale, Open: func(ctx context.Context) (bundle.Source, error) { return sources.Open(ctx, at) }})
}

// manifestEnv are the values of a manifest's files of the environment, with those that flags give over them.
func manifestEnv(m *flows.Manifest, given *envGiven, notes io.Writer) (*envGiven, error) {
	values, useless, err := env.Read(hostFiles{}, m.EnvFiles)
	if err != nil {
		return nil, codedError{fmt.Errorf("env_files: %w", err), exitUsage}
	}
	for _, note := range useless {
		_, _ = fmt.Fprintln(notes, note)
	}
	return &envGiven{files: env.Merge(values, given.files), named: given.named}, nil
}

// syncedText is the form of a sync for programs.
type syncedText struct {
	Changed     bool     `json:"changed"`
	Fingerprint string   `json:"fingerprint"`
	Fetched     []string `json:"fetched_files"`
	Stale       bool     `json:"bundle_stale"`
	Root        string   `json:"local_root"`
}

func bundleSyncCommand() *cobra.Command {
	var flags bundleFlags
	var stale, push bool
	var user string
	cmd := &cobra.Command{
		Use: "sync MANIFEST", Short: "Fetch a bundle",
		Long: "Fetches the bundle of a manifest: only files that are new or have changed. Each version has a directory of its own, which is there whole or not at all, and never changes. Names of\n" +
			"the environment in the manifest's resources have their values from --env and --env-file, and else from this process's environment. With --allow-stale-bundle the version that was\n" +
			"fetched last counts if the source does not answer. With --push the cluster gets it, too: only contents that it does not have. The exit code is 2 if the manifest has faults.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: fileCompletions,
	}
	clientFlags(cmd)
	out := cmd.Flag("output").Value.(*formatFlag)
	alsoJSON(cmd, out)
	flags.bind(cmd)
	cmd.Flags().BoolVar(&stale, "allow-stale-bundle", false, "if the source fails, go on with the version that was fetched last")
	cmd.Flags().BoolVar(&push, "push", false, "store the version in the cluster, as the latest")
	cmd.Flags().StringVar(&user, "user", "", "with --push: whose the bundle is to be, if it is new")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		m, bad, err := readManifest(cmd, args[0])
		if err != nil {
			return err
		}
		if bad != nil {
			return refuse(cmd, bad, out.format)
		}
		given, err := flags.env.read(cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		got, err := flags.sync(cmd.Context(), m, args[0], given, stale)
		if err != nil {
			return err
		}
		if got.Stale {
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "the source of %s fails, and the version that was fetched last counts: %s\n", m.ID, oneLine(got.Reason))
		}
		var pushed *client.Bundle
		if push {
			s, err := connect(cmd)
			if err != nil {
				return err
			}
			defer s.Close() //nolint:errcheck // nothing is left to be sent
			if pushed, err = s.pushBundle(cmd.Context(), m, got, user); err != nil {
				return s.explain(cmd.Context(), err)
			}
		}
		if out.format != formatText {
			text, err := json.Marshal(syncedText{got.Changed, got.Fingerprint, got.Fetched, got.Stale, got.Root})
			if err != nil {
				return err
			}
			if out.format == formatYAML {
				_, err = cmd.OutOrStdout().Write(yamlOf(text))
				return err
			}
			_, err = cmd.OutOrStdout().Write(append(indented(text), '\n'))
			return err
		}
		word := "unchanged"
		if got.Changed {
			word = "changed"
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %s fetched\nfingerprint %s\n%s\n", m.ID, word, counted(len(got.Fetched), "file"), got.Fingerprint, got.Root)
		if err == nil && pushed != nil {
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "the cluster has it\n")
		}
		return err
	}
	return cmd
}

func fileCompletions(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// pushBundle stores a version that was fetched in the cluster.
func (s *session) pushBundle(ctx context.Context, m *flows.Manifest, got *bundle.Result, user string) (*client.Bundle, error) {
	apply := client.BundleApply{ID: m.ID, Fingerprint: got.Fingerprint, Source: sourceText(m), UserID: user, EntryFlow: m.EntryFlow, ProfilesFile: m.ProfilesFile, Enterprise: m.Enterprise, ZipDrivers: m.ZipDrivers,
		Secrets: m.Secrets, Public: m.Public, PluginsDir: m.PluginsDir}
	for _, f := range got.Files {
		apply.Files = append(apply.Files, client.BundleFile{Path: f.Path, SHA256: f.SHA256, Size: f.Size})
	}
	const rounds = 3 // what was there may go before the version is stored
	for range rounds {
		stored, err := s.ApplyBundle(ctx, apply)
		if err != nil || len(stored.Missing) == 0 {
			return stored, err
		}
		for _, digest := range stored.Missing {
			if !slices.ContainsFunc(got.Files, func(f bundle.File) bool { return f.SHA256 == digest }) {
				return nil, fmt.Errorf("the coordinator asks for a content that is not in the bundle: %.64q", digest)
			}
			data, err := os.ReadFile(filepath.Join(got.Cache, digest))
			if err != nil {
				return nil, err
			}
			put, err := s.PutBundleFile(ctx, data)
			if err != nil {
				return nil, err
			}
			if put != digest {
				return nil, fmt.Errorf("%s has changed on this host: fetch the bundle again", filepath.Join(got.Cache, digest))
			}
		}
	}
	return nil, errors.New("the cluster loses files of the bundle as they are put")
}

// sourceText is where a bundle comes from, for people.
func sourceText(m *flows.Manifest) string {
	o := &m.Origin
	text := o.Type
	for _, one := range []string{o.Resource, o.URL, o.Ref, o.BasePath, o.Subdir} {
		if one != "" {
			text += " " + one
		}
	}
	return strings.ToValidUTF8(text[:min(len(text), 1000)], "")
}

func bundleListCommand() *cobra.Command {
	var f client.BundleFilter
	cmd := clientCommand("list [ID]", "List the bundles that the cluster has", "Lists the versions of bundles that the cluster has, by id, the latest of each first: that is the one that counts for flows which name the bundle.", cobra.MaximumNArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			if len(args) == 1 {
				f.ID = args[0]
			}
			list := []*client.Bundle{}
			for one, err := range s.Bundles(ctx, f) {
				if err != nil {
					return err
				}
				list = append(list, one)
			}
			if err := s.print(list, func(w io.Writer) {
				table(w, func(w io.Writer) {
					fmt.Fprintln(w, "BUNDLE\tFINGERPRINT\tFILES\tBYTES\tSTORED\tBY\tSOURCE")
					for _, b := range list {
						fmt.Fprintf(w, "%s\t%.12s\t%d\t%d\t%s\t%s\t%s\n", b.ID, b.Fingerprint, b.Files, b.Bytes, shownTime(b.AppliedAt), cmp.Or(oneLine(b.CreatedBy), "-"), cmp.Or(oneLine(b.Source), "-"))
					}
				})
			}); err != nil {
				return err
			}
			return s.noteNone(len(list), "bundle")
		})
	cmd.Flags().StringVar(&f.UserID, "user", "", "those of this user")
	return cmd
}

func bundleDeleteCommand() *cobra.Command {
	return clientCommand("delete ID", "Delete a bundle from the cluster", "Deletes a bundle with all its versions from the cluster. Those that runs have stay as long as the runs. It is refused while a registered flow names the bundle.", cobra.ExactArgs(1),
		func(ctx context.Context, s *session, args []string) error {
			if err := s.DeleteBundle(ctx, args[0]); err != nil {
				return err
			}
			return s.print(map[string]any{"id": args[0], "deleted": true}, func(w io.Writer) { fmt.Fprintf(w, "%s deleted\n", args[0]) })
		})
}

// runBundleFlags are those of a run that is of a bundle.
type runBundleFlags struct {
	bundleFlags
	manifest string
	stale    bool
}

func (r *runBundleFlags) bind(cmd *cobra.Command) {
	r.bindDir(cmd)
	cmd.Flags().StringVar(&r.manifest, "bundle-manifest", "", "manifest of a bundle, which is fetched first: its entry flow runs, or the flow that is named by its path in the bundle, and the run keeps that version")
	cmd.Flags().BoolVar(&r.stale, "allow-stale-bundle", false, "if the source of the bundle fails, go on with the version that was fetched last")
}

// fetchedBundle is the bundle of a run, on this host.
type fetchedBundle struct {
	m        *flows.Manifest
	result   *bundle.Result
	flow     *givenFlow // of its text
	path     string     // of the flow
	profiles map[string]resource.Part
	plugins  map[string]*flows.Plugin
	uses     []byte    // the text of the profiles
	given    *envGiven // with files of the manifest
}

// fetch fetches the bundle, and reads the flow that runs. bad is the report of a file with faults.
func (r *runBundleFlags) fetch(ctx context.Context, cmd *cobra.Command, args []string, given *envGiven) (b *fetchedBundle, bad *flows.Report, err error) {
	b, bad, err = r.fetchAll(ctx, cmd, given)
	if err != nil || bad != nil {
		return nil, bad, err
	}
	b.path = b.m.EntryFlow
	if len(args) == 1 {
		b.path = args[0]
	}
	text, bad := bundleFile(os.DirFS(b.result.Root), b.path)
	if bad != nil {
		return nil, bad, nil
	}
	b.flow = &givenFlow{name: b.path, text: text}
	return b, nil, nil
}

// fetchAll fetches the bundle, and reads what holds for all of its flows. bad is the report of a file with faults.
func (r *runBundleFlags) fetchAll(ctx context.Context, cmd *cobra.Command, given *envGiven) (b *fetchedBundle, bad *flows.Report, err error) {
	m, bad, err := readManifest(cmd, r.manifest)
	if err != nil || bad != nil {
		return nil, bad, err
	}
	b = &fetchedBundle{m: m}
	if b.result, err = r.sync(ctx, m, r.manifest, given, r.stale); err != nil {
		return nil, nil, err
	}
	if b.given, err = manifestEnv(m, given, cmd.ErrOrStderr()); err != nil {
		return nil, nil, err
	}
	if b.uses, bad = bundleFile(os.DirFS(b.result.Root), m.ProfilesFile); bad != nil {
		return nil, bad, nil
	}
	all, report := flows.ReadProfiles(m.ProfilesFile, b.uses)
	if !report.OK {
		return nil, report, nil
	}
	b.profiles = all
	var reports []*flows.Report
	if b.plugins, reports = pluginsIn(m, os.DirFS(b.result.Root), b.result.Files, node.FlowOptions()); len(reports) > 0 {
		for _, report := range reports {
			if !report.OK {
				return nil, report, nil
			}
		}
	}
	return b, nil, nil
}

// options adds to what the flow is compiled with.
func (b *fetchedBundle) options(opts flows.Options) flows.Options {
	list := bundle.ListText(b.result.Files)
	sum := sha256.Sum256(list)
	opts.Bundle = &bundle.Pinned{ID: b.m.ID, Fingerprint: b.result.Fingerprint, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(list)), Stale: b.result.Stale}
	opts.Secrets, opts.Public, opts.Profiles, opts.Archives, opts.Plugins = b.m.Secrets, b.m.Public, b.profiles, b.m.Archives(), b.plugins
	return opts
}

func bundleStatusCommand() *cobra.Command {
	var flags bundleFlags
	cmd := &cobra.Command{
		Use: "status [ID]", Short: "Show the bundles that were fetched on this host",
		Long: "Shows the bundles that were fetched on this host, or one of them: the latest version, and why a sync since then has failed. It asks no source and no cluster.",
		Args: cobra.MaximumNArgs(1),
	}
	out := outputFlag(cmd, formatText, formatJSON)
	alsoJSON(cmd, out)
	flags.bindDir(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		root, err := flags.root()
		if err != nil {
			return err
		}
		id := ""
		if len(args) == 1 {
			id = args[0]
		}
		all, err := bundle.Statuses(root, id)
		if err != nil {
			return err
		}
		if id != "" && len(all) == 0 {
			return fmt.Errorf("no bundle %s was fetched into %s", id, root)
		}
		if out.format == formatJSON {
			if id != "" {
				return printIndented(cmd.OutOrStdout(), all[0])
			}
			return printIndented(cmd.OutOrStdout(), all)
		}
		table(cmd.OutOrStdout(), func(w io.Writer) {
			fmt.Fprintln(w, "BUNDLE\tFINGERPRINT\tFILES\tUPDATED\tLAST ERROR")
			for _, s := range all {
				updated, last, short := "-", "-", "-"
				if s.Updated != nil {
					updated, short = s.Updated.Format("2006-01-02 15:04:05 MST"), s.Fingerprint[:12]
				}
				if s.LastError != nil {
					last = s.LastError.Error
				}
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", s.ID, short, s.Files, updated, oneLine(last))
			}
		})
		return nil
	}
	return cmd
}

func bundleValidateCommand() *cobra.Command {
	var flags bundleFlags
	var strict, compat bool
	cmd := &cobra.Command{
		Use: "validate MANIFEST", Short: "Tell all that is wrong with a bundle",
		Long: "Tells all that is wrong with a bundle, and asks no cluster: with its manifest, its file of profiles, its entry flow and all flows in flows_dir, each file as \"flow validate\" does. Of a source\n" +
			"on this host it looks at the files there, of others at the version that was fetched last. The exit code is 2 if there is an error.",
		Args: cobra.ExactArgs(1),
	}
	out := outputFlag(cmd, formatText, formatJSON)
	alsoJSON(cmd, out)
	flags.bind(cmd)
	cmd.Flags().BoolVar(&compat, "compat", false, "warn of each place where a flow does otherwise than in AetherFlow")
	cmd.Flags().BoolVar(&strict, "strict-env", false, "a name that a flow uses and that has no value, and no default, is an error")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, text, err := readFlow(cmd, args[0])
		if err != nil {
			return err
		}
		given, err := flags.env.read(cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		m, report := flows.ReadManifest(filepath.ToSlash(args[0]), text)
		reports := []*flows.Report{report}
		if report.OK {
			values, err := manifestEnv(m, given, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			files, err := flags.looked(m, args[0])
			if err != nil {
				return err
			}
			if files == nil {
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "the files of %s are not looked at, as none were fetched yet: taskgrove bundle sync %s\n", m.ID, args[0])
			} else {
				found, err := unlessEnded(cmd.Context(), func() []*flows.Report { return validateBundle(m, files, values, strict, compat) })
				if err != nil {
					return err
				}
				reports = append(reports, found...)
			}
		}
		if err := printReports(cmd.OutOrStdout(), reports, out.format); err != nil {
			return err
		}
		invalid := 0
		for _, r := range reports {
			if !r.OK {
				invalid++
			}
		}
		if invalid > 0 {
			return codedError{fmt.Errorf("%d of %s invalid", invalid, counted(len(reports), "file")), exitUsage}
		}
		return nil
	}
	return cmd
}

// looked are the files of a bundle that are on this host; nil: there are none.
func (b *bundleFlags) looked(m *flows.Manifest, manifest string) (fs.FS, error) {
	if m.Origin.Type == bundle.Filesystem {
		dir := filepath.FromSlash(m.Origin.BasePath)
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(filepath.Dir(manifest), dir)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, codedError{fmt.Errorf("bundle.source.base_path: %w", err), exitUsage}
		}
		return root.FS(), nil
	}
	root, err := b.root()
	if err != nil {
		return nil, err
	}
	all, err := bundle.Statuses(root, m.ID)
	if err != nil || len(all) == 0 || all[0].Root == "" {
		return nil, err
	}
	return os.DirFS(all[0].Root), nil
}

// validateBundle tells what is wrong with the files of a bundle.
func validateBundle(m *flows.Manifest, files fs.FS, values *envGiven, strict, compat bool) (reports []*flows.Report) {
	opts := node.FlowOptions()
	opts.StrictEnv, opts.Compat = strict, compat
	opts.Secrets, opts.Public = m.Secrets, m.Public
	opts.Archives = m.Archives()
	var uses []byte
	if text, bad := bundleFile(files, m.ProfilesFile); bad != nil {
		reports = append(reports, bad)
	} else {
		all, report := flows.ReadProfiles(m.ProfilesFile, text)
		opts.Profiles, uses, reports = all, text, append(reports, report)
	}
	plugins, told := pluginsIn(m, files, nil, opts)
	opts.Plugins, reports = plugins, append(reports, told...)
	names := map[string]bool{m.EntryFlow: true}
	if m.FlowsDir != "" {
		err := fs.WalkDir(files, m.FlowsDir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && slices.Contains([]string{".yaml", ".yml"}, path.Ext(name)) {
				names[name] = true
			}
			return err
		})
		if err != nil {
			reports = append(reports, flows.Unreadable(m.FlowsDir, "bundle.layout.flows_dir", pathReason(err)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		text, bad := bundleFile(files, name)
		if bad != nil {
			reports = append(reports, bad)
			continue
		}
		opts.Env = values.of(text, uses)
		_, report := flows.Read(name, text, opts)
		reports = append(reports, report)
	}
	return reports
}

// pluginsIn are the plugins of a bundle, by what lies beside them: none is run. list: all files; nil: the directory has them.
func pluginsIn(m *flows.Manifest, files fs.FS, list []bundle.File, opts flows.Options) (map[string]*flows.Plugin, []*flows.Report) {
	dir := m.PluginsOfBundle()
	if dir == "" {
		return nil, nil
	}
	if list == nil {
		err := fs.WalkDir(files, dir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				list = append(list, bundle.File{Path: name})
			}
			return err
		})
		if err != nil {
			return nil, []*flows.Report{flows.Unreadable(dir, "bundle.layout.plugins_dir", pathReason(err))}
		}
	}
	return flows.ReadPlugins(dir, list, func(name string) ([]byte, *flows.Report) { return bundleFile(files, name) }, opts)
}

// pathReason is an error of a file without its path.
func pathReason(err error) string {
	if bad, is := errors.AsType[*fs.PathError](err); is {
		err = bad.Err
	}
	return err.Error()
}

// bundleFile reads a file of a bundle.
func bundleFile(files fs.FS, name string) ([]byte, *flows.Report) {
	f, err := files.Open(name)
	if err != nil {
		return nil, flows.Unreadable(name, "", pathReason(err))
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, flows.MaxBytes+1))
	if err != nil {
		return nil, flows.Unreadable(name, "", pathReason(err))
	}
	return text, nil
}
