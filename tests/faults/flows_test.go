package faults

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/flows/flowtest"
)

// flowing is a run of a flow of which it is known what it comes to.
type flowing struct{ *FlowRun }

// flow makes a random flow with so many steps at least, and a name for its run. Some of its steps run the flow of [site.callee].
func (s *site) flow(r *rand.Rand, steps int) *flowing {
	s.t.Helper()
	for {
		f := flowtest.Random(r)
		f.Call(r)
		has := 0
		for _, j := range f.Jobs {
			has += len(j.Steps)
		}
		if has < steps {
			continue
		}
		s.made++
		f.ID, f.Pool = fmt.Sprintf("flow%d", s.made), Pools[s.made%len(Pools)]
		return s.flowing(f, "run")
	}
}

func (s *site) flowing(f *flowtest.Flow, run string) *flowing {
	s.t.Helper()
	made, err := NewFlowRun(f, run)
	if err != nil {
		s.t.Fatal(err)
	}
	return &flowing{made}
}

func (f *flowing) name() string { return f.Name() }

// begin has it run.
func (s *site) begin(f *flowing) {
	s.t.Helper()
	eventually(s.t, "begin "+f.name(), func() error {
		_, err := s.front.RunFlow(s.t.Context(), coordinator.FlowRunSpec{Text: f.Text, RunID: f.Run})
		return err
	})
}

// ended waits until a run has ended, and gives it.
func (s *site) ended(f *flowing) *coordinator.FlowRunInfo {
	s.t.Helper()
	var got *coordinator.FlowRunInfo
	eventually(s.t, f.name()+" ends", func() (err error) {
		if got, err = s.front.FlowRun(s.t.Context(), f.name()); err == nil && got.Outcome == "RUNNING" {
			err = errors.New("it runs")
		}
		return err
	})
	return got
}

// callee registers the flow that steps of random flows run.
func (s *site) callee() {
	s.t.Helper()
	if _, err := s.front.ApplyFlow(s.t.Context(), coordinator.FlowSpec{Text: flowtest.Callee(SteppingID, Pools[0])}); err != nil {
		s.t.Fatal(err)
	}
}

// stepsOf are the tasks of a run's steps, by JOB__STEP: of those that run another flow, the one that does the work there.
func (s *site) stepsOf(run *coordinator.FlowRunInfo) map[string]string {
	s.t.Helper()
	ids := map[string]string{}
	for _, task := range s.tasksOf(run.TreeID) {
		ids[task.Name] = task.ID
		if task.SubtreeID == "" {
			continue
		}
		for _, below := range s.tasksOf(task.SubtreeID) {
			if below.Name == "inner__s" {
				ids[task.Name] = below.ID
			}
		}
	}
	return ids
}

// called is how many runs the steps of trees have begun: each attempt of a step one at most, of which the step knows the newest, and nobody else any.
func (s *site) called(trees map[string]bool) int {
	s.t.Helper()
	steps, began := map[string]*coordinator.Task{}, map[string][]*coordinator.FlowRunInfo{}
	for tree := range trees {
		for _, task := range s.tasksOf(tree) {
			if task.SubtreeID != "" {
				steps["task "+task.ID] = task
			}
		}
	}
	runs := 0
	for filter := (coordinator.FlowRunFilter{Flow: flowtest.CalleeID, Limit: 1000}); ; {
		page, err := s.front.FlowRuns(s.t.Context(), filter)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, run := range page.Items {
			runs++
			if began[run.CreatedBy] = append(began[run.CreatedBy], run); run.Outcome == "RUNNING" {
				s.t.Errorf("the run %s of %s goes on, and what it was for has ended", run.RunID, run.CreatedBy)
			}
			if steps[run.CreatedBy] == nil {
				s.t.Errorf("%s has begun the run %s, and knows of none", run.CreatedBy, run.RunID)
			}
		}
		if filter.Cursor = page.Next; filter.Cursor == "" {
			break
		}
	}
	for name, step := range steps {
		its := began[name]
		if len(its) > step.Attempt || !slices.ContainsFunc(its, func(r *coordinator.FlowRunInfo) bool { return r.TreeID == step.SubtreeID }) {
			s.t.Errorf("%s (%s) has begun %d runs in %d attempts, and knows of the tree %s", name, step.Name, len(its), step.Attempt, step.SubtreeID)
		}
	}
	if runs == 0 {
		s.t.Error("no step has begun a run")
	}
	return runs
}

// tasksOf are the tasks of a tree.
func (s *site) tasksOf(tree string) (all []*coordinator.Task) {
	s.t.Helper()
	for filter := (coordinator.TaskFilter{TreeOf: tree, Limit: 1000}); ; {
		page, err := s.front.Tasks(s.t.Context(), filter)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, page.Items...)
		if filter.Cursor = page.Next; filter.Cursor == "" {
			return all
		}
	}
}

