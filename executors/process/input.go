package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/programs"
)

// Bounds of the inputs.
const (
	defaultGrace = 15 // seconds
	maxGrace     = 3600
	maxChecks    = 1000 // paths of a success check
)

// input are the inputs as they are read; see the schema for what they mean.
type input struct {
	Command     json.RawMessage  `json:"command"`
	Args        []word           `json:"args"`
	Shell       bool             `json:"shell"`
	Cwd         string           `json:"cwd"`
	InheritEnv  *bool            `json:"inherit_env"`
	Env         map[string]*word `json:"env"`
	Timeout     json.Number      `json:"timeout_seconds"`
	Grace       *int             `json:"kill_grace_seconds"`
	Log         logging          `json:"log"`
	Success     success          `json:"success"`
	Idempotency idempotency      `json:"idempotency"`
	Retry       *retry           `json:"retry"`

	Outputs map[string]json.RawMessage `json:"outputs"`

	argv []string // nil: line is for the shell
	line string
}

type logging struct {
	Stdout     string `json:"stdout"`
	Stderr     string `json:"stderr"`
	MaxCapture *int   `json:"max_capture_kb"`
	File       string `json:"file_path"`
}

type success struct {
	ExitCodes    codes  `json:"exit_codes"`
	RequireFiles list   `json:"require_files"`
	RequireGlob  list   `json:"require_glob"`
	ForbidFiles  list   `json:"forbid_files"`
	Marker       string `json:"marker_file"`
}

type idempotency struct {
	Strategy string `json:"strategy"`
	Marker   string `json:"marker_path"`
	Temp     string `json:"temp_output_dir"`
	Final    string `json:"final_output_dir"`
	Rename   *bool  `json:"atomic_rename"`
}

type retry struct {
	MaxAttempts int     `json:"max_attempts"`
	Backoff     float64 `json:"backoff_seconds"`
	Multiplier  float64 `json:"backoff_multiplier"`
	MaxBackoff  float64 `json:"max_backoff_seconds"`
	ExitCodes   codes   `json:"retry_on_exit_codes"`
	OnTimeout   bool    `json:"retry_on_timeout"`
}

// word is a text, or what YAML makes of one: a number as it is written, true or false.
type word string

// UnmarshalJSON implements [json.Unmarshaler].
func (w *word) UnmarshalJSON(text []byte) error {
	switch text[0] {
	case '"':
		return json.Unmarshal(text, (*string)(w))
	case '{', '[', 'n':
		return errors.New("want a text, a number, true or false")
	}
	*w = word(text)
	return nil
}

// list is a text, or several.
type list []string

// UnmarshalJSON implements [json.Unmarshaler].
func (l *list) UnmarshalJSON(text []byte) error {
	if text[0] == '"' {
		*l = list{""}
		return json.Unmarshal(text, &(*l)[0])
	}
	return json.Unmarshal(text, (*[]string)(l))
}

// codes are exit codes: one, or several.
type codes []int

// UnmarshalJSON implements [json.Unmarshaler].
func (c *codes) UnmarshalJSON(text []byte) error {
	if text[0] != '[' && string(text) != "null" {
		*c = codes{0}
		return json.Unmarshal(text, &(*c)[0])
	}
	return json.Unmarshal(text, (*[]int)(c))
}

// Renamed says that an input was called by a name that only the handbook of AetherFlow has.
type Renamed struct{ Old, New string }

// renames are such names, each with the object that holds it.
var renames = []struct {
	in       string
	old, new string
	times    int64 // the new one is in units of so many of the old one
}{
	{"", "cmd", "command", 0}, {"retry", "sleep_seconds", "backoff_seconds", 0},
	{"success", "required_files", "require_files", 0}, {"success", "required_globs", "require_glob", 0}, {"success", "forbidden_files", "forbid_files", 0},
	{"log", "max_capture_bytes", "max_capture_kb", 1024},
}

// Rename gives inputs that the handbook of AetherFlow spells in its way the names that count, and says which it has changed. Where both names are there,
// and what is no object, stays as it is.
func Rename(inputs json.RawMessage) (json.RawMessage, []Renamed) {
	var all map[string]json.RawMessage
	if json.Unmarshal(inputs, &all) != nil {
		return inputs, nil
	}
	var done []Renamed
	for _, r := range renames {
		holder, at := all, ""
		if r.in != "" {
			holder, at = nil, r.in+"."
			if json.Unmarshal(all[r.in], &holder) != nil {
				continue
			}
		}
		value, old := holder[r.old]
		if _, both := holder[r.new]; !old || both {
			continue
		}
		if n, err := strconv.ParseInt(string(value), 10, 64); r.times > 0 && err == nil {
			value = strconv.AppendInt(nil, (n+r.times-1)/r.times, 10)
		} else if r.times > 0 && bytes.Contains(value, []byte("{{")) {
			continue // its number is known once it is rendered
		}
		delete(holder, r.old)
		holder[r.new] = value
		if r.in != "" {
			all[r.in], _ = json.Marshal(holder) // it was read from JSON
		}
		done = append(done, Renamed{at + r.old, at + r.new})
	}
	if len(done) == 0 {
		return inputs, nil
	}
	out, err := json.Marshal(all)
	if err != nil {
		return inputs, nil
	}
	return out, done
}

