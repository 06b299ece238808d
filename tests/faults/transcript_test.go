package faults

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/flows/flowtest"
	"github.com/taskgrove/taskgrove/tests/oracle"
)

// transcript is what a run did: its steps with what they saw and came to, and, of a flow whose jobs follow each other, in the order in which they began.
func (s *site) transcript(f *flowing, runs map[string][]*Run) string {
	s.t.Helper()
	got := s.ended(f)
	ids, stepping := s.stepsOf(got), &Stepping{Dir: s.base.Dir}
	type step struct {
		began int
		text  string
	}
	var steps []step
	for _, j := range got.Jobs {
		outputs, _ := json.Marshal(j.Outputs)
		steps = append(steps, step{0, fmt.Sprintf("job %s: %s %s %s", j.ID, j.Status, j.Reason, outputs)})
		for _, one := range j.Steps {
			id := ids[j.ID+"__"+one.ID]
			saw, err := stepping.Saw(id)
			if err != nil {
				s.t.Fatal(err)
			}
			line := step{0, fmt.Sprintf("%s.%s: %s %s %s", j.ID, one.ID, one.Status, one.Error, one.Result)}
			for _, r := range runs[id] {
				line.began = r.Start // the last one: others were lost
			}
			for _, inputs := range saw {
				if line.text += "\n  " + string(inputs); string(inputs) != string(saw[0]) {
					s.t.Errorf("%s: attempts of %s saw %s and %s", f.name(), line.text, saw[0], inputs)
				}
			}
			if len(saw) > 1 {
				line.text = strings.TrimSuffix(line.text, strings.Repeat("\n  "+string(saw[0]), len(saw)-1))
			}
			steps = append(steps, line)
		}
	}
	if !f.Flow.Graph {
		slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.began, b.began) })
	}
	lines := []string{got.Outcome}
	for _, one := range steps {
		lines = append(lines, one.text)
	}
	return strings.Join(lines, "\n")
}

