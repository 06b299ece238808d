package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Cluster are the facts of coordinators, workers and pools, as a coordinator sees them.
type Cluster struct {
	Now          time.Time // by Postgres's clock, which leases go by
	Lease        time.Duration
	Stuck        time.Duration // for how long work may be overdue
	Coordinators []Coordinator
	Workers      []Worker
	Pools        []Pool
	Levels       map[string]int // highest and lowest feature level of this version are not judged; see Versions
	Unknown      []string       // executors that running trees ask for and no live worker has
	Violations   []string       // that the auditor of this coordinator has seen, a line each, at most some
	ViolationsN  int            // how many there are
	Faults       map[string]error
}

// Coordinator is one that is alive.
type Coordinator struct {
	Name, Instance, Version string
	Level                   int
	LeaseUntil              time.Time
	Answered                bool              // when all were asked
	Skew, Within            time.Duration     // its clock less that of who asks; with Answered
	Settings                map[string]string // that should be the same everywhere; with Answered
}

// Worker is one that is alive, or was within the last hour.
type Worker struct {
	ID, Version  string
	Level        int
	Alive, Lost  bool
	Draining     bool
	LeaseUntil   time.Time
	Faults       []string // that keep it from tasks of a pool
	Off          []string // executors that it can't run, though its operator has not left them out
	Skew, Within time.Duration
	Clock        bool // Skew is known
}

// Pool is an open pool.
type Pool struct {
	Name                          string
	Ready, Queued, Slots, Workers int
	Oldest                        time.Duration
}

const (
	leaseAhead = 5 * time.Second // of a coordinator: it renews its lease of 30 s every 5 s
	manyLines  = 10
)

// JudgeCluster judges what a coordinator knows of the cluster.
func JudgeCluster(c *Cluster) []Finding {
	j := judge{faults: c.Faults}
	j.unless(Coordinators, func() {
		j.coordinators(c)
		j.settings(c)
	})
	j.unless(WorkersAlive, func() { j.workers(c) })
	if c.Faults[Coordinators] == nil && c.Faults[WorkersAlive] == nil {
		j.versions(c)
		j.clocks(c)
	}
	j.unless(PoolsServed, func() { j.pools(c) })
	j.unless(ExecutorsKnown, func() {
		if len(c.Unknown) == 0 {
			j.add(find(ExecutorsKnown, OK, "", "live workers have all executors that running trees ask for"))
		}
		for _, id := range c.Unknown {
			j.add(find(ExecutorsKnown, Warning, id, fmt.Sprintf("running trees ask for executor %s, and no live worker has it", cleaned(id))))
		}
	})
	j.unless(Violations, func() { j.violations(c) })
	return j.findings
}

func (j *judge) coordinators(c *Cluster) {
	switch len(c.Coordinators) {
	case 0:
		j.add(find(Coordinators, Problem, "", "no coordinator is alive"))
	case 1:
		j.add(find(Coordinators, Note, "", "one coordinator is alive"))
	default:
		j.add(find(Coordinators, OK, "", fmt.Sprintf("%d coordinators are alive", len(c.Coordinators))))
	}
	silent := 0
	for i := range c.Coordinators {
		x := &c.Coordinators[i]
		left := x.LeaseUntil.Sub(c.Now)
		switch {
		case left < leaseAhead:
			silent++
			j.add(find(CoordinatorsAll, Warning, x.Name, fmt.Sprintf("coordinator %s has not renewed its lease: %s are left", cleaned(x.Name), left.Round(time.Second))))
		case !x.Answered:
			silent++
			j.add(find(CoordinatorsAll, Warning, x.Name, fmt.Sprintf("coordinator %s (version %s) does not answer over NATS", cleaned(x.Name), cleaned(x.Version))))
		}
	}
	if silent == 0 && len(c.Coordinators) > 0 {
		j.add(find(CoordinatorsAll, OK, "", "all coordinators answer"))
	}
}

