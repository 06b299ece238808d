package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/taskgrove/taskgrove/tests/faults"
)

// kind is one kind of fault.
type kind struct {
	name    string
	on      string // what it is done to; two faults are not done to the same thing at a time
	targets int
	longest time.Duration      // 0: it needs no healing
	loses   func(f Fault) bool // whether it may cost workers their leases; nil: never
	what    string             // for people
	inject  func(ctx context.Context, c *cluster, f Fault) (heal func(context.Context) error, err error)
}

// errNot says that a fault can't be done here or now. It is counted as skipped.
var errNot = errors.New("not injected")

// long is what may end a lease, the margin for heartbeats taken off.
func long(f Fault) bool { return f.For > lease/2 }

func always(Fault) bool { return true }

// never has faults that nobody needs to heal.
func nothing(context.Context) error { return nil }

// kinds are all faults.
var kinds = slices.Concat(
	processes("coordinator", coordinators, nil, nil),
	processes("worker", workers, always, long),
	links("coordinator", toNATS, coordinators, nil),
	links("coordinator", toPostgres, coordinators, nil),
	links("coordinator", toClients, coordinators, nil),
	links("worker", toNATS, workers, long),
	[]kind{
		{name: "delete-work", on: "stream", targets: 1, what: "the stream WORK is deleted", inject: deleting("TG_WORK")},
		{name: "delete-results", on: "stream", targets: 1, what: "the stream RESULTS is deleted", inject: deleting("TG_RESULTS")},
		{name: "delete-consumers", on: "stream", targets: 1, what: "all consumers of WORK and RESULTS are deleted", inject: deleteConsumers},
		{name: "nats-kill", on: "nats", targets: 1, longest: 5 * time.Second, loses: long, what: "NATS is killed, and comes back with its data", inject: killNATS(false)},
		{name: "nats-lost", on: "nats", targets: 1, longest: 5 * time.Second, loses: long, what: "NATS is killed, and comes back without its data", inject: killNATS(true)},
		{name: "nats-full", on: "nats", targets: 1, longest: 4 * time.Second, what: "the disk of NATS is full", inject: fillNATS},
		{name: "postgres-kill", on: "postgres", targets: 1, longest: 5 * time.Second, loses: long, what: "Postgres is killed (SIGKILL), and recovers", inject: endPostgres(true)},
		{name: "postgres-restart", on: "postgres", targets: 1, longest: 5 * time.Second, loses: long, what: "Postgres is stopped in order, refuses connections, and starts", inject: endPostgres(false)},
		{name: "clock-ahead", on: "postgres", targets: 1, longest: 4 * time.Second, loses: always, what: "Postgres's clock jumps 4 to 12 s ahead, and back", inject: jump(+1)},
		{name: "clock-back", on: "postgres", targets: 1, longest: 4 * time.Second, loses: always, what: "Postgres's clock jumps 4 to 12 s back, and ahead again", inject: jump(-1)},
		{name: "copies", on: "copies", targets: 1, longest: 4 * time.Second, what: "a quarter of the messages in WORK and RESULTS is delivered twice", inject: copies},
	},
)

func kindOf(name string) kind {
	return kinds[slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })]
}

// processes are the faults of processes of a role.
func processes(role string, n int, lost, frozen func(Fault) bool) []kind {
	return []kind{
		{name: role + "-kill", on: role, targets: n, longest: 4 * time.Second, loses: lost, what: "a " + role + " is killed (SIGKILL), and started again",
			inject: func(_ context.Context, c *cluster, f Fault) (func(context.Context) error, error) {
				p := c.parts[role][f.Target]
				p.running().Kill()
				return func(context.Context) error { return p.launch() }, nil
			}},
		{name: role + "-freeze", on: role, targets: n, longest: 6 * time.Second, loses: frozen, what: "a " + role + " is stopped (SIGSTOP), and goes on (SIGCONT), before or after its lease's end",
			inject: func(_ context.Context, c *cluster, f Fault) (func(context.Context) error, error) {
				p := c.parts[role][f.Target]
				process := p.running()
				return func(context.Context) error { _ = process.Thaw(); return nil }, process.Freeze() // it may have been killed
			}},
		{name: role + "-restart", on: role, targets: n, longest: time.Second, what: "a " + role + " is stopped in order (SIGTERM), and started again",
			inject: func(_ context.Context, c *cluster, f Fault) (func(context.Context) error, error) {
				p := c.parts[role][f.Target]
				err := p.running().Stop()
				if err != nil && strings.Contains(err.Error(), "signal: killed") { // another fault was quicker
					err = nil
				}
				return func(context.Context) error { return p.launch() }, err
			}},
	}
}