// TestTheSameFlowHasTheSameTranscript: random flows do the same in two clusters: one of a coordinator and a worker, where one flow runs after the other, and one of three of each, where all run at
// once, messages come twice, and a worker dies.
func TestTheSameFlowHasTheSameTranscript(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	const flows = 12
	calm, rough := newSharedSite(t), newSharedSite(t)
	play := func(s *site, each func(*flowing)) (all []*flowing) {
		r := rand.New(rand.NewPCG(seed, 1))
		for len(all) < flows {
			made := flowtest.Random(r)
			made.ID, made.Pool = fmt.Sprintf("same%d", len(all)), Pools[len(all)%len(Pools)]
			f := s.flowing(made, "run")
			s.begin(f)
			each(f)
			all = append(all, f)
		}
		return all
	}
	calm.start(CoordinatorRole, "")
	calm.start(WorkerRole, "")
	first := play(calm, func(f *flowing) { calm.ended(f) })

	copier, err := StartCopier(rough.nats.CoordinatorURL())
	if err != nil {
		t.Fatal(err)
	}
	defer copier.Stop()
	for range 3 {
		rough.start(CoordinatorRole, "")
	}
	victim := rough.start(WorkerRole, "worker.after-claim=kill@9")
	rough.start(WorkerRole, "")
	rough.start(WorkerRole, "")
	second := play(rough, func(*flowing) {})
	for _, f := range second {
		rough.ended(f)
	}
	rough.noteEnd(victim)
	var journals [2]map[string][]*Run
	for i, s := range []*site{calm, rough} {
		if journals[i], err = ReadJournal(s.base.JournalFile()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range first {
		a, b := calm.transcript(first[i], journals[0]), rough.transcript(second[i], journals[1])
		if a != b {
			t.Errorf("flow %d differs:\n%s\n\n%s\n\n%s", i, first[i].Text, a, b)
		}
	}
}

// noteEnd tells whether a process died at its fail point, which it may not have come to.
func (s *site) noteEnd(p *Process) {
	select {
	case <-p.Ended():
		s.t.Logf("%s died", p.Settings.Name)
	default:
		s.t.Logf("%s did not come to its fail point", p.Settings.Name)
	}
}

// TestStepsOfAJobNeverOverlap: with fifty workers and messages that come twice, a step begins when the one before it has ended, no step runs twice, and jobs that follow each other don't overlap.
func TestStepsOfAJobNeverOverlap(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	s.base.Lease = 10 * time.Second // fifty beat in one process
	seed := seedOf(t)
	copier, err := StartCopier(s.nats.CoordinatorURL())
	if err != nil {
		t.Fatal(err)
	}
	defer copier.Stop()
	s.start(CoordinatorRole, "")
	s.start(CoordinatorRole, "")
	for range 50 {
		settings := s.settings(WorkerRole)
		settings.Concurrency = 1
		part, err := settings.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer part.Close() //nolint:errcheck // what matters has ended
	}
	s.callee()
	r := rand.New(rand.NewPCG(seed, 50))
	var all []*flowing
	for range 25 {
		f := s.flow(r, 4)
		s.begin(f)
		all = append(all, f)
	}
	of := map[string]*coordinator.FlowRunInfo{}
	for _, f := range all {
		of[f.name()] = s.ended(f)
		s.came(f, of[f.name()], nil)
	}
	s.inOrder(all, of)
	t.Logf("copies: %d of work, %d of results", copier.Work.Load(), copier.Results.Load())
}

// TestAFrozenHolderCannotSettle: a worker whose process stands still past the lease of the lock that its task holds has lost it. The next holder has a greater token; what the former one comes to
// when it wakes is not written down, nor taken by what the lock guards.
func TestAFrozenHolderCannotSettle(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	defer s.watchHolds()()
	s.start(CoordinatorRole, "")
	frozen := s.start(WorkerRole, "")
	task := func(id string, script oracle.Script) {
		t.Helper()
		tree := oracle.Tree{Tasks: []oracle.Task{{ID: id, Parent: -1, MaxAttempts: 1, Script: script, Limiting: &dag.Limiting{Lock: &dag.Lock{Key: "ledger"}}}}}
		if _, err := s.front.Submit(t.Context(), coordinator.SubmitOptions{}, each(TasksOf(tree, s.now()))); err != nil {
			t.Fatal(err)
		}
	}
	task("holder", oracle.Script{Gate: true})
	eventually(t, "the holder runs", func() error {
		if runs, err := ReadJournal(s.base.JournalFile()); err != nil || len(runs["holder"]) != 1 {
			return fmt.Errorf("%v, %w", runs["holder"], err)
		}
		return nil
	})
	held := s.lock("ledger")
	if held == nil {
		t.Fatal("nobody holds the lock")
	}
	if err := frozen.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := OpenGate(s.base.Dir, "holder"); err != nil { // it would end once it wakes
		t.Fatal(err)
	}
	s.start(WorkerRole, "")
	task("next", oracle.Script{})
	ended := func(id string, attempts int, last dag.Outcome) {
		t.Helper()
		eventually(t, id+" ends", func() error {
			all, err := s.front.Attempts(t.Context(), id)
			if err != nil || len(all) != attempts || all[len(all)-1].Outcome != last {
				return fmt.Errorf("%+v, %w", all, err)
			}
			return nil
		})
	}
	ended("next", 1, dag.OutcomeCompleted)
	ended("holder", 2, dag.OutcomeCompleted) // the other worker had it
	before, err := s.front.Attempts(t.Context(), "holder")
	if err != nil || before[0].Outcome != dag.OutcomeLost {
		t.Fatalf("%+v, %v", before, err)
	}
	if err := frozen.Thaw(); err != nil {
		t.Fatal(err)
	}
	task("last", oracle.Script{})
	ended("last", 1, dag.OutcomeCompleted)
	eventually(t, "the frozen worker works again, or has ended", frozen.Ready)
	after, err := s.front.Attempts(t.Context(), "holder")
	if err != nil || fmt.Sprint(after[0].Outcome, after[1].Outcome, len(after)) != fmt.Sprint(dag.OutcomeLost, dag.OutcomeCompleted, 2) {
		t.Errorf("after it woke: %+v, %v", after, err)
	}
	runs, err := ReadJournal(s.base.JournalFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"next", "holder", "last"} {
		last := runs[id][len(runs[id])-1]
		if id == "holder" {
			last = runs[id][1]
		}
		if last.Token <= held.Token || last.Refused {
			t.Errorf("%s has token %d, and the frozen holder had %d: %v", id, last.Token, held.Token, last)
		}
	}
}
