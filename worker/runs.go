package worker

import (
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/executors/workdir"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// Steps of flows leave directories on their worker, which go when their run has ended. No message tells of that, as most workers have none: who has some
// asks, for all of them together, soon after the last step and then ever more seldom.

const (
	runsFirst = 3 * time.Second // after the last step of a run
	runsMost  = time.Minute     // between questions
	runsBatch = 100
)

// runs are the runs of flows of which directories are here.
type runs struct {
	w    *Worker
	dirs *workdir.Jobs
	has  chan struct{}

	mu     sync.Mutex
	grants map[string]*workerv1.Grant // by tree: of an attempt that worked there
}

func (r *runs) init(w *Worker) {
	r.w, r.dirs, r.has, r.grants = w, workdir.NewJobs(w.cfg.WorkDir), make(chan struct{}, 1), map[string]*workerv1.Grant{}
}

// note remembers an attempt that has worked in the directory of a job, perhaps.
func (r *runs) note(a *attempt) {
	var params struct {
		Workspace json.RawMessage `json:"workspace"`
	}
	if !a.kind.description.Workspace || json.Unmarshal(a.work.Params, &params) != nil || len(params.Workspace) == 0 {
		return
	}
	r.mu.Lock()
	r.grants[a.work.TreeId] = a.grant()
	r.mu.Unlock()
	signal(r.has)
}

// run removes directories of runs that have ended, until ctx ends.
func (r *runs) run(ctx context.Context) error {
	if err := r.dirs.Sweep(); err != nil {
		r.w.log.Warn("what workers have left that were killed is not removed", "error", err)
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	pause := runsFirst
	for {
		if !r.any() {
			select {
			case <-r.has:
			case <-ctx.Done():
				return nil
			}
			pause = runsFirst
		}
		timer.Reset(pause - pause/10 + rand.N(pause/5))
		select {
		case <-r.has:
			pause = runsFirst
			continue
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		r.look(ctx)
		pause = min(2*pause, runsMost)
	}
}

// any reports whether there are directories to ask for, or may soon be.
func (r *runs) any() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.grants) > 0
}

// look asks for all runs with directories in which nothing works.
func (r *runs) look(ctx context.Context) {
	w := r.w
	if err := r.dirs.Tidy(); err != nil {
		w.quiet.warn("runs", "directories of flows' jobs are not removed", "error", err)
	}
	trees := r.dirs.Trees()
	for batch := range slices.Chunk(trees, runsBatch) {
		var grants []*workerv1.Grant
		r.mu.Lock()
		batch = slices.DeleteFunc(batch, func(tree string) bool { return r.grants[tree] == nil })
		for _, tree := range batch {
			grants = append(grants, r.grants[tree])
		}
		r.mu.Unlock()
		if len(grants) == 0 {
			continue
		}
		request := &workerv1.ArtifactRequest{Version: workerv1.Version, Grant: grants[0], Ask: &workerv1.ArtifactAsk{Ask: &workerv1.ArtifactAsk_Trees{Trees: &workerv1.ArtifactTrees{Attempts: grants}}}}
		reply := &workerv1.ArtifactReply{}
		err := w.requestWithin(ctx, w.cfg.AskWithin, queue.Artifact, request, reply)
		if err == nil {
			err = refusal(reply.Error, reply.Final, reply.Busy, false)
		}
		if err == nil && len(reply.Trees) != len(grants) {
			err = errNoSense
		}
		if err != nil {
			if ctx.Err() == nil {
				w.quiet.warn("runs", "it is not known whether runs have ended: the directories of their jobs stay", "runs", len(grants), "error", err)
			}
			return
		}
		for i, tree := range batch {
			if end := ends[reply.Trees[i]]; end != 0 {
				if err := r.dirs.Ended(tree, end); err != nil {
					w.quiet.warn("runs", "directories of flows' jobs are not removed", "tree", tree, "error", err)
				}
			}
		}
	}
	r.forget()
}

// forget lets go of attempts whose trees have no directory that waits for their end.
func (r *runs) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	there := r.dirs.Known() // with mu, so that no attempt comes in between
	maps.DeleteFunc(r.grants, func(tree string, _ *workerv1.Grant) bool { return !slices.Contains(there, tree) })
}

// ends are how runs end, for directories.
var ends = map[workerv1.ArtifactTree]workdir.End{
	workerv1.ArtifactTree_ARTIFACT_TREE_COMPLETED: workdir.EndedWell,
	workerv1.ArtifactTree_ARTIFACT_TREE_FAILED:    workdir.EndedBadly,
	workerv1.ArtifactTree_ARTIFACT_TREE_GONE:      workdir.EndedGone,
}
