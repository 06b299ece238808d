package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/doctor"
	"github.com/taskgrove/taskgrove/pg"
)

// Doctor says what is wrong with the cluster.
type Doctor interface {
	// Diagnose looks at Postgres, NATS, coordinators, workers and pools, within bounded time, and says how to mend what it finds. It changes nothing.
	// What can't be looked at is a finding, too.
	Diagnose(ctx context.Context) (*Diagnosis, error)
}

// Finding is what a check found. It holds nothing secret.
type Finding = doctor.Finding

// Diagnosis is what a coordinator found.
type Diagnosis struct {
	Coordinator, Version string    // of the one that looked
	At                   time.Time // its clock, when it answered
	Findings             []Finding // the worst first
}

func (g *guarded) Diagnose(ctx context.Context) (*Diagnosis, error) {
	return ask(ctx, g, Call{Method: "Diagnose", Namespace: AllNamespaces}, func() (*Diagnosis, error) { return g.next.Diagnose(ctx) })
}

const (
	probeWithin   = 12 * time.Second // for each part of a diagnosis; its own looks take less
	executorsSeen = 500              // runs of ready tasks whose executors are looked at
	quotaNear     = 90               // percent
	namespacesAt  = 1000             // namespaces looked at
)

// Diagnose looks at everything; see [Doctor].
func (c *Coordinator) Diagnose(ctx context.Context) (*Diagnosis, error) {
	probes := []doctor.Probe{
		{Check: doctor.PostgresReach, Run: c.probePostgres},
		{Check: doctor.NATSReach, Run: func(ctx context.Context) []Finding { return doctor.JudgeNATS(c.queue.Examine(ctx), time.Now()) }},
		{Check: doctor.Coordinators, Run: c.probeCluster},
		{Check: doctor.WebhooksOff, Run: c.probeWebhooks},
		{Check: doctor.SchedulesRun, Run: c.probeSchedules},
		{Check: doctor.Quotas, Run: c.probeQuotas},
		{Check: doctor.Paused, Run: c.probePauses},
		{Check: doctor.TreesHeld, Run: c.probeHolds},
		{Check: doctor.ErasuresMove, Run: c.probeErasures},
		{Check: doctor.ArchiveTakes, Run: c.probeArchive},
		{Check: doctor.SealingState, Run: c.probeSealing},
		{Check: doctor.RecordState, Run: c.probeRecord},
		{Check: doctor.ArtifactStore, Run: c.probeArtifacts},
	}
	probes = append(probes, c.cfg.Probes...)
	found := doctor.Run(ctx, probeWithin, probes...)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	doctor.Sort(found)
	return &Diagnosis{Coordinator: c.cfg.Name, Version: c.cfg.Version, At: time.Now(), Findings: found}, nil
}

func (c *Coordinator) probePostgres(ctx context.Context) []Finding {
	live, _ := c.store.LiveCoordinators(ctx) // that it can't be read is a finding of the cluster
	return doctor.JudgePostgres(c.store.Examine(ctx), max(1, len(live)), c.store.MaxConns(), time.Now())
}

// probeCluster looks at coordinators, workers and pools. Leases are judged by Postgres's clock, of which each row that was just written says something:
// so by ours, which the roll call and Postgres's own check judge.
func (c *Coordinator) probeCluster(ctx context.Context) []Finding {
	facts := &doctor.Cluster{Now: time.Now(), Lease: c.cfg.Lease, Stuck: c.cfg.Stuck, Faults: map[string]error{}}
	if now, err := c.store.Clock(ctx); err == nil {
		facts.Now = now
	}
	if live, err := c.store.LiveCoordinators(ctx); err != nil {
		facts.Faults[doctor.Coordinators] = err
	} else {
		facts.Coordinators = c.rollCall(ctx, live)
	}
	if list, err := c.store.ListWorkers(ctx); err != nil {
		facts.Faults[doctor.WorkersAlive] = err
	} else {
		facts.Workers = c.workerFacts(list)
	}
	if pools, err := c.Pools(ctx); err != nil {
		facts.Faults[doctor.PoolsServed] = err
	} else {
		for _, p := range pools {
			facts.Pools = append(facts.Pools, doctor.Pool{Name: p.Name, Ready: p.Ready, Queued: p.Queued, Slots: p.Capacity, Workers: p.Workers, Oldest: p.Oldest})
		}
	}
	var err error
	if facts.Unknown, err = c.unserved(ctx); err != nil {
		facts.Faults[doctor.ExecutorsKnown] = err
	}
	facts.ViolationsN, facts.Violations = c.violations.latest()
	return doctor.JudgeCluster(facts)
}

