package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

// step is something that happens while tasks run, once a share of them has completed.
type step struct {
	percent int64
	what    string
	do      func(context.Context) error
}

// steps of the load run, by the share of the tasks that has completed.
func (k *kube) steps(c *client.Client) []step {
	return []step{
		{5, "upgrade from the version before", func(ctx context.Context) error { return k.upgrade(ctx, c) }},
		{13, "roll back to the version before", k.rollback},
		{18, "upgrade again", func(ctx context.Context) error { return k.upgrade(ctx, c) }},
		{25, "scale a pool from 1 to 6", func(ctx context.Context) error { return k.scale(ctx, "steady", 6) }},
		{35, "kill a coordinator pod", func(ctx context.Context) error { return k.killed(ctx, "coordinator", "") }},
		{45, "kill a worker pod", func(ctx context.Context) error { return k.killed(ctx, "worker", "slow") }},
		{55, "kill a NATS pod", func(ctx context.Context) error { return k.killed(ctx, "nats", "") }},
		{60, "scale the pool from 6 to 1", func(ctx context.Context) error { return k.scale(ctx, "steady", 1) }},
		{64, "kill the node of workers", k.killNode},
	}
}

// underLoad installs the version before, if there is one, keeps tasks going while all steps are taken, and checks what became of them.
func (k *kube) underLoad(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Minute)
	defer cancel()
	first := k.s.previous
	if first == none {
		first = k.s.tag
	}
	if err := k.helm(ctx, "install", first); err != nil {
		return err
	}
	target, err := k.address(ctx)
	if err != nil {
		return err
	}
	c, err := client.New(target)
	if err != nil {
		return err
	}
	defer c.Close()
	l := &load{c: c, total: int64(k.s.trees) * int64(k.s.size), seen: map[string]int64{}}
	began := time.Now()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var playing sync.WaitGroup
	playing.Go(func() {
		if err := l.play(ctx, k.s); err != nil {
			stop(err)
		}
	})
	for _, s := range k.steps(c) {
		if err = l.share(ctx, s.percent); err != nil {
			break
		}
		k.say("=== %s, at %d of %d tasks", s.what, l.done.Load(), l.total)
		at, before := time.Now(), l.done.Load()
		if err = s.do(ctx); err != nil {
			err = fmt.Errorf("%s: %w", s.what, err)
			break
		}
		k.figure(s.what, fmt.Sprintf("%.1f s, in which %d tasks completed", time.Since(at).Seconds(), l.done.Load()-before))
	}
	if err != nil {
		stop(err)
	}
	playing.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return errors.Join(err, cause)
	}
	took := time.Since(began)
	k.figure("tasks", l.total)
	k.figure("the load, from the first submission to the last end", fmt.Sprintf("%.0f s, %.0f tasks a second", took.Seconds(), float64(l.total)/took.Seconds()))
	f, err := l.check(ctx, k.s.size)
	if err != nil {
		return err
	}
	k.figure("tasks that completed exactly once", f.tasks)
	k.figure("starts beyond the first of a task, of attempts that were interrupted", f.restarts)
	if err := f.err(); err != nil {
		return err
	}
	return k.uninstall(ctx)
}

// helm installs or upgrades the release of the load run.
func (k *kube) helm(ctx context.Context, verb, tag string) error {
	args := []string{verb, k.s.release, k.s.chart, "-n", k.s.namespace, "-f", k.s.values, "--set", "image.tag=" + tag, "--wait", "--timeout", "5m"}
	_, err := k.run(ctx, "helm", args...)
	return err
}

