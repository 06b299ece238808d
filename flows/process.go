package flows

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// process is the type of steps that run a program.
const process = "external.process"

// process looks at what external.process wants of its inputs beyond their keys.
func (in *inputsOf) process() {
	tell := func(code Code, at, path, format string, args ...any) {
		v, _, _ := in.find(at)
		_, written, _ := in.find(path)
		in.told = append(in.told, path)
		in.c.at(code, v, in.loc+"."+written, format, args...)
	}
	get := func(path string) (v treefile.Value) {
		if at, _, there := in.find(path); there {
			v = at
		}
		return v
	}
	if command := get("command"); command.Given() {
		good := command.Kind() == '"' || command.Kind() == '[' && !slices.ContainsFunc(command.Items(), func(v treefile.Value) bool { return v.Kind() != '"' })
		if !good {
			tell(CodeProcessType, "command", "command", "must be a text or a list of texts")
		}
	}
	file := false
	for _, stream := range []string{"log.stdout", "log.stderr"} {
		v := get(stream)
		if !v.Given() || len(template.Tokens(textOf(v))) > 0 {
			continue
		}
		modes := []string{"inherit", "capture", "file", "discard"}
		if !slices.Contains(modes, textOf(v)) {
			tell(CodeProcessLog, stream, stream, "must be inherit, capture, file or discard")
		}
		file = file || textOf(v) == "file"
	}
	if file && !get("log.file_path").Given() {
		tell(CodeProcessLogFile, "log", "log.file_path", "must be there, as a log goes to a file")
	}
	if textOf(get("idempotency.strategy")) == "atomic_dir" {
		for _, name := range []string{"temp_output_dir", "final_output_dir"} {
			if !get("idempotency." + name).Given() {
				tell(CodeProcessDir, "idempotency", "idempotency."+name, "must be there, as the strategy is atomic_dir")
			}
		}
	}
}

// ownRetry makes the retries of a task of what the inputs of external.process say of them, and takes that out of the inputs, so that no wait counts twice. By retry_on_exit_codes and
// retry_on_timeout, which stay, the executor tells which failures another attempt may mend. nil: the inputs say nothing.
func (c *compiler) ownRetry(run *Step, inputs map[string]any) *Retry {
	block, is := inputs["retry"].(map[string]any)
	if !is {
		return nil
	}
	in := inputsOf{step: run, value: run.value.Get("inputs"), loc: run.loc + ".inputs"}
	number := func(name string, byDefault float64) float64 {
		v := block[name]
		delete(block, name)
		if v == nil {
			return byDefault
		}
		x, err := strconv.ParseFloat(fmt.Sprint(v), 64) // an environment has texts
		if err != nil {
			at, written, _ := in.find("retry." + name)
			c.at(CodeInput, at, in.loc+"."+written, "must be a number that is known when the run is made")
		}
		return x
	}
	out := &Retry{MaxAttempts: int(number("max_attempts", 1)), Backoff: number("backoff_seconds", 0), Multiplier: max(1, number("backoff_multiplier", 1)), Most: number("max_backoff_seconds", 0)}
	out.OnTimeout, _ = block["retry_on_timeout"].(bool)
	return out
}
