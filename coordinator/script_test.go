package coordinator_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// The language of the scripts is described in testdata/stories/README.md.

// step is one command of a script and the output that follows it.
type step struct {
	comment string // lines above the command, as written
	line    int
	words   []string // of the command
	tasks   []string // the lines below a submit
	want    string
}

// parseScript reads a script.
func parseScript(text string) ([]*step, error) {
	var steps []*step
	comment := ""
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		if lines[i] == "" || strings.HasPrefix(lines[i], "#") {
			comment += lines[i] + "\n"
			continue
		}
		s := &step{comment: comment, line: i + 1, words: strings.Fields(lines[i])}
		comment = ""
		for i++; i < len(lines) && lines[i] != "----"; i++ {
			s.tasks = append(s.tasks, lines[i])
		}
		if i == len(lines) {
			return nil, fmt.Errorf("line %d: no ---- after the command", s.line)
		}
		for i++; i < len(lines) && lines[i] != ""; i++ {
			s.want += lines[i] + "\n"
		}
		i-- // the empty line belongs to the next comment
		steps = append(steps, s)
	}
	return steps, nil
}

// writeScript is the opposite of parseScript.
func writeScript(steps []*step) string {
	var b strings.Builder
	for _, s := range steps {
		b.WriteString(s.comment + strings.Join(s.words, " ") + "\n")
		for _, t := range s.tasks {
			b.WriteString(t + "\n")
		}
		b.WriteString("----\n" + s.want)
	}
	return b.String()
}

// script is a script that runs.
type script struct {
	svc      coordinator.Service
	hands    *hands
	prefix   string        // of its tasks' ids in the cluster
	patience time.Duration // how long an output may take to become what is wanted
	rewrite  bool          // take outputs as they come
	rest     time.Duration // how long nothing must change before a rewritten output is taken; 0: rest
	tree     string        // the id of the tree that was submitted last; empty: none
}

// rest is how long nothing must change before a rewritten output is taken, where a script says nothing else, and how long the last one must stay
// as it is.
const rest = 300 * time.Millisecond

// stuck is how long the system may take for anything: a script that waits longer has failed.
const stuck = 2 * time.Minute