// settings names what differs between coordinators that say what they have.
func (j *judge) settings(c *Cluster) {
	values := map[string]map[string][]string{} // setting, value, coordinators
	said := 0
	for i := range c.Coordinators {
		x := &c.Coordinators[i]
		if !x.Answered {
			continue
		}
		said++
		for name, value := range x.Settings {
			if values[name] == nil {
				values[name] = map[string][]string{}
			}
			values[name][value] = append(values[name][value], cleaned(x.Name))
		}
	}
	differ := 0
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(values[name]) > 1 {
			differ++
			j.add(find(SettingsDiffer, Warning, name, fmt.Sprintf("%s differs between coordinators: %s", name, spread(values[name]))))
		}
	}
	if differ == 0 && said > 1 {
		j.add(find(SettingsDiffer, OK, "", fmt.Sprintf("%d coordinators have the same settings where that matters", said)))
	}
}

func (j *judge) workers(c *Cluster) {
	alive, lost, late, faults := 0, 0, 0, 0
	for i := range c.Workers {
		w := &c.Workers[i]
		if w.Lost {
			lost++
			if lost <= manyLines {
				j.add(find(WorkersAlive, Warning, w.ID, fmt.Sprintf("worker %s was lost within the last hour: its beats stopped", cleaned(w.ID))))
			}
		}
		if !w.Alive {
			continue
		}
		alive++
		if left := w.LeaseUntil.Sub(c.Now); left < c.Lease/2 {
			late++
			j.add(find(WorkerLeases, Warning, w.ID, fmt.Sprintf("the lease of worker %s ends in %s: its beats are late", cleaned(w.ID), max(left, 0).Round(time.Second))))
		}
		if n := len(w.Off); n > 0 {
			faults++
			j.add(find(WorkerFaults, Note, w.ID, fmt.Sprintf("worker %s: %s off: %s", cleaned(w.ID), plural(n, "executor"), some(w.Off)), "taskgrove workers -o wide says why each is off, and how to switch it on."))
		}
		for _, f := range w.Faults {
			if faults++; faults <= manyLines {
				j.add(find(WorkerFaults, Warning, w.ID, fmt.Sprintf("worker %s: %s", cleaned(w.ID), oneLine(f))))
			}
		}
	}
	if lost > manyLines {
		j.add(find(WorkersAlive, Warning, "", fmt.Sprintf("%d more workers were lost within the last hour", lost-manyLines)))
	}
	switch {
	case alive == 0:
		j.add(find(WorkersAlive, Problem, "", "no worker is alive: no task runs"))
	case lost == 0:
		j.add(find(WorkersAlive, OK, "", plural(alive, "worker")+" alive"))
	}
	if late == 0 && alive > 0 {
		j.add(find(WorkerLeases, OK, "", "beats of all workers come in time"))
	}
	if faults > manyLines {
		j.add(find(WorkerFaults, Warning, "", fmt.Sprintf("%d more faults: taskgrove workers -o wide", faults-manyLines)))
	}
	if faults == 0 && alive > 0 {
		j.add(find(WorkerFaults, OK, "", "workers can run what they were told to"))
	}
}

// plural is a number of things with its verb: "1 worker is", "2 workers are".
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one + " is"
	}
	return fmt.Sprintf("%d %ss are", n, one)
}

// versions judges the versions of what is alive.
func (j *judge) versions(c *Cluster) {
	by := map[string][]string{}
	for i := range c.Coordinators {
		by[release(c.Coordinators[i].Version)] = append(by[release(c.Coordinators[i].Version)], "coordinator "+cleaned(c.Coordinators[i].Name))
	}
	for i := range c.Workers {
		if w := &c.Workers[i]; w.Alive {
			by[release(w.Version)] = append(by[release(w.Version)], "worker "+cleaned(w.ID))
		}
	}
	delete(by, "")
	names := slices.Sorted(maps.Keys(by))
	switch {
	case len(names) == 0:
		return
	case len(names) == 1:
		j.add(find(Versions, OK, "", "all are of version "+names[0]))
	case len(names) == 2 && Neighbours(names[0], names[1]):
		j.add(find(Versions, Note, "", "two versions are alive, as while you upgrade: "+spread(by)))
	default:
		j.add(find(Versions, Warning, "", "versions that are alive together are further apart than is tested: "+spread(by)))
	}
}

