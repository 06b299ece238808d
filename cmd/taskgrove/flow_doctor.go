package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/doctor"
	"github.com/taskgrove/taskgrove/executors/secrets"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
)

// examined is what a flow needs, and what workers of pools have of it.
type examined struct {
	*flows.Checkup
	Pools []examinedPool `json:"pools,omitempty"` // absent: none was asked
}

// examinedPool is what the workers of a pool have.
type examinedPool struct {
	Pool      string              `json:"pool"`
	OK        bool                `json:"ok"`
	Workers   []string            `json:"workers,omitempty"` // that answered
	Faults    []string            `json:"faults,omitempty"`
	Secrets   []doctor.Secret     `json:"secrets"` // that inputs of the steps name
	Resources []doctor.Connection `json:"resources"`
}

func (p *examinedPool) fault(format string, args ...any) {
	p.Faults, p.OK = append(p.Faults, fmt.Sprintf(format, args...)), false
}

func flowDoctorCommand() *cobra.Command {
	var look lookFlags
	var dir string
	var asks bool
	var version int
	var dial bool
	var inBundle runBundleFlags
	wait := 30 * time.Second
	cmd := &cobra.Command{
		Use: "doctor [FILE|ID|-]", Short: "Tell what a flow lacks: values of its environment, and secrets of workers",
		Long: "Tells what a flow lacks to run: its faults, as \"flow validate\" does, names of its environment without a value and a default, and the secrets that workers must have. It asks no cluster,\n" +
			"unless one of these says so:\n\n" +
			"  --pool P       a worker of the pool says which secrets of the flow tasks of the pool may use there, and whether they could use its resources, with the pool's settings for their profiles\n" +
			"  --cluster      a worker of each pool that steps of the flow run in says it, of those steps\n" +
			"  ID             the id of a registered flow: the same as --cluster\n\n" +
			"Whoever asks must be allowed to submit tasks: a tree of tasks of doctor_executor runs. No value is shown, and no server is dialled without --dial. With --pool and --worker-file it asks no cluster, and\n" +
			"looks, where a worker of the pool runs, and with its environment, which secrets that worker has: by the worker's file, TASKGROVE_SECRET_… and --secrets-dir.\n" +
			"With --bundle-manifest the bundle is fetched, and its entry flow is meant, or the flow that is named by its path in the bundle, or by its id if it is registered.\n" +
			"The exit code is 2 if something is missing, or nobody answers, and 4 if no cluster could be reached.",
		Args: cobra.MaximumNArgs(1),
	}
	out := look.bind(cmd, "the pool whose workers are asked; with --worker-file, that is meant")
	inBundle.bind(cmd)
	bind(cmd, config.Variables(&config.Client{}))
	cmd.Flags().BoolVar(&asks, "cluster", false, "ask workers of each pool that steps of the flow run in")
	cmd.Flags().BoolVar(&dial, "dial", false, "have workers open a connection to the server of each resource")
	cmd.Flags().IntVar(&version, "version", 0, "of the registered flow; 0: the newest")
	cmd.Flags().DurationVar(&wait, "wait", wait, "how long workers of a pool may take to begin with an answer")
	cmd.Flags().StringVar(&dir, "secrets-dir", "", "with --worker-file: the worker's directory of secrets (TASKGROVE_SECRETS_DIR)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of := inBundle.manifest != ""
		name, id := "", ""
		if len(args) == 1 {
			name, id = args[0], flowIDOf(args[0])
		}
		asks := asks || look.worker == "" && look.pool != "" || id != ""
		switch {
		case name == "" && !of:
			return usage("give a flow, or --bundle-manifest")
		case !of && inBundle.stale:
			return usage("--allow-stale-bundle goes with --bundle-manifest")
		case of && look.profiles.path != "":
			return usage("--profiles-file can't go with --bundle-manifest: the bundle has the profiles")
		case dir != "" && look.worker == "":
			return usage("--secrets-dir goes with --worker-file")
		case look.worker != "" && look.pool == "":
			return usage("--worker-file goes with --pool")
		case look.worker != "" && asks:
			return usage("--worker-file asks no cluster: it goes neither with --cluster nor with a registered flow")
		case !asks && clientFlagOf(cmd) != "":
			return usage("--%s: goes with --pool or --cluster", clientFlagOf(cmd))
		case version != 0 && id == "":
			return usage("--version: is that of a registered flow, and %s is a file", cmp.Or(name, "a bundle's"))
		case dial && !asks:
			return usage("--dial: goes with --pool or --cluster")
		case wait <= 0:
			return usage("--wait: must be more than 0")
		}
		var s *session
		var cluster *clusterExecutors
		if asks {
			var err error
			if s, err = connect(cmd); err != nil {
				return err
			}
			defer s.Close() //nolint:errcheck // nothing is left to be sent
			if cluster, err = look.ask(cmd.Context(), s); err == nil && id != "" {
				look.text, err = s.registered(cmd.Context(), id, version, of)
			}
			if err != nil {
				return unreachable(s.explain(cmd.Context(), err))
			}
		}
		if of {
			bad, err := look.fetch(cmd, &inBundle, &name)
			if err != nil {
				return err
			}
			if bad != nil {
				return refuse(cmd, bad, out.format)
			}
		}
		shown, text, opts, bad, err := look.read(cmd, name)
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
		checkup := &examined{Checkup: flows.Doctor(shown, text, opts, overlays)}
		if err := look.unread(); err != nil {
			return unreachable(s.explain(cmd.Context(), err))
		}
		switch {
		case look.worker != "":
			store, err := secrets.New(secrets.Config{File: look.worker, Dir: dir})
			if err != nil {
				return codedError{err, exitUsage}
			}
			examine(cmd.Context(), checkup.Checkup, store, look.pool)
		case asks:
			if err := s.askPools(cmd.Context(), checkup, cluster, look.pool, wait, dial); err != nil {
				return unreachable(s.explain(cmd.Context(), err))
			}
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

// fetch fetches the bundle that the flow is of. Unless the flow is registered, it is a file of the bundle. bad is the report of a file with faults.
func (l *lookFlags) fetch(cmd *cobra.Command, of *runBundleFlags, name *string) (bad *flows.Report, err error) {
	values, err := l.env.read(cmd.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	if l.text != nil {
		l.bundle, bad, err = of.fetchAll(cmd.Context(), cmd, values)
		return bad, err
	}
	var path []string
	if *name != "" {
		path = []string{*name}
	}
	if l.bundle, bad, err = of.fetch(cmd.Context(), cmd, path, values); err == nil && bad == nil {
		*name, l.text = l.bundle.flow.name, l.bundle.flow.text
	}
	return bad, err
}

// registered is the text of a registered flow. Of a flow of a bundle nobody can judge what it lacks without the bundle.
func (s *session) registered(ctx context.Context, id string, version int, withBundle bool) ([]byte, error) {
	f, err := s.Flow(ctx, id, version)
	switch {
	case errors.Is(err, client.ErrNotFound):
		return nil, noFlow(err, id)
	case err != nil:
		return nil, err
	case f.Bundle != "" && !withBundle:
		return nil, usage("%s is of the bundle %s, which has its profiles: name the manifest by --bundle-manifest", id, f.Bundle)
	}
	return []byte(f.Text), nil
}

// clusterExecutors are those of the cluster's workers.
type clusterExecutors struct {
	by    map[string]*client.Executor
	pools map[string][]string // by pool: its live workers
}

func (s *session) clusterExecutors(ctx context.Context) (*clusterExecutors, error) {
	c := &clusterExecutors{by: map[string]*client.Executor{}, pools: map[string][]string{}}
	for e, err := range s.Executors(ctx) {
		if err != nil {
			return nil, err
		}
		c.by[e.ID] = e
	}
	workers, err := s.Workers(ctx)
	for _, w := range workers {
		if w.State != "alive" {
			continue
		}
		for pool := range w.Pools {
			c.pools[pool] = append(c.pools[pool], w.ID)
		}
	}
	if errors.Is(err, client.ErrDenied) { // who may not see workers is told of a pool without one when nobody answers
		c.pools, err = nil, nil
	}
	return c, err
}

// runs reports whether a live worker runs an executor in a pool, as far as the cluster tells: of a pool that is named like another executor, it does not.
func (c *clusterExecutors) runs(id, pool string) bool {
	e := c.by[id]
	if e == nil {
		return false
	}
	for other := range c.by {
		if other != id && dag.PoolOf(other) == pool {
			return true
		}
	}
	return e.Workers == 0 || slices.Contains(e.Pools, pool)
}

// IDs implements [flows.Others].
func (c *clusterExecutors) IDs() (ids []string) {
	for id := range c.by {
		ids = append(ids, id)
	}
	return ids
}

// Find implements [flows.Others].
func (c *clusterExecutors) Find(id string) *flows.Executor {
	e := c.by[id]
	if e == nil {
		return nil
	}
	d := executors.Description{ID: e.ID, Inputs: e.Inputs, Secrets: e.Secrets}
	if e.Connection != nil {
		d.Connection = &executors.Connection{Types: e.Connection.Types, Fields: e.Connection.Fields}
	}
	return node.FlowExecutor(d)
}

// What the trees of a doctor are like.
const (
	doctorTimeout   = time.Minute // of an answer, once it has begun
	doctorRetention = "1d"
)

// askPools has workers say what they have for the steps of a flow: in one pool, or, if that is empty, in each that the steps run in.
func (s *session) askPools(ctx context.Context, c *examined, cluster *clusterExecutors, pool string, wait time.Duration, dial bool) error {
	asks := c.Asks(pool)
	if len(asks) == 0 {
		return nil
	}
	const root = "doctor"
	tasks := []client.NewTask{{ID: root, Name: "flow doctor " + c.FlowYAML}}
	ask := func(of int, inputs any) {
		id := fmt.Sprintf("%d.%d", of, len(tasks))
		tasks = append(tasks, client.NewTask{ID: id, Name: asks[of].Pool + " " + id, Parent: root, Executor: doctor.ID, Pool: asks[of].Pool, Inputs: inputs, Timeout: doctorTimeout, ScheduleToStart: wait, AllowFailure: true,
			Retry: client.RetryPolicy{MaxAttempts: 1}})
	}
	c.Pools = make([]examinedPool, len(asks))
	for i, one := range asks {
		p := &c.Pools[i]
		*p = examinedPool{Pool: one.Pool, OK: true, Secrets: []doctor.Secret{}, Resources: []doctor.Connection{}}
		if cluster.pools != nil && len(cluster.pools[one.Pool]) == 0 {
			p.fault("no live worker serves it")
			continue
		}
		for _, id := range one.Executors {
			if !cluster.runs(id, one.Pool) {
				p.fault("no live worker that serves it has the executor %s", id)
			}
		}
		names := make([]map[string]string, len(one.Secrets)) // also none of them: somebody has to answer
		for k, secret := range one.Secrets {
			names[k] = map[string]string{"secret": secret}
		}
		for first := 0; first == 0 || first < len(names); first += doctor.MaxSecrets {
			ask(i, map[string]any{"secrets": names[first:min(first+doctor.MaxSecrets, len(names))]})
		}
		for _, r := range one.Resources {
			ask(i, map[string]any{"connection": r, "dial": dial})
		}
		for _, name := range one.Connections {
			ask(i, map[string]any{"connection": name})
		}
	}
	if len(tasks) > 1 {
		made, err := s.Submit(ctx, tasks, client.WithRetention(doctorRetention))
		if err != nil {
			return err
		}
		if _, err := s.Wait(ctx, made.TreeID); err != nil {
			return err
		}
		for t, err := range s.Tasks(ctx, client.TaskFilter{TreeOf: made.TreeID, PageSize: wholeTree}) {
			if err != nil {
				return err
			}
			if t.Executor != "" {
				if err := c.answered(t); err != nil {
					return err
				}
			}
		}
	}
	for i := range c.Pools {
		slices.SortFunc(c.Pools[i].Resources, func(a, b doctor.Connection) int { return strings.Compare(a.Name, b.Name) })
		slices.SortFunc(c.Pools[i].Secrets, func(a, b doctor.Secret) int { return strings.Compare(a.Name, b.Name) })
		c.OK = c.OK && c.Pools[i].OK
	}
	return nil
}

// answered notes what a task has come to.
func (c *examined) answered(t *client.Task) error {
	i := slices.IndexFunc(c.Pools, func(p examinedPool) bool { return p.Pool == t.Pool })
	if i < 0 {
		return fmt.Errorf("task %s is of pool %s, which was not asked", t.ID, t.Pool)
	}
	p := &c.Pools[i]
	if t.Worker != "" && !slices.Contains(p.Workers, t.Worker) {
		p.Workers = append(p.Workers, t.Worker)
	}
	if t.Status != client.StatusCompleted {
		if why := cmp.Or(t.Error, "nobody answered"); !slices.Contains(p.Faults, why) {
			p.fault("%s", why)
		}
		return nil
	}
	var said doctor.Answer
	if err := json.Unmarshal(t.Result, &said); err != nil {
		return fmt.Errorf("read the answer of task %s: %w", t.ID, err)
	}
	for _, secret := range said.Secrets {
		p.Secrets, p.OK = append(p.Secrets, secret), p.OK && secret.Missing == ""
	}
	if said.Connection != nil {
		p.Resources = append(p.Resources, *said.Connection)
		p.OK = p.OK && len(said.Connection.Faults) == 0 && !slices.ContainsFunc(said.Connection.Secrets, func(s doctor.Secret) bool { return s.Missing != "" })
	}
	return nil
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
func checkupText(w io.Writer, c *examined, looked bool) error {
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
	if c.Pools != nil {
		for i := range c.Pools {
			poolText(w, &c.Pools[i])
		}
		return nil
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

// poolText shows what the workers of a pool have.
func poolText(w io.Writer, p *examinedPool) {
	by := ""
	if len(p.Workers) > 0 {
		by = ", by " + strings.Join(p.Workers, ", ")
	}
	fmt.Fprintf(w, "pool %s%s:\n", oneLine(p.Pool), by)
	for _, fault := range p.Faults {
		fmt.Fprintf(w, "- %s\n", oneLine(fault))
	}
	secret := func(indent, of string, s *doctor.Secret) {
		switch {
		case s.Missing != "":
			fmt.Fprintf(w, "%s- secret %s (%s): %s\n", indent, s.Name, of, oneLine(s.Missing))
		case s.Optional:
			fmt.Fprintf(w, "%s  secret %s (%s): there, or not needed\n", indent, s.Name, of)
		default:
			fmt.Fprintf(w, "%s  secret %s (%s): there\n", indent, s.Name, of)
		}
	}
	for i := range p.Secrets {
		secret("", "inputs", &p.Secrets[i])
	}
	for i := range p.Resources {
		r := &p.Resources[i]
		profile := ""
		if r.Profile != "" {
			profile = ", profile " + r.Profile
			if r.Overlay {
				profile += ", with the pool's settings"
			}
		}
		fmt.Fprintf(w, "  resource %s%s\n", oneLine(cmp.Or(r.Name, "connection")), oneLine(profile))
		for _, fault := range r.Faults {
			fmt.Fprintf(w, "  - %s\n", oneLine(fault))
		}
		if r.Reached != "" {
			fmt.Fprintf(w, "    reached %s\n", oneLine(r.Reached))
		}
		for k := range r.Secrets {
			secret("  ", r.Secrets[k].Path, &r.Secrets[k])
		}
	}
}