// run runs the steps; see step. What the last one shows must stay so for a while.
func (s *script) run(ctx context.Context, steps []*step) error {
	for i, st := range steps {
		show, err := s.step(ctx, st)
		if err == nil && i == len(steps)-1 && !s.rewrite {
			time.Sleep(rest)
			err = st.compare(show())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// step runs one step until its output is as wanted; with rewrite, what comes is wanted. show gives the output again. The
// error names the step's line.
func (s *script) step(ctx context.Context, st *step) (show func() string, err error) {
	answer, look, err := s.do(ctx, st)
	if err != nil {
		return nil, fmt.Errorf("line %d: %s: %w", st.line, strings.Join(st.words, " "), err)
	}
	show = func() string { return strings.ReplaceAll(answer+look(), s.prefix, "") }
	if s.rewrite {
		st.want = settledText(show, cmp.Or(s.rest, rest))
		return show, nil
	}
	got := show()
	for end := time.Now().Add(s.patience); got != st.want && time.Now().Before(end); got = show() {
		time.Sleep(5 * time.Millisecond)
	}
	return show, st.compare(got)
}

func (st *step) compare(got string) error {
	if got == st.want {
		return nil
	}
	return fmt.Errorf("line %d: %s: got\n%swant\n%s", st.line, strings.Join(st.words, " "), got, st.want)
}

// settledText calls show until it gives the same for a while.
func settledText(show func() string, rest time.Duration) string {
	got, since := show(), time.Now()
	for time.Since(since) < rest {
		time.Sleep(5 * time.Millisecond)
		if now := show(); now != got {
			got, since = now, time.Now()
		}
	}
	return got
}

// do carries out a command. answer is what it was answered; look shows what it has brought about so far.
func (s *script) do(ctx context.Context, st *step) (answer string, look func() string, err error) {
	state := func() string { return s.state(ctx) }
	name, args := st.words[0], st.words[1:]
	if name == "submit" {
		answer, err = s.submit(ctx, args, st.tasks)
		return answer, state, err
	}
	if len(st.tasks) > 0 {
		return "", nil, errors.New("only submit takes more lines")
	}
	if len(args) == 0 && name != "events" {
		return "", nil, errors.New("no task is named")
	}
	id, text := "", ""
	if len(args) > 0 {
		id, text = s.prefix+args[0], strings.Join(args[1:], " ")
	}
	switch name {
	case "finish":
		return "", state, s.end(ctx, id, order{result: orDefault(text, "{}")})
	case "fail":
		return "", state, s.end(ctx, id, order{fail: orDefault(text, "no luck")})
	case "cancel":
		answer, err = s.cancel(ctx, id, text)
		return answer, state, err
	case "execute":
		answer, err = s.execute(ctx, id, text)
		return answer, state, err
	case "why":
		return "", func() string { return s.why(ctx, id) }, nil
	case "task":
		return "", func() string { return s.task(ctx, id) }, nil
	case "attempts":
		return "", func() string { return s.attempts(ctx, id) }, nil
	case "events":
		return "", func() string { return s.events(ctx) }, nil
	}
	return "", nil, errors.New("no such command")
}

func orDefault(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func (s *script) submit(ctx context.Context, args, lines []string) (string, error) {
	var opts coordinator.SubmitOptions
	for _, a := range args {
		if a != "hold" {
			return "", fmt.Errorf("no such option: %s", a)
		}
		opts.Hold = true
	}
	tasks, err := parseTasks(lines, s.prefix)
	if err != nil {
		return "", err
	}
	out, err := s.svc.Submit(ctx, opts, cluster.Seq(tasks))
	if bad, ok := errors.AsType[*dag.InvalidTreeError](err); ok {
		s.tree = ""
		return fmt.Sprintf("refused: %s\n", bad), nil
	}
	if err != nil {
		return "", err
	}
	s.tree = out.TreeID
	return "", nil
}

// parseTasks reads tasks, one a line, each below its parent by two spaces.
func parseTasks(lines []string, prefix string) ([]*dag.Task, error) {
	var tasks []*dag.Task
	var above []string // ids of the ancestors
	for _, line := range lines {
		name, options, _ := strings.Cut(strings.TrimLeft(line, " "), ":")
		depth := (len(line) - len(strings.TrimLeft(line, " "))) / 2
		if depth > len(above) || name == "" {
			return nil, fmt.Errorf("%q is too far in, or has no name", line)
		}
		t := &dag.Task{ID: prefix + name, Name: name, Executor: apitest.HandExecutor, Priority: dag.Normal}
		if depth > 0 {
			t.ParentRef = above[depth-1]
		}
		above = append(above[:depth], t.ID)
		for option := range strings.SplitSeq(options, ",") {
			if err := setOption(t, strings.Fields(option), prefix); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		tasks = append(tasks, t)
	}
	return tasks, nil
}

func setOption(t *dag.Task, words []string, prefix string) error {
	if len(words) == 0 {
		return nil
	}
	switch args := words[1:]; {
	case words[0] == "group" && len(args) == 0:
		t.Executor = ""
	case words[0] == "executor" && len(args) == 1:
		t.Executor = args[0]
	case words[0] == "pool" && len(args) == 1:
		t.Pool = args[0]
	case words[0] == "attempts" && len(args) == 1:
		n, err := strconv.Atoi(args[0])
		t.Retry = dag.RetryPolicy{MaxAttempts: n, InitialDelay: time.Millisecond}
		return err
	case (words[0] == "needs" || words[0] == "after") && len(args) > 0:
		for _, a := range args {
			t.Dependencies = append(t.Dependencies, dag.Dependency{Ref: prefix + a, Optional: words[0] == "after"})
		}
	default:
		return fmt.Errorf("no such option: %s", strings.Join(words, " "))
	}
	return nil
}

// end waits until the task runs, ends its attempt by hand, and waits until that is recorded.
func (s *script) end(ctx context.Context, id string, o order) error {
	var attempt int
	runs := func(t *coordinator.Task) bool { attempt = t.Attempt; return t.State == dag.Running }
	if err := s.until(ctx, id, runs); err != nil {
		return err
	}
	select {
	case s.hands.of(id) <- o:
	case <-time.After(stuck):
		return errors.New("its executor takes no orders")
	}
	return s.until(ctx, id, func(t *coordinator.Task) bool { return t.State != dag.Running || t.Attempt != attempt })
}

func (s *script) until(ctx context.Context, id string, ok func(*coordinator.Task) bool) error {
	for end := time.Now().Add(stuck); ; time.Sleep(5 * time.Millisecond) {
		t, err := s.svc.Task(ctx, id)
		switch {
		case err != nil:
			return err
		case ok(t):
			return nil
		case time.Now().After(end):
			return fmt.Errorf("the task stays %s", t.State)
		}
	}
}

func (s *script) cancel(ctx context.Context, id, reason string) (string, error) {
	out, err := s.svc.Cancel(ctx, id, coordinator.CancelOptions{Reason: reason})
	switch {
	case err != nil:
		return "", err
	case out.Outcome == coordinator.AlreadyEnded:
		return fmt.Sprintf("already ended: %s\n", out.Status), nil
	}
	return fmt.Sprintf("cancelled: %s\n", out.Reason), nil
}

func (s *script) execute(ctx context.Context, id, options string) (string, error) {
	var opts coordinator.ExecuteOptions
	for _, option := range strings.Fields(options) {
		switch option {
		case "force":
			opts.Force = true
		case "cancelled":
			opts.RerunCancelled = true
		case "dependencies":
			opts.RerunDependencies = true
		default:
			return "", fmt.Errorf("no such option: %s", option)
		}
	}
	out, err := s.svc.Execute(ctx, id, opts)
	switch {
	case errors.Is(err, coordinator.ErrConflict):
		return err.Error() + "\n", nil
	case err != nil:
		return "", err
	case out.Outcome == coordinator.NothingToDo:
		return "nothing to do\n", nil
	case out.Outcome == coordinator.AlreadyRunning:
		return "already running\n", nil
	case out.Outcome == coordinator.WasCancelled:
		return fmt.Sprintf("refused: %s was cancelled\n", out.Cancelled), nil
	}
	return fmt.Sprintf("started: %d\n", out.Tasks), nil
}
