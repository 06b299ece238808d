package docker

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/taskgrove/taskgrove/executors"
)

// Bounds of what may last after the context's end.
const (
	createWithin = 30 * time.Second // making a container, which takes a fraction of a second
	removeWithin = 30 * time.Second // removing a container, retries included
	drainWithin  = 5 * time.Second  // what a container wrote before its end

	leaseMargin = 500 * time.Millisecond // the warden ends a container so long before its lease ends
)

// Run runs a container and returns when it is gone (with Keep: when it has stopped). An exit code other than 0 is no error.
//
// If ctx ends first, the container gets its stop signal, SIGKILL after the grace time, and the error is ctx's cause. It is a *[RefusedError]
// for what the pool's policy does not allow, [executors.ErrLeaseLost] if a later attempt of the task runs on this engine or the warden ended the container,
// and [executors.Permanent] where another attempt would fail likewise.
func (e *Engine) Run(ctx context.Context, owner Owner, c Container, streams Streams) (Exit, error) {
	if ctx.Err() != nil {
		return Exit{}, context.Cause(ctx)
	}
	cli, err := e.client()
	if err != nil {
		return Exit{}, err
	}
	img, err := e.cfg.policy(owner.Pool).check(&c, strings.HasPrefix(cli.DaemonHost(), "unix://"))
	if err != nil {
		return Exit{}, err
	}
	have, err := e.ensure(ctx, cli, img, &c, owner.Report)
	if err != nil {
		return Exit{}, executors.Ended(ctx, err)
	}
	if err := e.endOlder(ctx, cli, owner); err != nil {
		return Exit{}, executors.Ended(ctx, err)
	}
	r := &run{
		engine: e, cli: cli, owner: owner, spec: c, streams: streams, name: nameOf(owner),
		exit: Exit{Code: -1, Image: img.String(), ImageID: have.id, Digest: have.digest},
	}
	err = r.do(ctx)
	return r.exit, err
}

// run is the life of one container.
type run struct {
	engine  *Engine
	cli     *client.Client
	owner   Owner
	spec    Container
	streams Streams
	name    string
	exit    Exit
}

// do makes, runs and removes the container. Its name is known before it exists, so that it is found whatever dies when.
func (r *run) do(ctx context.Context) (err error) {
	if err := r.engine.hold(r.name, r.owner.Lease); err != nil {
		return err
	}
	defer func() {
		gone := r.remove(ctx)
		r.engine.release(r.name, gone == nil)
		if err == nil {
			err = gone
		}
	}()
	// The context's end does not break this off: the engine would go on making it, and nobody would find it.
	creating, cancel := context.WithTimeout(context.WithoutCancel(ctx), createWithin)
	created, err := r.cli.ContainerCreate(creating, r.options())
	cancel()
	if err != nil {
		return executors.Ended(ctx, classed("create container", err))
	}
	r.exit.Container = created.ID
	for _, network := range r.spec.Networks[min(1, len(r.spec.Networks)):] {
		if _, err := r.cli.NetworkConnect(ctx, network, client.NetworkConnectOptions{Container: created.ID}); err != nil {
			return executors.Ended(ctx, classed("join network "+network, err))
		}
	}
	if err := r.bring(ctx); err != nil {
		return executors.Ended(ctx, err)
	}
	attached, err := r.cli.ContainerAttach(ctx, created.ID, client.ContainerAttachOptions{
		Stream: true, Stdin: r.streams.Stdin != nil, Stdout: true, Stderr: true,
	})
	if err != nil {
		return executors.Ended(ctx, classed("attach to container", err))
	}
	defer attached.Close()
	if _, err := r.cli.ContainerStart(ctx, created.ID, client.ContainerStartOptions{}); err != nil {
		return executors.Ended(ctx, startError(err))
	}
	if err := r.follow(ctx, attached.HijackedResponse); err != nil || r.spec.Exited == nil {
		return err
	}
	return executors.Ended(ctx, r.spec.Exited(ctx, r.exit, Inside{r}))
}

// follow copies the streams until the container has exited, or must.
func (r *run) follow(ctx context.Context, attached client.HijackedResponse) error {
	if r.streams.Stdin != nil {
		go func() { // ends with the connection, or when the caller ends a read that hangs
			_, _ = io.Copy(attached.Conn, r.streams.Stdin)
			_ = attached.CloseWrite()
		}()
	}
	copied := make(chan struct{})
	go func() { // ends with the connection
		defer close(copied)
		_, _ = stdcopy.StdCopy(r.streams.Stdout, r.streams.Stderr, attached.Reader)
	}()
	defer func(copied <-chan struct{}) {
		attached.Close()
		<-copied
	}(copied)
	waiting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	exited := r.wait(waiting)
	select {
	case how := <-exited:
		return r.exitedWith(ctx, how, copied)
	case <-ctx.Done():
	}
	r.end(ctx)
	enough := time.NewTimer(drainWithin)
	defer enough.Stop()
	for left := 2; left > 0; left-- { // how it ended, and its last words
		select {
		case how := <-exited:
			r.exit.Code, exited = how.code, nil
		case <-copied:
			copied = nil
		case <-enough.C:
			left = 0
		}
	}
	return context.Cause(ctx)
}