// came holds what a run came to against what it must; see [FlowRun.Came].
func (s *site) came(f *flowing, got *coordinator.FlowRunInfo, kept map[string]bool) {
	s.t.Helper()
	problems, err := f.Came(got.Jobs, s.stepsOf(got), s.base.Dir, kept)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, problem := range problems {
		s.t.Error(problem)
	}
}

// starts are how many runs the tasks of runs had.
func (s *site) starts(all []*flowing, of map[string]*coordinator.FlowRunInfo) map[string]int {
	s.t.Helper()
	runs, err := ReadJournal(s.base.JournalFile())
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]int{}
	for _, f := range all {
		for _, id := range s.stepsOf(of[f.name()]) {
			out[id] = len(runs[id])
		}
	}
	return out
}

// inOrder holds the runs of steps against the order that a flow promises; see [FlowRun.InOrder].
func (s *site) inOrder(all []*flowing, of map[string]*coordinator.FlowRunInfo) {
	s.t.Helper()
	runs, err := ReadJournal(s.base.JournalFile())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range all {
		for _, problem := range f.InOrder(runs, s.stepsOf(of[f.name()]), func(*Run) bool { return false }) {
			s.t.Error(problem)
		}
	}
}

// flowPoints are where processes die while flows run.
var flowPoints = []struct {
	role  Role
	point string
}{
	{CoordinatorRole, "coordinator.after-claim-commit=kill@2"},
	{CoordinatorRole, "coordinator.after-dispatch-commit=kill@2"},
	{CoordinatorRole, "coordinator.before-settle-commit=kill@2"},
	{CoordinatorRole, "coordinator.after-settle-commit=kill@3"},
	{CoordinatorRole, "coordinator.after-conditions-evaluated=kill"},
	{CoordinatorRole, "coordinator.after-conditions-commit=kill"},
	{CoordinatorRole, "coordinator.after-followup-commit=kill@2"},
	{CoordinatorRole, "coordinator.before-ack=kill@2"},
	{WorkerRole, "worker.before-claim=kill@2"},
	{WorkerRole, "worker.after-claim=kill@3"},
	{WorkerRole, "worker.after-result=kill@3"},
}

// killed begins flows until a process has died at a point, in place of the spare coordinator if it is one.
func (s *site) killed(at struct {
	role  Role
	point string
}, spare **Process, begin func() *flowing) {
	s.t.Helper()
	victim := s.start(at.role, at.point)
	if at.role == CoordinatorRole {
		if err := (*spare).Stop(); err != nil {
			s.t.Error(err)
		}
	}
	dead := func() bool {
		select {
		case <-victim.Ended():
			return true
		default:
			return false
		}
	}
	for n := 0; !dead() && n < 30; n++ {
		f := begin()
		if f == nil {
			break
		}
		eventually(s.t, f.name()+" ends, or "+victim.Settings.Name+" dies", func() error {
			got, err := s.front.FlowRun(s.t.Context(), f.name())
			if err == nil && got.Outcome == "RUNNING" && !dead() {
				err = errors.New("both live")
			}
			return err
		})
	}
	if !dead() {
		s.t.Logf("%s: nothing came there", at.point)
		victim.Kill()
	}
	if at.role == CoordinatorRole {
		*spare = s.start(CoordinatorRole, "")
	}
}

