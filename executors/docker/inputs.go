package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// input is what a task says (spec 8.7). Fields of several forms are read later, so that all faults can be told at once.
type input struct {
	Image        string                     `json:"image"`
	Command      json.RawMessage            `json:"command"`
	Entrypoint   json.RawMessage            `json:"entrypoint"`
	Env          map[string]json.RawMessage `json:"env"`
	Volumes      map[string]json.RawMessage `json:"volumes"`
	Tmpfs        map[string]json.RawMessage `json:"tmpfs"`
	WorkingDir   string                     `json:"working_dir"`
	User         string                     `json:"user"`
	Stdin        json.RawMessage            `json:"stdin"`
	Timeout      json.Number                `json:"timeout"`
	Remove       *bool                      `json:"remove"`
	Resources    resources                  `json:"resources"`
	GPUs         json.RawMessage            `json:"gpus"`
	Network      json.RawMessage            `json:"network"`
	Pull         Pull                       `json:"pull"`
	RegistryAuth *Auth                      `json:"registry_auth"`
	ReadOnly     bool                       `json:"read_only"`
	Init         bool                       `json:"init"`
	StopGrace    float64                    `json:"stop_grace"`
	CapDrop      []string                   `json:"cap_drop"`
	CapAdd       []string                   `json:"cap_add"`
	Privileged   bool                       `json:"privileged"`
	Devices      []string                   `json:"devices"`
	Namespaces   []string                   `json:"host_namespaces"`
	SecurityOpt  []string                   `json:"security_opt"`
	Separate     bool                       `json:"separate"`
	FailOnError  bool                       `json:"fail_on_error"`
}

type resources struct {
	CPU    json.RawMessage `json:"cpu"`
	Memory json.RawMessage `json:"memory"`
	Pids   int64           `json:"pids"`
	Shm    json.RawMessage `json:"shm"`
}

// reading collects the faults of inputs.
type reading struct{ faults []string }

func (r *reading) fault(field string, err error) {
	if err != nil {
		r.faults = append(r.faults, field+": "+err.Error())
	}
}

// parse reads inputs. The error has all faults, and no value of a field that may be secret.
func parse(call *executors.Call) (*input, Container, error) {
	in := &input{}
	if err := inputs.Decode(ID, call, in); err != nil {
		return nil, Container{}, err
	}
	r := &reading{}
	if strings.TrimSpace(in.Image) == "" {
		return nil, Container{}, invalid("image is required in inputs")
	}
	c := Container{
		Image: in.Image, Pull: in.Pull, Auth: in.RegistryAuth, User: in.User, WorkingDir: in.WorkingDir,
		ReadOnly: in.ReadOnly, Init: in.Init, CapDrop: in.CapDrop, CapAdd: in.CapAdd, Privileged: in.Privileged,
		Devices: in.Devices, Namespaces: in.Namespaces, SecurityOpt: in.SecurityOpt,
		Pids: in.Resources.Pids, Keep: in.Remove != nil && !*in.Remove,
		Grace: time.Duration(max(0, in.StopGrace) * float64(time.Second)),
	}
	var err error
	if c.Command, err = words(in.Command); missing(in.Command) || err == nil && c.Command == nil {
		return nil, Container{}, invalid("command is required in inputs")
	}
	r.fault("command", err)
	c.Entrypoint, err = words(in.Entrypoint)
	r.fault("entrypoint", err)
	c.Networks, err = listed(in.Network)
	r.fault("network", err)
	c.GPUs, err = gpus(in.GPUs)
	r.fault("gpus", err)
	r.maps(in, &c)
	r.resources(&in.Resources, &c)
	if auth := in.RegistryAuth; auth != nil && auth.IdentityToken == "" && (auth.Username == "" || auth.Password == "") {
		r.fault("registry_auth", errors.New("needs username and password, or identity_token"))
	}
	if len(r.faults) > 0 {
		return nil, Container{}, invalid(strings.Join(r.faults, "; "))
	}
	return in, c, nil
}