func (c *Coordinator) workerFacts(list []pg.WorkerInfo) (out []doctor.Worker) {
	for _, w := range list {
		off := c.unasked(w.Faults) // those come last
		asked := w.Faults[:max(0, len(w.Faults)-off)]
		f := doctor.Worker{ID: w.ID, Version: w.Build, Level: int(w.Level), Lost: w.State == pg.WorkerLost, Draining: w.State == pg.WorkerDraining,
			Alive: w.State == pg.WorkerAlive || w.State == pg.WorkerDraining, LeaseUntil: w.LeaseUntil}
		for _, fault := range asked {
			if fault.Executor != "" && fault.Pool == "" {
				f.Off = append(f.Off, clean(fault.Executor))
				continue
			}
			f.Faults = append(f.Faults, faultTexts([]pg.WorkerFault{fault})...)
		}
		f.Skew, f.Clock = c.clocks.of(w.Instance, time.Now())
		f.Within = beatDelay
		out = append(out, f)
	}
	return out
}

// unserved are executors that ready tasks ask for and no live worker has, as far as a bounded look sees.
func (c *Coordinator) unserved(ctx context.Context) (none []string, err error) {
	asked, err := c.store.ReadyExecutors(ctx, executorsSeen)
	if err != nil || len(asked) == 0 {
		return nil, err
	}
	list, err := c.catalogue.read(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range asked {
		shown, err := list.show(ctx, []string{id})
		if err != nil {
			return nil, err
		}
		if len(shown) == 0 || shown[0].Workers == 0 {
			none = append(none, id)
		}
	}
	return none, nil
}

func (c *Coordinator) probeWebhooks(ctx context.Context) (out []Finding) {
	list, err := c.store.FailingWebhooks(ctx)
	if err != nil {
		return []Finding{doctor.Failed(doctor.WebhooksOff, "", err)}
	}
	for _, w := range list {
		name := cmp.Or(w.Name, w.ID)
		mend := []string{fmt.Sprintf("taskgrove webhooks test %s -n %s", w.ID, w.Namespace)}
		switch {
		case !w.Active:
			out = append(out, doctor.New(doctor.WebhooksOff, doctor.Warning, w.ID, fmt.Sprintf("webhook %s of namespace %s is off: %s", clean(name), w.Namespace, cmp.Or(clean(w.Reason), "somebody switched it off")),
				append(mend, fmt.Sprintf("When the receiver answers again: taskgrove webhooks update %s -n %s --enable", w.ID, w.Namespace))...))
		case w.FailingFrom != nil:
			out = append(out, doctor.New(doctor.WebhooksOff, doctor.Warning, w.ID, fmt.Sprintf("webhook %s of namespace %s has failed since %s", clean(name), w.Namespace, w.FailingFrom.UTC().Format(time.RFC3339)), mend...))
		}
	}
	if len(out) == 0 {
		out = append(out, doctor.New(doctor.WebhooksOff, doctor.OK, "", "no webhook of a namespace is off or failing"))
	}
	return out
}

func (c *Coordinator) probeSchedules(ctx context.Context) (out []Finding) {
	list, err := c.store.AilingSchedules(ctx)
	if err != nil {
		return []Finding{doctor.Failed(doctor.SchedulesRun, "", err)}
	}
	for _, s := range list {
		name, at := fmt.Sprintf("schedule %s of namespace %s", clean(s.ID), s.Namespace), s.At.UTC().Format(time.RFC3339)
		severity, text := doctor.Warning, name+" has a run that was due at "+at+" and has not ended"
		switch s.What {
		case "refused":
			severity, text = doctor.Problem, fmt.Sprintf("the tree of %s was refused at %s: %s", name, at, cut(clean(s.Reason)))
		case "undecided":
			severity, text = doctor.Problem, fmt.Sprintf("%s had something to decide at %s, and no coordinator has", name, at)
		}
		out = append(out, doctor.New(doctor.SchedulesRun, severity, s.ID, text, fmt.Sprintf("taskgrove schedule why %s -n %s", clean(s.ID), s.Namespace)))
	}
	if len(out) == 0 {
		out = append(out, doctor.New(doctor.SchedulesRun, doctor.OK, "", "no run of a schedule is late, and no tree of one was refused"))
	}
	return out
}

func (c *Coordinator) probeQuotas(ctx context.Context) (out []Finding) {
	list, err := c.store.Namespaces(ctx, "", namespacesAt)
	if err != nil {
		return []Finding{doctor.Failed(doctor.Quotas, "", err)}
	}
	for _, n := range list {
		for _, q := range []struct {
			what      string
			has, most *int64
		}{{"trees", n.HasTrees, n.Trees}, {"tasks", n.HasTasks, n.Tasks}, {"bytes", n.HasBytes, n.Bytes}} {
			if q.has == nil || q.most == nil || *q.most <= 0 || *q.has < *q.most/100*quotaNear {
				continue
			}
			out = append(out, doctor.New(doctor.Quotas, doctor.Warning, n.Name, fmt.Sprintf("namespace %s has %d of %d %s", n.Name, *q.has, *q.most, q.what),
				fmt.Sprintf("taskgrove namespaces get %s shows what there is; delete trees, or raise the quota: taskgrove namespaces update %s", n.Name, n.Name)))
		}
	}
	if len(out) == 0 {
		out = append(out, doctor.New(doctor.Quotas, doctor.OK, "", "no namespace is near its quota"))
	}
	return out
}

// pausesSeen is how many pauses a diagnosis tells of.
const pausesSeen = 20

func (c *Coordinator) probePauses(ctx context.Context) (out []Finding) {
	list, err := c.store.AllPauses(ctx, pausesSeen)
	if err != nil {
		return []Finding{doctor.Failed(doctor.Paused, "", err)}
	}
	for _, p := range list {
		what, mend := "everything", "taskgrove resume --all"
		switch p.Scope {
		case dag.PausePool:
			what, mend = "pool "+p.Name, "taskgrove resume --pool "+p.Name
		case dag.PauseTree:
			what, mend = "tree "+clean(p.Name), "taskgrove resume "+clean(p.Name)
		}
		by := cmp.Or(clean(p.SetBy), "somebody")
		text := fmt.Sprintf("%s is paused by %s since %s", what, by, p.SetAt.UTC().Format(time.RFC3339))
		if p.Reason != "" {
			text += ": " + clean(p.Reason)
		}
		severity := doctor.Note
		if p.Scope == dag.PauseEverything {
			severity = doctor.Warning
		}
		out = append(out, doctor.New(doctor.Paused, severity, cmp.Or(p.Name, "everything"), text, "When it may go on: "+mend))
	}
	limits, err := c.store.ClosedLimits(ctx, pausesSeen)
	if err != nil {
		return append(out, doctor.Failed(doctor.Paused, "", err))
	}
	for _, l := range limits {
		out = append(out, closedBy(l))
	}
	if len(out) == 0 {
		out = append(out, doctor.New(doctor.Paused, doctor.OK, "", "nothing is paused, and no limit is 0"))
	}
	return out
}

// probeHolds tells of trees that would have been deleted by now if nobody held them.
func (c *Coordinator) probeHolds(ctx context.Context) []Finding {
	held, longer, err := c.store.HeldLonger(ctx, c.cfg.Retention)
	switch {
	case err != nil:
		return []Finding{doctor.Failed(doctor.TreesHeld, "", err)}
	case longer > 0:
		return []Finding{doctor.New(doctor.TreesHeld, doctor.Note, "", fmt.Sprintf("of %d trees that are held, %d would have been deleted by now", held, longer))}
	case held > 0:
		return []Finding{doctor.New(doctor.TreesHeld, doctor.OK, "", fmt.Sprintf("%d trees are held, none for longer than it would be kept otherwise", held))}
	}
	return []Finding{doctor.New(doctor.TreesHeld, doctor.OK, "", "no tree is held")}
}

// erasureStill is how long an erasure may stand still before a diagnosis tells of it.
const erasureStill = 10 * time.Minute

// probeErasures tells of erasures that do not come further.
func (c *Coordinator) probeErasures(ctx context.Context) (out []Finding) {
	list, err := c.store.StuckErasures(ctx, erasureStill)
	if err != nil {
		return []Finding{doctor.Failed(doctor.ErasuresMove, "", err)}
	}
	for _, e := range list {
		out = append(out, doctor.New(doctor.ErasuresMove, doctor.Warning, "erasure "+e.ID,
			fmt.Sprintf("the erasure %s of user %s is at %s since %s", e.ID, clean(e.UserID), erasureSteps[e.Step], e.MovedAt.UTC().Format(time.RFC3339))))
	}
	if len(out) == 0 {
		out = append(out, doctor.New(doctor.ErasuresMove, doctor.OK, "", "no erasure stands still"))
	}
	return out
}

// probeArchive looks whether the archive can be used, and for trees that it should have.
func (c *Coordinator) probeArchive(ctx context.Context) []Finding {
	if c.cfg.Archive == nil {
		return []Finding{doctor.New(doctor.ArchiveTakes, doctor.OK, "", "trees are not archived")}
	}
	if err := c.cfg.Archive.Check(ctx); err != nil {
		return []Finding{doctor.New(doctor.ArchiveTakes, doctor.Problem, "", "the archive can't be used: "+clean(err.Error()))}
	}
	late, err := c.store.ArchiveLate(ctx, archiveLate, c.cfg.Retention)
	switch {
	case err != nil:
		return []Finding{doctor.Failed(doctor.ArchiveTakes, "", err)}
	case late > 0:
		return []Finding{doctor.New(doctor.ArchiveTakes, doctor.Warning, "", fmt.Sprintf("%d trees are not archived and deleted %s after their retention is over", late, archiveLate))}
	}
	return []Finding{doctor.New(doctor.ArchiveTakes, doctor.OK, "", "the archive answers, and has what it should")}
}

// closedBy tells of a limit that lets nothing start.
func closedBy(l *pg.ClosedLimit) Finding {
	key := clean(l.Key)
	flag := map[dag.LimitKind]string{dag.KindLimit: "key", dag.KindRate: "rate", dag.KindPool: "pool", dag.KindUser: "user"}[l.Kind]
	what, in := flag+" "+key, ""
	if l.Namespace != "" && l.Namespace != DefaultNamespace {
		what, in = what+" of namespace "+l.Namespace, " --namespace "+l.Namespace
	}
	text := fmt.Sprintf("the limit of %s is 0, set by %s since %s", what, cmp.Or(clean(l.SetBy), "somebody"), l.SetAt.UTC().Format(time.RFC3339))
	if l.Reason != "" {
		text += ": " + clean(l.Reason)
	}
	return doctor.New(doctor.Paused, doctor.Note, what, text, fmt.Sprintf("When it may go on: taskgrove limits delete --%s %s%s", flag, key, in))
}

func (c *Coordinator) probeSealing(ctx context.Context) []Finding {
	state, _, err := c.store.Sealing(ctx)
	if err != nil {
		return []Finding{doctor.Failed(doctor.SealingState, "", err)}
	}
	tables, err := c.store.SealTables(ctx)
	if err != nil {
		return []Finding{doctor.Failed(doctor.SealingState, "", err)}
	}
	rows, under := int64(0), false
	for _, t := range tables {
		rows, under = rows+t.Rows, under || t.Round > 0 && !t.Done
	}
	switch {
	case state == pg.SealingOff && !c.keyring.Can():
		return []Finding{doctor.New(doctor.SealingState, doctor.OK, "", "values are not sealed")}
	case !c.keyring.Can():
		return []Finding{doctor.New(doctor.SealingState, doctor.Problem, "", "values are sealed, and this coordinator has no master key",
			"Set TASKGROVE_SEAL_KEY_FILE or TASKGROVE_SEAL_KEY as for the other coordinators.")}
	case c.cfg.Seal.Values && state == pg.SealingOff:
		return []Finding{doctor.New(doctor.SealingState, doctor.Note, "", "values are not sealed yet: a process lives that can't open them", "Finish the upgrade; taskgrove coordinators and taskgrove workers show versions.")}
	case under:
		return []Finding{doctor.New(doctor.SealingState, doctor.Note, "", fmt.Sprintf("stored values are being sealed anew; %d rows were written in this round", rows))}
	}
	return []Finding{doctor.New(doctor.SealingState, doctor.OK, "", "stored values are sealed under the current keys")}
}

// probeArtifacts asks the store of artifacts, also for a content that it should have.
func (c *Coordinator) probeArtifacts(ctx context.Context) []Finding {
	facts := &doctor.Artifacts{Where: "the stream of artifacts"}
	stored, overdue, err := c.store.ArtifactStoreFacts(ctx)
	facts.Overdue = overdue
	if err != nil {
		return []Finding{doctor.Failed(doctor.ArtifactStore, "", err)}
	}
	if bucket, ok := c.artifacts.(interface{ Check(context.Context) error }); ok {
		facts.Where, facts.Err = "the bucket of artifacts", bucket.Check(ctx)
	}
	if facts.Err == nil {
		facts.Used, facts.Most, facts.Err = c.artifacts.Usage(ctx)
	}
	if facts.Err == nil && stored {
		found, _, err := c.lostContents(ctx, 0, 1)
		if facts.Err = err; len(found) > 0 {
			facts.Lost = errors.New(found[0].Text)
		}
	}
	return doctor.JudgeArtifacts(facts)
}

func (c *Coordinator) probeRecord(ctx context.Context) []Finding {
	if c.recorder == nil {
		return []Finding{doctor.New(doctor.RecordState, doctor.OK, "", "no audit record is kept")}
	}
	if _, err := c.store.RecordHead(ctx); err != nil {
		return []Finding{doctor.Failed(doctor.RecordState, "", err)}
	}
	if n := c.recorder.mirror.left(); n > 0 {
		return []Finding{doctor.New(doctor.RecordState, doctor.Warning, "", fmt.Sprintf("%d entries of the audit record were not mirrored since this coordinator started, as the mirror took them too slowly; the record has them", n))}
	}
	return []Finding{doctor.New(doctor.RecordState, doctor.OK, "", "the audit record is kept")}
}

// seenViolations are the violations that this process has reported, of which a few are remembered.
type seenViolations struct {
	mu   sync.Mutex
	n    int
	last []string
}

const violationsKept = 5

func (v *seenViolations) add(kind string, shown *Violation, key dag.Key) {
	place := fmt.Sprintf("task %d", key)
	if shown != nil {
		place = strings.TrimSpace("tree " + shown.TreeID + " " + shown.TaskID)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.n++
	v.last = append([]string{kind + " (" + place + ")"}, v.last[:min(len(v.last), violationsKept-1)]...)
}

func (v *seenViolations) latest() (int, []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.n, slices.Clone(v.last)
}