// links are the faults of a role's connections to a server, or of clients' to it.
func links(role, to string, n int, lost func(Fault) bool) []kind {
	name := role + "-" + to + "-"
	text := "the connections of a " + role + " to " + to + " "
	link := func(c *cluster, f Fault) *faults.Proxy { return c.parts[role][f.Target].links[to] }
	on := role + "-" + to
	return []kind{
		{name: name + "cut", on: on, targets: n, what: text + "break", inject: func(_ context.Context, c *cluster, f Fault) (func(context.Context) error, error) {
			link(c, f).Cut()
			return nothing, nil
		}},
		{name: name + "refuse", on: on, targets: n, longest: 5 * time.Second, loses: lost, what: text + "break, and new ones are refused", inject: func(_ context.Context, c *cluster, f Fault) (func(context.Context) error, error) {
			link(c, f).Refuse(true)
			return func(context.Context) error { link(c, f).Refuse(false); return nil }, nil
		}},
		{name: name + "hold", on: on, targets: n, longest: 6 * time.Second, loses: lost, what: text + "stay open, and nothing passes", inject: func(_ context.Context, c *cluster, f Fault) (func(context.Context) error, error) {
			link(c, f).Hold(true)
			return func(context.Context) error { link(c, f).Hold(false); return nil }, nil
		}},
		{name: name + "delay", on: on, targets: n, longest: 4 * time.Second, what: text + "are slow: up to 100 ms for each piece of data, one in a hundred up to 1 s", inject: func(_ context.Context, c *cluster, f Fault) (func(context.Context) error, error) {
			link(c, f).SetDelay(100 * time.Millisecond)
			return func(context.Context) error { link(c, f).SetDelay(0); return nil }, nil
		}},
	}
}

func deleting(stream string) func(context.Context, *cluster, Fault) (func(context.Context) error, error) {
	return func(ctx context.Context, c *cluster, _ Fault) (func(context.Context) error, error) {
		return nothing, c.operate(ctx, func(ctx context.Context, js jetstream.JetStream) error { return js.DeleteStream(ctx, stream) })
	}
}

func deleteConsumers(ctx context.Context, c *cluster, _ Fault) (func(context.Context) error, error) {
	return nothing, c.operate(ctx, func(ctx context.Context, js jetstream.JetStream) error {
		for _, name := range []string{"TG_WORK", "TG_RESULTS"} {
			stream, err := js.Stream(ctx, name)
			if err != nil {
				return err
			}
			for consumer := range stream.ListConsumers(ctx).Info() {
				if err := stream.DeleteConsumer(ctx, consumer.Name); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// operate does something as NATS's operator. A NATS that can't do it, as another fault has it, is no error of the cluster.
func (c *cluster) operate(ctx context.Context, f func(context.Context, jetstream.JetStream) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	js, nc, err := c.jetstream()
	if err == nil {
		defer nc.Close()
		err = f(ctx, js)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errNot, err)
	}
	return nil
}

func killNATS(wipe bool) func(context.Context, *cluster, Fault) (func(context.Context) error, error) {
	return func(_ context.Context, c *cluster, _ Fault) (func(context.Context) error, error) {
		c.nats.running().Kill()
		return func(context.Context) error {
			if wipe {
				if err := os.RemoveAll(c.nats.settings.Store); err != nil {
					return err
				}
			}
			return c.nats.launch()
		}, nil
	}
}

// fillNATS makes the file system of NATS as small as what is on it. A server that has given up on its disk by the time
// there is room again is killed and started, as whoever watches its health would.
func fillNATS(_ context.Context, c *cluster, _ Fault) (func(context.Context) error, error) {
	if !c.mounted {
		return nil, fmt.Errorf("%w: NATS has no file system of its own", errNot)
	}
	at := strings.TrimSuffix(c.nats.settings.Store, "/data")
	var fs unix.Statfs_t
	if err := unix.Statfs(at, &fs); err != nil {
		return nil, err
	}
	used := (fs.Blocks - fs.Bfree) * uint64(fs.Bsize)
	if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_REMOUNT, "size="+strconv.FormatUint(used+16<<10, 10)); err != nil {
		return nil, fmt.Errorf("%w: %w", errNot, err)
	}
	return func(ctx context.Context) error {
		if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_REMOUNT, diskSize); err != nil {
			return err
		}
		err := c.operate(ctx, func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.AccountInfo(ctx)
			return err
		})
		if err == nil {
			return nil
		}
		c.nats.running().Kill()
		return c.nats.launch()
	}, nil
}

func endPostgres(kill bool) func(context.Context, *cluster, Fault) (func(context.Context) error, error) {
	return func(_ context.Context, c *cluster, _ Fault) (func(context.Context) error, error) {
		end := c.postgres.Stop
		if kill {
			end = c.postgres.Kill
		}
		if err := end(); err != nil { // it is down, however it went
			_ = c.journal.Remark("end of Postgres: %v", err)
		}
		return c.postgres.Start, nil
	}
}

// jump moves Postgres's clock, in a direction, and back.
func jump(direction time.Duration) func(context.Context, *cluster, Fault) (func(context.Context) error, error) {
	return func(_ context.Context, c *cluster, f Fault) (func(context.Context) error, error) {
		if c.clock == "" {
			return nil, fmt.Errorf("%w: libfaketime is not here", errNot)
		}
		by := direction * (4*time.Second + 2*f.For)
		c.jumped(by)
		return func(context.Context) error { c.jumped(-by); return c.setClock(0) }, c.setClock(by)
	}
}

// jumped notes a jump ahead: leases end by Postgres's clock, and their workers can't know.
func (c *cluster) jumped(by time.Duration) {
	if by > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.jumps = append(c.jumps, time.Now())
	}
}

// clockMoved reports whether Postgres's clock has been moved since the cluster began.
func (c *cluster) clockMoved() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.jumps) > 0
}

func copies(_ context.Context, c *cluster, _ Fault) (func(context.Context) error, error) {
	copier, err := faults.StartCopier(c.natsURL("coordinator"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNot, err)
	}
	return func(context.Context) error { copier.Stop(); return nil }, nil
}

// processesWith are the numbers of the processes that have the text in their command line.
func processesWith(text string) (found []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err == nil && strings.Contains(string(line), text) && syscall.Kill(pid, 0) == nil {
			found = append(found, pid)
		}
	}
	return found
}