// release is a version without what names its commit: 0.8.0+ad88be4a9753 is 0.8.0.
func release(v string) string {
	v, _, _ = strings.Cut(strings.TrimSpace(v), "+")
	v, _, _ = strings.Cut(v, "-")
	return v
}

// Neighbours reports whether two versions are the same minor version, or one apart.
func Neighbours(a, b string) bool {
	x, y := firstTwo(release(a)), firstTwo(release(b))
	return x[0] == y[0] && max(x[1]-y[1], y[1]-x[1]) <= 1
}

func (j *judge) clocks(c *Cluster) {
	off, known := 0, 0
	judged := func(what string, skew, within time.Duration) {
		known++
		if f := judgeSkew(ClocksOf, what, skew, within); f.Severity != OK {
			off++
			if off <= manyLines {
				f.Found = what + ": " + f.Found
				j.add(f)
			}
		}
	}
	for i := range c.Coordinators {
		if x := &c.Coordinators[i]; x.Answered {
			judged("coordinator "+cleaned(x.Name), x.Skew, x.Within)
		}
	}
	for i := range c.Workers {
		if w := &c.Workers[i]; w.Alive && w.Clock {
			judged("worker "+cleaned(w.ID), w.Skew, w.Within)
		}
	}
	if off == 0 && known > 0 {
		j.add(find(ClocksOf, OK, "", fmt.Sprintf("the clocks of %d coordinators and workers agree", known)))
	}
}

func (j *judge) pools(c *Cluster) {
	unserved, idle, waits := 0, 0, 0
	for i := range c.Pools {
		p := &c.Pools[i]
		n := p.Ready + p.Queued
		switch {
		case p.Workers == 0 && n > 0:
			unserved++
			j.add(find(PoolsServed, Problem, p.Name, fmt.Sprintf("pool %s has %d ready tasks and no worker; the oldest has waited for %s", cleaned(p.Name), n, p.Oldest.Round(time.Second)),
				fmt.Sprintf("TASKGROVE_POOLS=%s taskgrove worker", p.Name), fmt.Sprintf("If nothing should run there: taskgrove list --tasks --state ready, and cancel what waits for pool %s.", p.Name)))
		case p.Workers == 0:
			if idle++; idle <= manyLines {
				j.add(find(PoolsIdle, Note, p.Name, fmt.Sprintf("no worker serves pool %s; nothing is ready there", cleaned(p.Name))))
			}
		case p.Oldest > c.Stuck && c.Stuck > 0:
			waits++
			j.add(find(PoolsWait, Warning, p.Name, fmt.Sprintf("in pool %s %d tasks are ready for %d slots, and the oldest has waited for %s", cleaned(p.Name), n, p.Slots, p.Oldest.Round(time.Second))))
		}
	}
	if unserved == 0 {
		j.add(find(PoolsServed, OK, "", fmt.Sprintf("all pools with ready tasks have workers (%d pools are open)", len(c.Pools))))
	}
	if waits == 0 {
		j.add(find(PoolsWait, OK, "", "no ready task has waited for long"))
	}
}

func (j *judge) violations(c *Cluster) {
	if c.ViolationsN == 0 {
		j.add(find(Violations, OK, "", "the auditor has seen none since this coordinator audits"))
		return
	}
	j.add(find(Violations, Problem, "", fmt.Sprintf("the auditor has seen %d violations; the latest: %s", c.ViolationsN, some(c.Violations))))
}
