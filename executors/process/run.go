package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/guardian"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// run is one attempt.
type run struct {
	e         *Executor
	call      *executors.Call
	in        *input
	workspace *workdir.Workspace

	checks *checks
	atomic *atomicDir     // nil: nothing is published
	answer string         // directory of the result file
	stdout *workdir.Spill // nil: not kept
	stderr *workdir.Spill
	told   []io.Closer // outputs whose lines are reported
	log    *logFile    // nil: none
	logAt  workdir.Spot
}

func (r *run) do(ctx context.Context) (*executors.Outcome, error) {
	var err error
	if r.checks, err = newChecks(r.workspace.Sandbox, &r.in.Success); err != nil {
		return nil, err
	}
	if out, err := r.marked(ctx); out != nil || err != nil {
		return out, err
	}
	cmd, err := r.prepare()
	if err != nil {
		_ = r.close()
		return nil, err
	}
	defer r.discard()
	limited, cancel := r.limit(ctx)
	status, err := guardian.Run(limited, cmd)
	cancel()
	if wrong := r.close(); wrong != nil && err == nil {
		err = wrong
	}
	if status.Left > 0 {
		r.call.Reporter.Log("log", fmt.Sprintf("%d processes of another user could not be killed", status.Left))
	}
	if err != nil {
		return nil, r.stopped(ctx, err)
	}
	code := status.Code
	if status.Signal != 0 {
		code = -int(status.Signal)
	}
	if !slices.Contains(r.in.Success.ExitCodes, code) {
		return nil, r.exited(status, code)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	result, kept, err := r.result(code)
	if err != nil {
		return nil, err
	}
	if err := r.checks.pass(r.atomic); err != nil {
		return nil, err
	}
	shown, err := workdir.Keep(ctx, r.call, result, kept...)
	if err != nil {
		return nil, err
	}
	if r.atomic != nil {
		if err := r.atomic.publish(); err != nil {
			return nil, err
		}
	}
	if shown, err = r.workspace.Keep(ctx, shown); err != nil {
		return nil, err
	}
	return executors.Completed(shown), nil
}

// marked is the outcome of work that is done already; nil: it is not.
func (r *run) marked(ctx context.Context) (*executors.Outcome, error) {
	i := &r.in.Idempotency
	if i.Strategy != "marker" {
		return nil, nil
	}
	const field = "idempotency.marker_path"
	marker, err := r.workspace.At(field, i.Marker)
	if err != nil {
		return nil, err
	}
	if there, err := marker.Exists(field); !there || err != nil {
		return nil, err
	}
	if err := r.checks.pass(nil); executors.KindOf(err) == KindOutput {
		return nil, nil // the work is not done, whatever the marker says
	} else if err != nil {
		return nil, err
	}
	result, err := r.workspace.KeepShared(ctx, map[string]any{"skipped": true, "marker": marker.Shown()}) // an attempt that failed may have left what it says
	if err != nil {
		return nil, err
	}
	return executors.Skip("marker_present", result), nil
}

// prepare makes all that the program finds. What it opens, close closes.
func (r *run) prepare() (cmd guardian.Command, err error) {
	in := r.in
	cmd = guardian.Command{Dir: r.workspace.Dir(), Lease: r.call.Lease, Grace: in.grace()}
	if in.Cwd != "" {
		if cmd.Dir, err = r.cwd(); err != nil {
			return cmd, err
		}
	}
	if in.Idempotency.Strategy == "atomic_dir" {
		if r.atomic, err = newAtomicDir(r.workspace.Sandbox, &in.Idempotency); err != nil {
			return cmd, err
		}
		if err = r.atomic.begin(); err != nil {
			return cmd, err
		}
	}
	if r.answer, err = r.workspace.Scratch("result"); err != nil {
		return cmd, err
	}
	if cmd.Env, err = r.environment(); err != nil {
		return cmd, err
	}
	if in.argv == nil {
		cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", in.line}
	} else if cmd.Path, err = r.e.programs.Program(in.argv, cmd.Env, cmd.Dir); err != nil {
		return cmd, invalid("command: %v", err)
	} else {
		cmd.Args = in.argv
	}
	if in.filed() {
		if err = r.openLog(); err != nil {
			return cmd, err
		}
	}
	cmd.Stdout, r.stdout = r.output("stdout", in.Log.Stdout)
	cmd.Stderr, r.stderr = r.output("stderr", in.Log.Stderr)
	return cmd, nil
}

func (r *run) cwd() (string, error) {
	const field = "cwd"
	at, err := r.workspace.At(field, r.in.Cwd)
	if err != nil {
		return "", err
	}
	info, err := at.Root.Stat(at.Name)
	if err != nil {
		return "", at.Err(field, err)
	}
	if !info.IsDir() {
		return "", executors.Permanent(fmt.Errorf("%s: %.200q is not a directory", field, r.in.Cwd))
	}
	return at.Path, nil
}

// output is where one of the program's outputs goes, and what keeps it, if it is kept.
func (r *run) output(stream, mode string) (io.Writer, *workdir.Spill) {
	switch mode {
	case "discard":
		return nil, nil
	case "file":
		if r.log.redact == nil {
			return r.log.file, nil // the program writes there itself
		}
		return r.log, nil
	case "capture":
		most := r.in.capture(r.e.cfg.MaxOutputBytes)
		s := workdir.NewSpill(r.call, executors.NewOutput(most, r.call.Reporter, stream), most, "")
		r.told = append(r.told, s)
		return s, s
	}
	lines := executors.NewOutput(1, r.call.Reporter, stream) // what it keeps is of no use
	r.told = append(r.told, lines)
	return lines, nil
}

// limit gives the attempt its own time limit.
func (r *run) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	seconds, err := r.in.Timeout.Float64()
	if err != nil { // there is none: the inputs were checked
		return context.WithCancel(ctx)
	}
	const most = 1 << 53 / float64(time.Second) // 104 days
	limit := time.Duration(min(seconds, most) * float64(time.Second))
	return context.WithTimeoutCause(ctx, limit, errTimeUp)
}