// TestKilledWhileFlowsRun: wherever a coordinator or a worker dies while random flows run, with messages that come twice, jobs and steps come to what the documentation says; each attempt
// of a step sees the same values; steps of a job never overlap, nor do jobs that follow each other; and a step that has ended never begins again, also when the run is mended and resumed.
func TestKilledWhileFlowsRun(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	seed := seedOf(t)
	copier, err := StartCopier(s.nats.CoordinatorURL())
	if err != nil {
		t.Fatal(err)
	}
	defer copier.Stop()
	spare := s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	s.callee()
	var all []*flowing
	for n, at := range rounds(seed, flowPoints) {
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		s.killed(at, &spare, func() *flowing {
			f := s.flow(r, 6)
			s.begin(f)
			all = append(all, f)
			return f
		})
	}
	first := map[string]*coordinator.FlowRunInfo{}
	for _, f := range all {
		first[f.name()] = s.ended(f)
		s.came(f, first[f.name()], nil)
	}
	s.inOrder(all, first)

	var failed []*flowing
	for _, f := range all {
		if first[f.name()].Outcome == "FAILED" && slices.ContainsFunc(f.Flow.Jobs, StepFails) {
			failed = append(failed, f)
		}
	}
	if len(failed) == 0 {
		t.Fatalf("none of %d flows failed", len(all))
	}
	before := s.starts(failed, first)
	for _, f := range failed {
		if _, err := s.front.ResumeFlowRun(t.Context(), coordinator.FlowResume{Run: f.name()}); err != nil {
			t.Error(err)
		}
	}
	for _, f := range failed {
		if got := s.ended(f); got.Outcome != "FAILED" || got.Revision != 1 {
			t.Errorf("%s is resumed as it is, and %s in revision %d\n%s", f.name(), got.Outcome, got.Revision, f.Text)
		}
	}
	after := s.starts(failed, first)
	for _, f := range failed {
		ids := s.stepsOf(first[f.name()])
		for name := range SettledOf(first[f.name()].Jobs) {
			if id := ids[name]; after[id] != before[id] {
				t.Errorf("%s: %s had ended after %d runs, and has %d now\n%s", f.name(), name, before[id], after[id], f.Text)
			}
		}
	}
	var again []*flowing
	for _, at := range rounds(seed+1, flowPoints) {
		s.killed(at, &spare, func() *flowing {
			if len(again) == len(failed) {
				return nil
			}
			f := s.flowing(Mended(failed[len(again)].Flow), failed[len(again)].Run)
			eventually(t, "resume "+f.name(), func() error {
				_, err := s.front.ResumeFlowRun(t.Context(), coordinator.FlowResume{Run: f.name(), Text: f.Text})
				return err
			})
			again = append(again, f)
			return f
		})
	}
	for _, f := range again {
		got := s.ended(f)
		if FollowsOn(f.Flow) && got.Outcome != f.Outcome() || got.Revision != 2 {
			t.Errorf("%s is mended, and %s in revision %d\n%s", f.name(), got.Outcome, got.Revision, f.Text)
		}
		kept := SettledOf(first[f.name()].Jobs)
		if FollowsOn(f.Flow) {
			s.came(f, got, kept)
		}
		ids := s.stepsOf(got)
		runs := s.starts([]*flowing{f}, map[string]*coordinator.FlowRunInfo{f.name(): got})
		for name := range kept {
			if n := runs[ids[name]]; n > 0 {
				t.Errorf("%s: %s had ended, and ran %d times in revision 2\n%s", f.name(), name, n, f.Text)
			}
		}
	}
	trees := map[string]bool{}
	for _, f := range all {
		trees[first[f.name()].TreeID] = true
	}
	for _, f := range again {
		trees[s.ended(f).TreeID] = true
	}
	called := s.called(trees)
	t.Logf("%d flows, of which %d were resumed; %d runs that steps began; copies: %d of work, %d of results", len(all), len(again), called, copier.Work.Load(), copier.Results.Load())
}

// healing is a flow whose second step fails, and the same one mended.
func (s *site) healing() (broken, whole *flowing) {
	s.t.Helper()
	s.made++
	of := func(comes string) *flowing {
		return s.flowing(&flowtest.Flow{ID: fmt.Sprintf("heal%d", s.made), Pool: Pools[0], Jobs: []*flowtest.Job{{ID: "a", Steps: []flowtest.Step{
			{Comes: "success", N: 1, Output: "x"}, {Comes: comes, N: 2, Reads: []string{"steps.s0.n", "job.outputs.x"}}, {Comes: "success", Reads: []string{"steps.s1.n"}}}}}}, "run")
	}
	return of("failed"), of("success")
}

