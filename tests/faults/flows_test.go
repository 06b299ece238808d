package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/flows/flowtest"
)

// flowing is a run of a flow of which it is known what it comes to.
type flowing struct {
	flow *flowtest.Flow
	run  string
	text []byte
}

// flow makes a random flow with so many steps at least, and a name for its run.
func (s *site) flow(r *rand.Rand, steps int) *flowing {
	s.t.Helper()
	for {
		f := flowtest.Random(r)
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
	if err := f.Run(); err != nil {
		s.t.Fatal(err)
	}
	return &flowing{f, run, f.Text(func(j *flowtest.Job, n int) (string, map[string]any) {
		return SteppingID, map[string]any{"comes": j.Steps[n].Comes, "n": j.Steps[n].N}
	})}
}

func (f *flowing) name() string { return f.flow.ID + "/" + f.run }

// begin has it run.
func (s *site) begin(f *flowing) {
	s.t.Helper()
	eventually(s.t, "begin "+f.name(), func() error {
		_, err := s.front.RunFlow(s.t.Context(), coordinator.FlowRunSpec{Text: f.text, RunID: f.run})
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

// stepsOf are the tasks of a run's steps, by JOB__STEP.
func (s *site) stepsOf(run *coordinator.FlowRunInfo) map[string]string {
	s.t.Helper()
	ids := map[string]string{}
	for filter := (coordinator.TaskFilter{TreeOf: run.TreeID, Limit: 1000}); ; {
		page, err := s.front.Tasks(s.t.Context(), filter)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, task := range page.Items {
			ids[task.Name] = task.ID
		}
		if filter.Cursor = page.Next; filter.Cursor == "" {
			return ids
		}
	}
}

// came holds what a run came to against what it must: jobs, steps, and what each attempt of a step saw. Steps that were kept don't run.
func (s *site) came(f *flowing, got *coordinator.FlowRunInfo, kept map[string]bool) {
	s.t.Helper()
	jobs := map[string]flows.JobOutcome{}
	for _, j := range got.Jobs {
		jobs[j.ID] = j
	}
	ids, stepping := s.stepsOf(got), &Stepping{Dir: s.base.Dir}
	for _, j := range f.flow.Jobs {
		if is := jobs[j.ID]; is.Status != j.Status {
			s.t.Errorf("%s: job %s is %s, want %s\n%s", f.name(), j.ID, is.Status, j.Status, f.text)
			continue
		}
		for n, want := range j.Ends {
			name := fmt.Sprintf("%s__s%d", j.ID, n)
			saw, err := stepping.Saw(ids[name])
			if err != nil {
				s.t.Fatal(err)
			}
			if runs := !kept[name] && (want == "success" || want == "failed" || want == "skipped" && j.Steps[n].Saw != nil); (len(saw) > 0) != runs {
				s.t.Errorf("%s: %s, which is %s, ran %d times\n%s", f.name(), name, want, len(saw), f.text)
			}
			for _, inputs := range saw {
				var is map[string]any
				if err := json.Unmarshal(inputs, &is); err != nil {
					s.t.Fatal(err)
				}
				for _, own := range []string{"comes", "n"} {
					delete(is, own)
				}
				if saw, want := marshal(s.t, is), marshal(s.t, j.Steps[n].Saw); saw != want {
					s.t.Errorf("%s: %s saw %s, want %s, of %v\n%s", f.name(), name, saw, want, j.Steps[n].Reads, f.text)
				}
			}
		}
	}
}

func marshal(t *testing.T, v map[string]any) string {
	t.Helper()
	if len(v) == 0 {
		return "{}"
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// settledOf are the steps of a run that have ended with success, or skipped themselves.
func settledOf(run *coordinator.FlowRunInfo) map[string]bool {
	out := map[string]bool{}
	for _, j := range run.Jobs {
		for _, step := range j.Steps {
			if step.Status == "SUCCESS" || step.Status == "SKIPPED" && step.Attempts > 0 {
				out[j.ID+"__"+step.ID] = true
			}
		}
	}
	return out
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

// inOrder holds the runs of steps against the order that a flow promises: a step begins when the one before it has ended, and in a flow whose jobs follow each other so does a job. A
// step that has ended, and after which another began, does not begin again.
func (s *site) inOrder(all []*flowing, of map[string]*coordinator.FlowRunInfo) {
	s.t.Helper()
	runs, err := ReadJournal(s.base.JournalFile())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range all {
		ids := s.stepsOf(of[f.name()])
		var before []*Run // of the step before
		for _, j := range f.flow.Jobs {
			if f.flow.Graph {
				before = nil
			}
			for n := range j.Steps {
				name := fmt.Sprintf("%s__s%d", j.ID, n)
				now := runs[ids[name]]
				if len(now) == 0 {
					continue
				}
				for i, r := range before {
					switch lost := i < len(before)-1; {
					case r.Start > now[0].Start:
						s.t.Errorf("%s: what stands before %s began again (%s) after it (%s)", f.name(), name, r, now[0])
					case r.End == 0 && !lost, r.End > now[0].Start && !lost:
						s.t.Errorf("%s: what stands before %s (%s) was not over when it began (%s)", f.name(), name, r, now[0])
					}
				}
				before = now
			}
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

// mended is a flow whose steps don't fail.
func mended(f *flowtest.Flow) *flowtest.Flow {
	out := *f
	out.Jobs = nil
	for _, j := range f.Jobs {
		now := *j
		now.Steps, now.Ends, now.Status, now.Reason, now.Failure = slices.Clone(j.Steps), nil, "", "", ""
		for n := range now.Steps {
			if now.Steps[n].Saw = nil; now.Steps[n].Comes == "failed" {
				now.Steps[n].Comes = "success"
			}
		}
		out.Jobs = append(out.Jobs, &now)
	}
	return &out
}

// stepFails reports whether a job failed by one of its steps, and not by its gate.
func stepFails(j *flowtest.Job) bool { return slices.Contains(j.Ends, "failed") }

// followsOn reports whether no job of a flow runs although one before it has failed, so that what it comes to once it is mended does not depend on what ran before.
func followsOn(f *flowtest.Flow) bool {
	for _, j := range f.Jobs {
		for _, n := range j.Needs {
			if n.Done {
				return false
			}
		}
	}
	return !f.Graph
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
		if first[f.name()].Outcome == "FAILED" && slices.ContainsFunc(f.flow.Jobs, stepFails) {
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
			t.Errorf("%s is resumed as it is, and %s in revision %d\n%s", f.name(), got.Outcome, got.Revision, f.text)
		}
	}
	after := s.starts(failed, first)
	for _, f := range failed {
		ids := s.stepsOf(first[f.name()])
		for name := range settledOf(first[f.name()]) {
			if id := ids[name]; after[id] != before[id] {
				t.Errorf("%s: %s had ended after %d runs, and has %d now\n%s", f.name(), name, before[id], after[id], f.text)
			}
		}
	}
	var again []*flowing
	for _, at := range rounds(seed+1, flowPoints) {
		s.killed(at, &spare, func() *flowing {
			if len(again) == len(failed) {
				return nil
			}
			f := s.flowing(mended(failed[len(again)].flow), failed[len(again)].run)
			eventually(t, "resume "+f.name(), func() error {
				_, err := s.front.ResumeFlowRun(t.Context(), coordinator.FlowResume{Run: f.name(), Text: f.text})
				return err
			})
			again = append(again, f)
			return f
		})
	}
	for _, f := range again {
		got := s.ended(f)
		want := "SUCCESS"
		if slices.ContainsFunc(f.flow.Jobs, func(j *flowtest.Job) bool { return j.Status == "FAILED" }) { // by its gate
			want = "FAILED"
		}
		if followsOn(f.flow) && got.Outcome != want || got.Revision != 2 {
			t.Errorf("%s is mended, and %s in revision %d\n%s", f.name(), got.Outcome, got.Revision, f.text)
		}
		kept := settledOf(first[f.name()])
		if followsOn(f.flow) {
			s.came(f, got, kept)
		}
		ids := s.stepsOf(got)
		runs := s.starts([]*flowing{f}, map[string]*coordinator.FlowRunInfo{f.name(): got})
		for name := range kept {
			if n := runs[ids[name]]; n > 0 {
				t.Errorf("%s: %s had ended, and ran %d times in revision 2\n%s", f.name(), name, n, f.text)
			}
		}
	}
	t.Logf("%d flows, of which %d were resumed; copies: %d of work, %d of results", len(all), len(again), copier.Work.Load(), copier.Results.Load())
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
		if _, err := c.RunFlow(t.Context(), client.FlowStart{Text: broken.text, RunID: broken.run}); err == nil {
			t.Errorf("%s: it was answered", at.point)
		}
		s.dies(victim)
		got, err := s.front.RunFlow(t.Context(), coordinator.FlowRunSpec{Text: broken.text, RunID: broken.run})
		if err != nil || got.Existing != at.kept || got.Revision != 1 {
			t.Fatalf("%s: begun again: %+v, %v", at.point, got, err)
		}
		if got := s.ended(broken); got.Outcome != "FAILED" {
			t.Errorf("%s: the run is %s", at.point, got.Outcome)
		} else {
			s.came(broken, got, nil)
		}

		victim, c = s.served(at.point)
		if _, err := c.ResumeFlowRun(t.Context(), client.FlowResume{Run: whole.name(), Text: whole.text}); err == nil {
			t.Errorf("%s: the resume was answered", at.point)
		}
		s.dies(victim)
		eventually(t, "resume "+whole.name(), func() error {
			got, err = s.front.ResumeFlowRun(t.Context(), coordinator.FlowResume{Run: whole.name(), Text: whole.text})
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
	other := s.flowing(mended(broken.flow), "run")
	other.text = bytes.Replace(whole.text, []byte(`"n":2`), []byte(`"n":7`), 1)
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
		return c.RunFlow(t.Context(), client.FlowStart{Text: broken.text, RunID: broken.run})
	}); fresh != 1 || refused != 0 || len(trees) != 1 {
		t.Errorf("%d began the run, %d were refused, and there are %d trees", fresh, refused, len(trees))
	}
	s.ended(broken)
	fresh, refused, trees := atOnce(func(n int, c *client.Client) (*client.FlowRun, error) {
		return c.ResumeFlowRun(t.Context(), client.FlowResume{Run: broken.name(), Text: [][]byte{whole.text, other.text}[n%2]})
	})
	if fresh != 1 || refused != 6 || len(trees) != 1 {
		t.Errorf("%d resumed the run, %d were refused, and there are %d trees", fresh, refused, len(trees))
	}
	if got := s.ended(whole); got.Outcome != "SUCCESS" || got.Revision != 2 || len(got.Revisions) != 2 {
		t.Errorf("it is %s in revision %d of %d", got.Outcome, got.Revision, len(got.Revisions))
	}
}