// maps reads env, volumes and tmpfs.
func (r *reading) maps(in *input, c *Container) {
	c.Env = map[string]string{}
	for name, raw := range in.Env {
		var value any
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.UseNumber()
		_ = decoder.Decode(&value)
		switch value := value.(type) {
		case string:
			c.Env[name] = value
		case json.Number:
			c.Env[name] = value.String()
		case bool:
			c.Env[name] = strconv.FormatBool(value)
		default:
			r.fault("env", fmt.Errorf("%q must be a text", name))
		}
	}
	for _, source := range slices.Sorted(maps.Keys(in.Volumes)) {
		m, err := mountOf(source, in.Volumes[source])
		r.fault("volumes", err)
		c.Mounts = append(c.Mounts, m)
	}
	for target, raw := range in.Tmpfs {
		size, err := bytesOf(raw)
		r.fault("tmpfs", err)
		if c.Tmpfs == nil {
			c.Tmpfs = map[string]int64{}
		}
		c.Tmpfs[target] = size
	}
}

func (r *reading) resources(in *resources, c *Container) {
	var err error
	c.Memory, err = bytesOf(in.Memory)
	r.fault("resources.memory", err)
	c.Shm, err = bytesOf(in.Shm)
	r.fault("resources.shm", err)
	if missing(in.CPU) {
		return
	}
	c.CPU, err = strconv.ParseFloat(strings.Trim(string(in.CPU), `"`), 64)
	if err != nil || !(c.CPU > 0) || c.CPU > 1e6 {
		r.fault("resources.cpu", errors.New("must be a number of cores above 0, such as 0.5"))
	}
}

// mountOf reads one of volumes.
func mountOf(source string, raw json.RawMessage) (Mount, error) {
	m := Mount{Source: source}
	mode := ""
	var object struct {
		Bind string `json:"bind"`
		Mode string `json:"mode"`
	}
	if json.Unmarshal(raw, &m.Target) == nil {
		if place, after, ok := strings.Cut(m.Target, ":"); ok {
			m.Target, mode = place, after
		}
	} else if json.Unmarshal(raw, &object) == nil {
		m.Target, mode = object.Bind, object.Mode
	} else {
		return m, fmt.Errorf("%q must have a place in the container", source)
	}
	switch mode {
	case "", "rw":
	case "ro":
		m.ReadOnly = true
	default:
		return m, fmt.Errorf("%q: the mode must be ro or rw", source) // z, shared and the like change the host
	}
	return m, nil
}