// exitedWith takes what the engine says of a container that has exited.
func (r *run) exitedWith(ctx context.Context, how ending, copied <-chan struct{}) error {
	select {
	case <-copied:
	case <-time.After(drainWithin): // the engine lost the end of the stream
	}
	if lease := r.owner.Lease; lease != nil && !lease.Until().IsZero() && time.Now().After(lease.Until().Add(-leaseMargin)) { // the warden ended it
		return executors.ErrLeaseLost
	}
	if how.err != nil {
		return executors.Ended(ctx, fmt.Errorf("wait for container: %w", rootCause(how.err)))
	}
	r.exit.Code = how.code
	r.whyKilled(ctx)
	return nil
}

// ending is how a container has exited, or why that can't be known.
type ending struct {
	code int // -1 with an error
	err  error
}

// wait tells once, when the container has exited.
func (r *run) wait(ctx context.Context) <-chan ending {
	told := make(chan ending, 1) // one message, which nobody may wait for
	go func() {
		result := r.cli.ContainerWait(ctx, r.exit.Container, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
		select { // one of them always comes
		case got := <-result.Result:
			if got.Error != nil && got.Error.Message != "" {
				told <- ending{-1, errors.New(got.Error.Message)}
				return
			}
			told <- ending{code: int(got.StatusCode)}
		case err := <-result.Error:
			told <- ending{-1, err}
		}
	}()
	return told
}

// end stops the container: its stop signal, the grace time, SIGKILL. A lease that ends soon, or has ended, shortens the grace time.
func (r *run) end(ctx context.Context) {
	grace := r.engine.cfg.Grace
	if r.spec.Grace > 0 {
		grace = min(grace, r.spec.Grace)
	}
	if r.owner.Lease != nil && !r.owner.Lease.Until().IsZero() {
		grace = min(grace, time.Until(r.owner.Lease.Until())/2)
	}
	if errors.Is(context.Cause(ctx), executors.ErrLeaseLost) {
		grace = 0
	}
	seconds := max(0, int(grace.Round(time.Second)/time.Second))
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace+removeWithin)
	defer cancel()
	_, _ = r.cli.ContainerStop(stopping, r.exit.Container, client.ContainerStopOptions{Timeout: &seconds}) // removal kills what is left
}

// remove takes the container away, whatever its state, and tries again while the engine can't. Kept ones are only killed.
func (r *run) remove(ctx context.Context) error {
	removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeWithin)
	defer cancel()
	return insist(removing, r.cli, r.name, r.spec.Keep)
}

// insist disposes of a container and tries again until the context ends, also while somebody else removes it.
func insist(ctx context.Context, cli *client.Client, name string, keep bool) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := dispose(ctx, cli, name, keep)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove container %s: %w", name, rootCause(err))
		case <-time.After(pause):
		}
	}
}