// read reads the inputs and looks for everything that is wrong with them.
func read(call *executors.Call, confined bool) (*input, error) {
	in := &input{}
	given := *call
	renamed := []Renamed(nil)
	given.Inputs, renamed = Rename(call.Inputs)
	if err := inputs.Decode(ID, &given, in); err != nil {
		return nil, err
	}
	for _, r := range renamed {
		call.Reporter.Log("log", fmt.Sprintf("inputs.%s is an old name of %s", r.Old, r.New))
	}
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	in.readCommand(confined, fault)
	in.check(fault)
	if len(faults) > 0 {
		return nil, invalid("%s", strings.Join(faults, "; "))
	}
	return in, nil
}

// readCommand finds what is to be run.
func (in *input) readCommand(confined bool, fault func(string, ...any)) {
	var words []word
	var line string
	switch raw := in.Command; {
	case len(raw) == 0 || string(raw) == "null":
		fault("command is required in inputs")
		return
	case raw[0] == '"':
		if json.Unmarshal(raw, &line) != nil || strings.TrimSpace(line) == "" {
			fault("command must not be empty")
			return
		}
	default:
		if raw[0] != '[' || json.Unmarshal(raw, &words) != nil || len(words) == 0 || words[0] == "" {
			fault("command must be a text, or a list of texts that begins with a program")
			return
		}
	}
	if words == nil && in.Shell {
		if confined {
			fault("shell: there is none while a whitelist of commands is in force")
		}
		in.line = line
		for _, arg := range in.Args {
			in.line += " " + quote(string(arg))
		}
		if strings.ContainsRune(in.line, 0) {
			fault("command: contains a NUL")
		}
		return
	}
	if words == nil {
		var err error
		if in.argv, err = programs.Split(line); err != nil {
			fault("command: %v (shell: true gives it to the shell as it is)", err)
			return
		}
	}
	for _, w := range slices.Concat(words, in.Args) {
		in.argv = append(in.argv, string(w))
	}
}

// quote makes one word of a shell of any text.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// check looks for what the schema can't say.
func (in *input) check(fault func(string, ...any)) {
	oneOf := func(field string, value *string, words ...string) {
		if *value = strings.ToLower(*value); *value == "" {
			*value = words[0]
		}
		if !slices.Contains(words, *value) {
			fault("%s must be one of %s", field, strings.Join(words, ", "))
		}
	}
	oneOf("log.stdout", &in.Log.Stdout, "inherit", "capture", "file", "discard")
	oneOf("log.stderr", &in.Log.Stderr, "inherit", "capture", "file", "discard")
	oneOf("idempotency.strategy", &in.Idempotency.Strategy, "none", "marker", "atomic_dir")
	if in.filed() && in.Log.File == "" {
		fault("log.file_path is required where log.stdout or log.stderr is file")
	}
	if most := in.Log.MaxCapture; most != nil && *most < 1 {
		fault("log.max_capture_kb must be 1 at least")
	}
	if g := in.Grace; g != nil && (*g < 0 || *g > maxGrace) {
		fault("kill_grace_seconds must be 0 to %d", maxGrace)
	}
	if in.Timeout != "" {
		if n, err := in.Timeout.Float64(); err != nil || !(n > 0) {
			fault("timeout_seconds must be a number above 0")
		}
	}
	switch i := &in.Idempotency; i.Strategy {
	case "marker":
		if i.Marker == "" {
			i.Marker = in.Success.Marker
		}
		if i.Marker == "" {
			fault("idempotency.marker_path, or success.marker_file, is required for the strategy marker")
		}
	case "atomic_dir":
		if i.Temp == "" || i.Final == "" {
			fault("idempotency.temp_output_dir and idempotency.final_output_dir are required for the strategy atomic_dir")
		}
	}
	if len(in.Success.RequireFiles)+len(in.Success.RequireGlob)+len(in.Success.ForbidFiles) > maxChecks {
		fault("success has more than %d paths", maxChecks)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Outputs)) {
		if name == "" {
			fault("outputs: a name is empty")
		}
	}
	if r := in.Retry; r != nil && (r.MaxAttempts < 0 || r.Backoff < 0 || r.Multiplier < 0 || r.MaxBackoff < 0) {
		fault("retry has a negative number")
	}
	if len(in.Success.ExitCodes) == 0 {
		in.Success.ExitCodes = codes{0}
	}
}

// filed reports whether an output goes into the log file.
func (in *input) filed() bool { return in.Log.Stdout == "file" || in.Log.Stderr == "file" }

// grace is the time from SIGTERM to SIGKILL.
func (in *input) grace() time.Duration {
	if in.Grace == nil {
		return defaultGrace * time.Second
	}
	return max(time.Millisecond, time.Duration(*in.Grace)*time.Second)
}

// capture is how many bytes of an output are kept.
func (in *input) capture(most int) int {
	if most <= 0 {
		most = executors.DefaultOutputBytes
	}
	if n := in.Log.MaxCapture; n != nil && *n < most>>10 {
		return *n << 10
	}
	return most
}

// again marks a failure by what retry says of it: without retry, the task's own policy counts alone.
func (in *input) again(call *executors.Call, err error, listed bool) error {
	r := in.Retry
	switch {
	case r == nil:
		return err
	case !listed:
		return executors.Permanent(err)
	}
	multiplier := r.Multiplier
	if multiplier == 0 {
		multiplier = 1
	}
	pause := r.Backoff * math.Pow(multiplier, float64(max(0, call.Attempt-1)))
	if r.MaxBackoff > 0 {
		pause = min(pause, r.MaxBackoff)
	}
	return executors.RetryAfter(err, time.Duration(min(pause, 3600)*float64(time.Second)))
}