func missing(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// words reads a list, or a text as a command line. Of an empty text come none (nil), of an empty list an empty one.
func words(raw json.RawMessage) ([]string, error) {
	var line string
	if missing(raw) {
		return nil, nil
	}
	if json.Unmarshal(raw, &line) == nil {
		return split(line)
	}
	list := []string{}
	if json.Unmarshal(raw, &list) != nil {
		return nil, errors.New("must be a text or a list of texts")
	}
	return list, nil
}

// listed reads a list, or a text as its only element.
func listed(raw json.RawMessage) ([]string, error) {
	var one string
	var list []string
	switch {
	case missing(raw):
		return nil, nil
	case json.Unmarshal(raw, &one) == nil:
		return []string{one}, nil
	case json.Unmarshal(raw, &list) == nil:
		return list, nil
	}
	return nil, errors.New("must be a text or a list of texts")
}

func gpus(raw json.RawMessage) (*GPUs, error) {
	if missing(raw) {
		return nil, nil
	}
	var count int
	if json.Unmarshal(raw, &count) == nil && count > 0 {
		return &GPUs{Count: count}, nil
	}
	ids, err := listed(raw)
	switch {
	case err != nil || len(ids) == 0:
		return nil, errors.New("must be all, a number above 0, or a list of ids")
	case len(ids) == 1 && ids[0] == "all":
		return &GPUs{Count: -1}, nil
	}
	return &GPUs{IDs: ids}, nil
}

// bytesOf reads a size: a number of bytes, or such as 512m, as the docker command does. 0: it is missing.
func bytesOf(raw json.RawMessage) (int64, error) {
	if missing(raw) {
		return 0, nil
	}
	n, err := units.RAMInBytes(strings.Trim(string(raw), `"`))
	if err != nil || n <= 0 {
		return 0, errors.New("must be a size, such as 512m")
	}
	return n, nil
}

// stdin is the container's standard input; nil: it has none. The content of an artifact is fetched whole and checked before the container starts.
func (in *input) stdin(ctx context.Context, call *executors.Call, scratch *workdir.Scratch) (io.ReadCloser, error) {
	if missing(in.Stdin) {
		return nil, nil
	}
	if ref, ok := executors.RefOf(in.Stdin); ok && call.Files != nil {
		return workdir.Open(ctx, call, ref, scratch)
	}
	var text string
	if json.Unmarshal(in.Stdin, &text) != nil {
		return nil, invalid("stdin: it is neither a text nor an artifact")
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

// outputs are what a container writes, as the result and the live log have it.
type outputs struct{ logs, stdout, stderr *workdir.Spill }

func newOutputs(call *executors.Call, in *input, most int) *outputs {
	alone := *call // what the result does not show is not kept
	alone.KeepOutputs = call.KeepOutputs && in.Separate
	return &outputs{
		workdir.NewSpill(call, executors.NewOutput(most, nil, ""), most, ""), workdir.NewSpill(&alone, executors.NewOutput(most, call.Reporter, "stdout"), most, ""),
		workdir.NewSpill(&alone, executors.NewOutput(most, call.Reporter, "stderr"), most, ""),
	}
}

func (o *outputs) streams(stdin io.Reader) Streams {
	return Streams{Stdin: stdin, Stdout: both{o.stdout, o.logs}, Stderr: both{o.stderr, o.logs}}
}

// both writes to two outputs, which never fail.
type both [2]*workdir.Spill

func (b both) Write(p []byte) (int, error) {
	_, _ = b[0].Write(p)
	return b[1].Write(p)
}

func (o *outputs) close() {
	_ = o.stdout.Close()
	_ = o.stderr.Close()
}

// discard lets go of what was not kept.
func (o *outputs) discard() {
	for _, out := range []*workdir.Spill{o.logs, o.stdout, o.stderr} {
		out.Discard()
	}
}

// keep gives the result with references in the place of outputs that exceeded their bounds, where the task keeps them.
func (o *outputs) keep(ctx context.Context, call *executors.Call, in *input, r *Result) (any, error) {
	kept := []workdir.Kept{{Name: "logs", Output: o.logs, Beside: []string{"encoding"}}}
	if in.Separate {
		kept = append(kept, workdir.Kept{Name: "stdout", Output: o.stdout, Beside: []string{"stdout_encoding"}}, workdir.Kept{Name: "stderr", Output: o.stderr, Beside: []string{"stderr_encoding"}})
	}
	return workdir.Keep(ctx, call, r, kept...)
}

func (o *outputs) result(in *input, exit Exit) *Result {
	r := &Result{
		ContainerID: exit.Container, ExitCode: exit.Code, Image: in.Image, Command: in.Command,
		ImageID: exit.ImageID, ImageDigest: exit.Digest, OOMKilled: exit.OOMKilled, Truncated: o.logs.Truncated(), killed: exit.Killed,
	}
	r.Logs, r.Encoding = executors.Faithful(o.logs.Bytes(), o.logs.Truncated())
	cut := map[string]bool{"logs": r.Truncated}
	if in.Separate {
		cut["stdout"], cut["stderr"] = o.stdout.Truncated(), o.stderr.Truncated()
		stdout, stdoutAs := executors.Faithful(o.stdout.Bytes(), o.stdout.Truncated())
		stderr, stderrAs := executors.Faithful(o.stderr.Bytes(), o.stderr.Truncated())
		r.Stdout, r.StdoutAs, r.Stderr, r.StderrAs = &stdout, stdoutAs, &stderr, stderrAs
	}
	r.TruncatedFields = executors.TruncatedFields(cut)
	return r
}

// maxErrorBytes bounds how much of the output an error shows.
const maxErrorBytes = 1000

// failure is the error of a container that failed while fail_on_error is set. It shows the end of the output, which usually says why.
func (r *Result) failure() error {
	text := fmt.Sprintf("container ended with exit code %d", r.ExitCode)
	switch {
	case r.OOMKilled:
		text += " (it needed more memory than it may have)"
	case r.killed:
		text += " (it was killed, and may have needed more memory than it may have)"
	}
	logs := strings.TrimSpace(r.Logs)
	if len(logs) > maxErrorBytes {
		logs = "..." + executors.Text([]byte(logs[len(logs)-maxErrorBytes:]))
	}
	if logs != "" && r.Encoding == "" {
		text += ": " + logs
	}
	return executors.WithKind(errors.New(text), executors.KindExit)
}