var errTimeUp = errors.New("time is up")

// close ends the outputs: last lines are reported, and the log file is complete.
func (r *run) close() error {
	var err error
	for _, out := range r.told {
		_ = out.Close()
	}
	if r.log != nil {
		err = r.logAt.Err("log.file_path", r.log.Close())
		r.log = nil
	}
	return err
}

// stopped is the error of a program that did not come to its end.
func (r *run) stopped(ctx context.Context, err error) error {
	start, ok := errors.AsType[*guardian.StartError](err)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errTimeUp):
		text := fmt.Errorf("the program timed out after %s seconds", r.in.Timeout)
		return r.in.again(r.call, executors.WithKind(text, executors.KindTimeout), r.in.Retry == nil || r.in.Retry.OnTimeout)
	case errors.Is(err, guardian.ErrLeaseEnded):
		return executors.ErrLeaseLost
	case ok && !passing(start.Err):
		return invalid("%v", err)
	}
	return err
}

// passing reports whether a program failed to start for lack of something that may be available later.
func passing(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// discard lets go of outputs that are in files.
func (r *run) discard() {
	for _, out := range []*workdir.Spill{r.stdout, r.stderr} {
		if out != nil {
			out.Discard()
		}
	}
}

// maxErrorBytes bounds how much of stderr an error shows.
const maxErrorBytes = 1000

// exited is the error of a program that failed by its exit code.
func (r *run) exited(status guardian.Status, code int) error {
	how := fmt.Sprintf("the program ended with exit code %d", code)
	if status.Signal != 0 {
		how = fmt.Sprintf("the program was ended by signal %d (%s)", int(status.Signal), status.Signal)
	}
	if r.stderr != nil {
		if said := r.stderr.String(); said != "" {
			if len(said) > maxErrorBytes {
				said = "… " + strings.ToValidUTF8(said[len(said)-maxErrorBytes:], "")
			}
			how += ": " + said
		}
	}
	listed := r.in.Retry == nil || slices.Contains(r.in.Retry.ExitCodes, code)
	return r.in.again(r.call, executors.WithKind(errors.New(how), executors.KindExit), listed)
}

// environment is the program's.
func (r *run) environment() ([]string, error) {
	flow := r.flow()
	set := map[string]string{}
	inherits := r.in.InheritEnv == nil || *r.in.InheritEnv
	if inherits {
		for name, value := range flow.Env {
			if r.e.programs.MaySet(name) {
				set[name] = value
			}
		}
	}
	for name, value := range r.in.Env {
		set[name] = ""
		if value != nil {
			set[name] = string(*value)
		}
	}
	with := r.e.programs.Environment
	if !inherits {
		with = r.e.programs.Instead
	}
	env, err := with(r.call, set)
	if err != nil {
		return nil, invalid("%v", err)
	}
	told := map[string]string{
		"FLOW_ID": flow.Flow, "RUN_ID": flow.Run, "JOB_ID": flow.Job, "STEP_ID": flow.Step,
		"ARTIFACTS_DIR": r.workspace.Dir(), "RESULT_FILE": filepath.Join(r.answer, resultFile),
	}
	if r.atomic != nil {
		told["OUTPUT_DIR"] = r.atomic.temp.Path
	}
	for name, value := range told {
		if value != "" {
			env = append(env, "TASKGROVE_"+name+"="+value)
		}
	}
	for _, name := range []string{"FLOW_ID", "RUN_ID", "OUTPUT_DIR"} { // by which programs know them that were written for AetherFlow
		if _, own := set["AETHERFLOW_"+name]; !own && told[name] != "" {
			env = append(env, "AETHERFLOW_"+name+"="+told[name])
		}
	}
	if b := r.call.Bundle; b != nil {
		env = append(env, "TASKGROVE_BUNDLE_DIR="+b.Dir, "AETHERFLOW_ACTIVE_DIR="+b.Dir, "AETHERFLOW_LOCAL_ROOT_DIR="+b.Dir, "AETHERFLOW_CACHE_DIR="+b.Cache)
	}
	for name, path := range r.workspace.Env {
		env = append(env, name+"="+path)
	}
	return env, nil
}

// coordinates are what params say of the flow that the task is a step of.
type coordinates struct {
	Flow string            `json:"flow_id"`
	Run  string            `json:"run_id"`
	Job  string            `json:"job_id"`
	Step string            `json:"step_id"`
	Env  map[string]string `json:"env"` // of the run, without secrets
}

func (r *run) flow() (c coordinates) {
	if len(r.call.Params) > 2 && inputs.Decode(ID, &executors.Call{Inputs: r.call.Params}, &c) != nil {
		return coordinates{} // params are anybody's
	}
	for _, text := range []*string{&c.Flow, &c.Run, &c.Job, &c.Step} {
		if strings.ContainsRune(*text, 0) {
			*text = ""
		}
	}
	return c
}

// result is what the program has given, and the outputs in it that may become artifacts.
func (r *run) result(code int) (result map[string]any, kept []workdir.Kept, err error) {
	result = map[string]any{"exit_code": code, "attempts": r.call.Attempt}
	cut := map[string]bool{}
	for name, out := range map[string]*workdir.Spill{"stdout": r.stdout, "stderr": r.stderr} {
		if out == nil {
			continue
		}
		result[name] = executors.Text(out.Bytes())
		cut[name] = out.Truncated()
		kept = append(kept, workdir.Kept{Name: name, Output: out})
	}
	if names := executors.TruncatedFields(cut); len(names) > 0 {
		result["truncated"], result["truncated_fields"] = true, names
	}
	if r.in.filed() {
		result["log_file"] = r.logAt.Shown()
	}
	if err := r.answered(result); err != nil {
		return nil, nil, err
	}
	for name, value := range r.in.Outputs {
		result[name] = value
	}
	return result, kept, nil
}

// openLog opens the file that outputs are appended to.
func (r *run) openLog() (err error) {
	const field = "log.file_path"
	at, err := r.workspace.At(field, r.in.Log.File)
	if err == nil {
		err = at.Writable(field)
	}
	if err != nil {
		return err
	}
	if err := at.Root.MkdirAll(filepath.Dir(at.Name), 0o755); err != nil {
		return at.Err(field, err)
	}
	f, err := at.Root.OpenFile(at.Name, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, 0o644)
	if err != nil {
		return at.Err(field, err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return executors.Permanent(fmt.Errorf("%s: %.200q is no plain file", field, r.in.Log.File))
	}
	r.log, r.logAt = &logFile{file: f, redact: r.call.Redact}, at
	return nil
}