// dispose ends a container by name or id, and removes it with its unnamed volumes unless it is kept. One that is gone already is no error.
func dispose(ctx context.Context, cli *client.Client, name string, keep bool) error {
	var err error
	if keep {
		_, err = cli.ContainerKill(ctx, name, client.ContainerKillOptions{})
		if errdefs.IsConflict(err) { // it does not run
			return nil
		}
	} else {
		_, err = cli.ContainerRemove(ctx, name, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	}
	if errdefs.IsNotFound(err) {
		return nil
	}
	if errdefs.IsConflict(err) && strings.Contains(err.Error(), "already in progress") { // somebody else removes it: see whether it goes
		_, inspected := cli.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
		if errdefs.IsNotFound(inspected) {
			return nil
		}
	}
	return err
}

// startError says whether another attempt may start it. A program that is missing, a directory or a mount that can't be had, are the
// task's; the engine reports some of them as its own.
func startError(err error) error {
	text := err.Error()
	for _, sign := range []string{"executable file not found", "no such file or directory", "permission denied", "is a directory", "not a directory", "unable to find user", "no matching entries in passwd", "could not select device driver", "exec format error"} {
		if strings.Contains(text, sign) {
			return executors.Permanent(fmt.Errorf("start container: %w", rootCause(err)))
		}
	}
	return classed("start container", err)
}

// nameOf makes a name that is new, and tells people whose the container is.
func nameOf(owner Owner) string {
	var some [4]byte
	_, _ = rand.Read(some[:])
	return fmt.Sprintf("taskgrove-%s-%d-%s", keyOf(owner)[:12], owner.Attempt, hex.EncodeToString(some[:]))
}

// keyOf stands for the owner's key in names and labels, where not all characters may be.
func keyOf(owner Owner) string {
	sum := sha256.Sum256([]byte(owner.Key))
	return hex.EncodeToString(sum[:16])
}

// noNewPrivileges keeps setuid programs from gaining rights. It is on unless the policy allows the task to turn it off.
const noNewPrivileges = "no-new-privileges"

// options are the container as the engine's API has it.
func (r *run) options() client.ContainerCreateOptions {
	c := &r.spec
	host := &container.HostConfig{
		Privileged: c.Privileged, CapAdd: c.CapAdd, CapDrop: c.CapDrop, ReadonlyRootfs: c.ReadOnly,
		SecurityOpt: slices.Clone(c.SecurityOpt), ShmSize: c.Shm, Mounts: mountsOf(c),
		LogConfig: container.LogConfig{Type: "none"}, // the output is attached: the engine's disk keeps none
		Resources: container.Resources{
			Memory: c.Memory, MemorySwap: c.Memory, NanoCPUs: int64(c.CPU * 1e9), PidsLimit: &c.Pids,
		},
	}
	if c.Keep { // for people who look at it afterwards
		host.LogConfig = container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "10m", "max-file": "1"}}
	}
	if !slices.ContainsFunc(c.SecurityOpt, func(o string) bool { return strings.HasPrefix(o, noNewPrivileges) }) {
		host.SecurityOpt = append(host.SecurityOpt, noNewPrivileges+":true")
	}
	if len(c.Networks) > 0 {
		host.NetworkMode = container.NetworkMode(c.Networks[0])
	}
	if c.Init {
		host.Init = &c.Init
	}
	if c.GPUs != nil {
		host.DeviceRequests = []container.DeviceRequest{{Count: c.GPUs.Count, DeviceIDs: c.GPUs.IDs, Capabilities: [][]string{{"gpu"}}}}
	}
	for _, device := range c.Devices {
		host.Devices = append(host.Devices, container.DeviceMapping{PathOnHost: device, PathInContainer: device, CgroupPermissions: "rwm"})
	}
	for _, name := range c.Namespaces {
		switch name {
		case "pid":
			host.PidMode = "host"
		case "ipc":
			host.IpcMode = "host"
		case "uts":
			host.UTSMode = "host"
		case "user":
			host.UsernsMode = "host"
		}
	}
	return client.ContainerCreateOptions{Name: r.name, HostConfig: host, Config: &container.Config{
		Image: r.exit.ImageID, Cmd: c.Command, Entrypoint: c.Entrypoint, User: c.User, WorkingDir: c.WorkingDir,
		Env: environ(c.Env, r.owner.Environ), Labels: r.engine.labels(r.owner, c),
		AttachStdin: r.streams.Stdin != nil, OpenStdin: r.streams.Stdin != nil, StdinOnce: r.streams.Stdin != nil,
		AttachStdout: true, AttachStderr: true,
	}}
}

// mountsOf are the mounts as the engine's API has them. A directory of the host must exist: none is made.
func mountsOf(c *Container) []mount.Mount {
	var out []mount.Mount
	for _, m := range c.Mounts {
		kind := mount.TypeVolume
		if strings.HasPrefix(m.Source, "/") {
			kind = mount.TypeBind
		}
		out = append(out, mount.Mount{Type: kind, Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	if c.Files != "" {
		out = append(out, filesMount())
	}
	for target, size := range c.Tmpfs {
		out = append(out, mount.Mount{Type: mount.TypeTmpfs, Target: target, TmpfsOptions: &mount.TmpfsOptions{SizeBytes: size, Mode: 0o1777}})
	}
	return out
}

// environ is the task's environment, and what says which attempt it is.
func environ(set map[string]string, attempt []executors.Variable) []string {
	var env []string
	for name, value := range set {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	for _, v := range attempt {
		env = append(env, v.Name+"="+v.Value)
	}
	return env
}

// Labels of every container.
const (
	labelTask     = "taskgrove.task"     // id
	labelKey      = "taskgrove.key"      // the same for all attempts of a run
	labelAttempt  = "taskgrove.attempt"  // number
	labelInstance = "taskgrove.instance" // of the engine in its worker
	labelProcess  = "taskgrove.process"  // of the worker, see processOf
	labelEnds     = "taskgrove.ends"     // when its time is over at the latest, in seconds since 1970
	labelKeep     = "taskgrove.keep"     // it is kept when it has stopped
)

func (e *Engine) labels(owner Owner, c *Container) map[string]string {
	labels := map[string]string{
		labelTask: owner.Task, labelKey: keyOf(owner), labelAttempt: strconv.Itoa(owner.Attempt),
		labelInstance: e.instance, labelProcess: thisProcess(), labelEnds: strconv.FormatInt(time.Now().Add(c.limit()).Unix(), 10),
		labelKeep: "", // else it would be the image's to say
	}
	if c.Keep {
		labels[labelKeep] = "true"
	}
	return labels
}