// upgrade brings the release to this version while somebody follows a tree.
func (k *kube) upgrade(ctx context.Context, c *client.Client) error {
	if k.s.previous == none {
		return nil
	}
	sent, err := c.Submit(ctx, ticking())
	if err != nil {
		return err
	}
	following, enough := context.WithCancel(ctx)
	defer enough()
	var longest time.Duration
	var followed error
	var follower sync.WaitGroup
	follower.Go(func() { longest, _, followed = k.silence(following, c, sent.TreeID) })
	if err := k.helm(ctx, "upgrade", k.s.tag); err != nil {
		return err
	}
	if _, err := c.Cancel(ctx, sent.TreeID); err != nil {
		return err
	}
	follower.Wait()
	if followed != nil {
		return followed
	}
	k.figure("longest silence of a stream that was followed through the upgrade, of a tree with an event a second", longest)
	return nil
}

// rollback brings the release back to the version before, whose programs then work on the newer schema.
func (k *kube) rollback(ctx context.Context) error {
	if k.s.previous == none {
		return nil
	}
	_, err := k.run(ctx, "helm", "rollback", k.s.release, "1", "-n", k.s.namespace, "--wait", "--timeout", "5m")
	return err
}

// ticking is a chain of urgent tasks of a second each, for ten minutes: it waits for no other task of its pool.
func ticking() []client.NewTask {
	tasks := []client.NewTask{{Name: "ticking", Executor: "noop_executor", Pool: "quick"}}
	for i := range 600 {
		task := client.NewTask{Name: "tick-" + strconv.Itoa(i), Parent: "ticking", Executor: "sleep_executor", Pool: "steady", Priority: client.Urgent, Inputs: map[string]any{"seconds": 1}}
		if i > 0 {
			task.Needs = []string{"tick-" + strconv.Itoa(i-1)}
		}
		tasks = append(tasks, task)
	}
	return tasks
}

// scale sets the number of a group's pods and waits until they are there.
func (k *kube) scale(ctx context.Context, group string, replicas int) error {
	name, err := k.quietly(ctx, "kubectl", "-n", k.s.namespace, "get", "deployments", "-l", "taskgrove.dev/group="+group, "-o", "jsonpath={.items[0].metadata.name}")
	if err != nil {
		return err
	}
	if _, err := k.run(ctx, "kubectl", "-n", k.s.namespace, "scale", "deployment", name, "--replicas="+strconv.Itoa(replicas)); err != nil {
		return err
	}
	_, err = k.quietly(ctx, "kubectl", "-n", k.s.namespace, "rollout", "status", "deployment/"+name, "--timeout=4m")
	return err
}

// killed kills a pod and waits until all is as it was.
func (k *kube) killed(ctx context.Context, component, group string) error {
	if err := k.kill(ctx, component, group); err != nil {
		return err
	}
	return k.rolledOut(ctx)
}

// killNode ends the node, waits until Kubernetes has seen it and pods of the release run elsewhere, and starts it again.
func (k *kube) killNode(ctx context.Context) error {
	if k.s.nodeDown == "" {
		k.say("no node is killed: -node-down is empty")
		return nil
	}
	pods, err := k.pods(ctx, "worker", "")
	if err != nil {
		return err
	}
	there := 0
	for _, p := range pods {
		if p.Node == k.s.node {
			there++
		}
	}
	if there == 0 {
		return fmt.Errorf("no worker runs on node %s, so that killing it shows nothing", k.s.node)
	}
	k.say("%d of %d workers run on %s", there, len(pods), k.s.node)
	began := time.Now()
	if _, err := k.run(ctx, "sh", "-c", k.s.nodeDown); err != nil {
		return err
	}
	if _, err := k.run(ctx, "kubectl", "wait", "--for=condition=Ready=Unknown", "node/"+k.s.node, "--timeout=3m"); err != nil {
		return err
	}
	k.figure("until Kubernetes saw that the node was gone", time.Since(began))
	if err := sleep(ctx, 30*time.Second); err != nil { // leases end, and work goes on without the node
		return err
	}
	if _, err := k.run(ctx, "sh", "-c", k.s.nodeUp); err != nil {
		return err
	}
	if _, err := k.run(ctx, "kubectl", "wait", "--for=condition=Ready", "node/"+k.s.node, "--timeout=3m"); err != nil {
		return err
	}
	return k.rolledOut(ctx)
}