// TestKilledWhileRunsBegin kills the coordinator that begins a run, or has one go on, before and after that is stored. Who asks again is told of the run that there is, or begins it: each
// run and each revision begins once.
func TestKilledWhileRunsBegin(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	s.start(CoordinatorRole, "")
	s.start(WorkerRole, "")
	for _, at := range []struct {
		point string
		kept  bool
	}{{"coordinator.before-run-submit=kill", false}, {"coordinator.after-submit-commit=kill", true}} {
		broken, whole := s.healing()
		victim, c := s.served(at.point)
		if _, err := c.RunFlow(t.Context(), client.FlowStart{Text: broken.Text, RunID: broken.Run}); err == nil {
			t.Errorf("%s: it was answered", at.point)
		}
		s.dies(victim)
		got, err := s.front.RunFlow(t.Context(), coordinator.FlowRunSpec{Text: broken.Text, RunID: broken.Run})
		if err != nil || got.Existing != at.kept || got.Revision != 1 {
			t.Fatalf("%s: begun again: %+v, %v", at.point, got, err)
		}
		if got := s.ended(broken); got.Outcome != "FAILED" {
			t.Errorf("%s: the run is %s", at.point, got.Outcome)
		} else {
			s.came(broken, got, nil)
		}

		victim, c = s.served(at.point)
		if _, err := c.ResumeFlowRun(t.Context(), client.FlowResume{Run: whole.name(), Text: whole.Text}); err == nil {
			t.Errorf("%s: the resume was answered", at.point)
		}
		s.dies(victim)
		eventually(t, "resume "+whole.name(), func() error {
			got, err = s.front.ResumeFlowRun(t.Context(), coordinator.FlowResume{Run: whole.name(), Text: whole.Text})
			return err
		})
		if got.Revision != 2 {
			t.Errorf("%s: resumed again, it is revision %d", at.point, got.Revision)
		}
		ended := s.ended(whole)
		s.came(whole, ended, map[string]bool{"a__s0": true})
		if ended.Outcome != "SUCCESS" || len(ended.Revisions) != 2 {
			t.Errorf("%s: mended, it is %s, and has %d revisions", at.point, ended.Outcome, len(ended.Revisions))
		}
	}
	for _, point := range []string{"coordinator.before-execute-commit=kill", "coordinator.after-execute-commit=kill"} {
		broken, _ := s.healing()
		s.begin(broken)
		before := s.starts([]*flowing{broken}, map[string]*coordinator.FlowRunInfo{broken.name(): s.ended(broken)})
		victim, c := s.served(point)
		if _, err := c.ResumeFlowRun(t.Context(), client.FlowResume{Run: broken.name()}); err == nil {
			t.Errorf("%s: it was answered", point)
		}
		s.dies(victim)
		again := s.ended(broken)
		if point == "coordinator.before-execute-commit=kill" {
			if _, err := s.front.ResumeFlowRun(t.Context(), coordinator.FlowResume{Run: broken.name()}); err != nil {
				t.Fatal(err)
			}
			again = s.ended(broken)
		}
		ids, after := s.stepsOf(again), s.starts([]*flowing{broken}, map[string]*coordinator.FlowRunInfo{broken.name(): again})
		for name, want := range map[string]int{"a__s0": 0, "a__s1": 1, "a__s2": 0} {
			if got := after[ids[name]] - before[ids[name]]; got != want {
				t.Errorf("%s: %s ran %d times more, want %d", point, name, got, want)
			}
		}
	}
}

// TestRunsBeginOnce: of many who begin the same run at once, through several coordinators, one does, and all are told of it; of many who resume it with the same text, too; of those who
// resume it with other texts, all but one are refused.
func TestRunsBeginOnce(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	var clients []*client.Client
	for range 3 {
		_, c := s.served("")
		clients = append(clients, c)
	}
	s.start(WorkerRole, "")
	broken, whole := s.healing()
	other := s.flowing(Mended(broken.Flow), "run")
	other.Text = bytes.Replace(whole.Text, []byte(`"n":2`), []byte(`"n":7`), 1)
	atOnce := func(ask func(n int, c *client.Client) (*client.FlowRun, error)) (fresh, refused int, trees map[string]bool) {
		var mu sync.Mutex
		var all sync.WaitGroup
		trees = map[string]bool{}
		for n := range 12 {
			all.Go(func() {
				got, err := ask(n, clients[n%len(clients)])
				mu.Lock()
				defer mu.Unlock()
				switch {
				case errors.Is(err, client.ErrConflict):
					refused++
				case err != nil:
					t.Error(err)
				default:
					if trees[got.TreeID] = true; !got.Existing {
						fresh++
					}
				}
			})
		}
		all.Wait()
		return fresh, refused, trees
	}
	if fresh, refused, trees := atOnce(func(_ int, c *client.Client) (*client.FlowRun, error) {
		return c.RunFlow(t.Context(), client.FlowStart{Text: broken.Text, RunID: broken.Run})
	}); fresh != 1 || refused != 0 || len(trees) != 1 {
		t.Errorf("%d began the run, %d were refused, and there are %d trees", fresh, refused, len(trees))
	}
	s.ended(broken)
	fresh, refused, trees := atOnce(func(n int, c *client.Client) (*client.FlowRun, error) {
		return c.ResumeFlowRun(t.Context(), client.FlowResume{Run: broken.name(), Text: [][]byte{whole.Text, other.Text}[n%2]})
	})
	if fresh != 1 || refused != 6 || len(trees) != 1 {
		t.Errorf("%d resumed the run, %d were refused, and there are %d trees", fresh, refused, len(trees))
	}
	if got := s.ended(whole); got.Outcome != "SUCCESS" || got.Revision != 2 || len(got.Revisions) != 2 {
		t.Errorf("it is %s in revision %d of %d", got.Outcome, got.Revision, len(got.Revisions))
	}
}
