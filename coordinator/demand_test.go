package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/proto/externalscaler"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// demandTest asks for figures as KEDA does, and for their parts.
type demandTest struct {
	*cluster.Cluster
	*testing.T
	gate *gate
	db   *pgx.Conn
	keda externalscaler.ExternalScalerClient
}

// TestDemand sets up each kind of work, and what nothing could start, and looks at the figure that KEDA is told.
func TestDemand(t *testing.T) {
	t.Parallel()
	g := &gate{closed: map[string]chan struct{}{}}
	shared := cluster.Start(t, cluster.Options{Executors: func() []executors.Executor { return []executors.Executor{g} },
		Coordinator: func(s *config.Coordinator) { s.Window, s.GRPCAddr = 2, "127.0.0.1:0" },
		Worker:      func(s *config.Worker) { s.Beat = time.Second }})
	db, err := pgx.Connect(t.Context(), shared.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	for _, story := range []struct {
		name string
		run  func(w *demandTest)
	}{
		{"what may start, in Postgres and in NATS", demandReady},
		{"what runs, until it has ended", demandRunning},
		{"held until it is executed", demandHeld},
		{"cancelled: a task, a tree, and a tree whose tasks are not marked yet", demandCancelled},
		{"blocked, and what waits for it", demandBlocked},
		{"delayed beyond the horizon, and within", demandDelayed},
		{"forbidden by the rule of its pool", demandForbidden},
		{"what waits for what runs", demandSoon},
		{"what workers hand on to themselves", demandChain},
		{"what runs on a worker that drains", demandDraining},
	} {
		t.Run(story.name, func(t *testing.T) {
			story.run(&demandTest{Cluster: shared.For(t), T: t, gate: g, db: db, keda: kedaOf(t, shared.Coordinators[0].P.GRPC)})
		})
	}
}

func kedaOf(t *testing.T, addr string) externalscaler.ExternalScalerClient {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return externalscaler.NewExternalScalerClient(conn)
}

// tells waits until the pool's figure has these parts, and sees that KEDA is told the same.
func (w *demandTest) tells(pool string, running, ready, soon int) {
	w.Helper()
	want := coordinator.Demand{Pool: pool, Running: running, Ready: ready, Soon: soon}
	trigger := &externalscaler.ScaledObjectRef{ScalerMetadata: map[string]string{"pool": pool}}
	w.Eventually(fmt.Sprintf("%+v", want), func() error {
		list, err := w.Service().Demand(w.Context(), []string{pool})
		if err != nil {
			return err
		}
		got := list[0]
		if got.Slots = 0; got != want {
			return fmt.Errorf("got %+v", got)
		}
		metrics, err := w.keda.GetMetrics(w.Context(), &externalscaler.GetMetricsRequest{ScaledObjectRef: trigger, MetricName: "demand-" + pool})
		if err != nil || metrics.MetricValues[0].MetricValueFloat != float64(want.Total()) {
			return fmt.Errorf("KEDA is told %v, %v", metrics, err)
		}
		active, err := w.keda.IsActive(w.Context(), trigger)
		if err != nil || active.Result != (want.Total() > 0) {
			return fmt.Errorf("KEDA is told %v, %v", active, err)
		}
		return nil
	})
}

// learned lets the coordinator know how long attempts of the pool last.
func (w *demandTest) learned(pool string, lasted time.Duration) {
	w.Helper()
	id, err := w.Coordinators[0].P.Store.PoolID(w.Context(), pool)
	if err != nil {
		w.Fatal(err)
	}
	for range 10 {
		w.Coordinators[0].P.LearnLasting(id, lasted)
	}
}

func (w *demandTest) cancel(id string) {
	w.Helper()
	if _, err := w.Service().Cancel(w.Context(), id, coordinator.CancelOptions{}); err != nil {
		w.Fatal(err)
	}
}

func demandReady(w *demandTest) {
	const pool = "dm-ready"
	w.tells(pool, 0, 0, 0) // there is no such pool
	tasks := []*dag.Task{group("ready", "")}
	for i := range 50 {
		tasks = append(tasks, pooled(fmt.Sprintf("ready-%d", i), "ready", pool))
	}
	tasks[1].Priority = dag.Urgent
	w.Submit(coordinator.SubmitOptions{}, tasks...)
	w.tells(pool, 0, 50, 0)
	w.AddWorkerOf(3, pool)
	w.Settled("ready")
	w.tells(pool, 0, 0, 0)
	spec, err := w.keda.GetMetricSpec(w.Context(), &externalscaler.ScaledObjectRef{ScalerMetadata: map[string]string{"pool": pool}})
	if err != nil || len(spec.MetricSpecs) != 1 || spec.MetricSpecs[0].TargetSizeFloat != 3 {
		w.Errorf("a worker has 3 slots: got %v, %v", spec, err)
	}
}

func demandRunning(w *demandTest) {
	const pool = "dm-running"
	w.AddWorkerOf(3, pool)
	w.Submit(coordinator.SubmitOptions{}, group("running", ""), gated("running-a", "running", pool, `{}`), gated("running-b", "running", pool, `{}`))
	w.tells(pool, 2, 0, 0)
	w.Submit(coordinator.SubmitOptions{}, group("running2", ""), gated("running-c", "running2", pool, `{}`), gated("running-d", "running2", pool, `{}`))
	w.tells(pool, 3, 1, 0)
	w.gate.open("running-a")
	w.tells(pool, 3, 0, 0)
	for _, id := range []string{"running-b", "running-c"} {
		w.gate.open(id)
	}
	w.tells(pool, 1, 0, 0)
	w.gate.open("running-d")
	w.tells(pool, 0, 0, 0)
}

func demandHeld(w *demandTest) {
	const pool = "dm-held"
	w.Submit(coordinator.SubmitOptions{}, pooled("held-0", "", pool))
	w.Submit(coordinator.SubmitOptions{Hold: true}, pooled("held", "", pool, "held-a"), pooled("held-a", "held", pool))
	w.tells(pool, 0, 1, 0)
	if _, err := w.Service().Execute(w.Context(), "held", coordinator.ExecuteOptions{}); err != nil {
		w.Fatal(err)
	}
	w.tells(pool, 0, 2, 0)
	w.cancel("held")
	w.cancel("held-0")
	w.tells(pool, 0, 0, 0)
}

func demandCancelled(w *demandTest) {
	const pool = "dm-cancelled"
	tasks := []*dag.Task{group("cancelled", "")}
	for i := range 20 {
		tasks = append(tasks, pooled(fmt.Sprintf("cancelled-%d", i), "cancelled", pool))
	}
	w.Submit(coordinator.SubmitOptions{}, tasks...)
	w.Submit(coordinator.SubmitOptions{}, group("marked", ""), pooled("marked-a", "marked", pool), pooled("marked-b", "marked", pool))
	w.tells(pool, 0, 22, 0)
	w.cancel("cancelled-3")
	w.tells(pool, 0, 21, 0)
	w.cancel("cancelled")
	w.tells(pool, 0, 2, 0)
	if _, err := w.db.Exec(w.Context(), "update tree set cancelled_at = now(), cancel_message = 'because' where root_id = 'marked'"); err != nil {
		w.Fatal(err)
	}
	w.tells(pool, 0, 0, 0)

	w.AddWorkerOf(2, pool)
	w.Submit(coordinator.SubmitOptions{}, gated("stops", "", pool, `{"stubborn":true}`))
	w.tells(pool, 1, 0, 0)
	w.cancel("stops") // its worker is not done with it, but nothing is to be started for it
	w.tells(pool, 0, 0, 0)
	w.gate.open("stops")
}

func demandBlocked(w *demandTest) {
	const pool = "dm-blocked"
	w.Submit(coordinator.SubmitOptions{}, group("dmb", "", "dmb-c"), with(noop("dmb-a", "dmb"), `{"fail":"no luck"}`), pooled("dmb-b", "dmb", pool, "dmb-a"), pooled("dmb-c", "dmb", pool, "dmb-b"),
		pooled("dmb-d", "dmb", pool))
	w.tells(pool, 0, 1, 0)
	w.learned(pool, time.Second)
	w.tells(pool, 0, 1, 0)
	w.cancel("dmb-d")
	w.tells(pool, 0, 0, 0)
}

func demandDelayed(w *demandTest) {
	const pool = "dm-delayed"
	far, near, behind := pooled("far", "delayed", pool), pooled("near", "delayed", pool), pooled("behind", "delayed", "dm-behind", "far")
	far.NotBefore, near.NotBefore = time.Now().Add(time.Hour), time.Now().Add(20*time.Second)
	w.Submit(coordinator.SubmitOptions{}, group("delayed", ""), far, near, behind)
	w.tells(pool, 0, 0, 1)
	w.tells("dm-behind", 0, 0, 0)
	w.cancel("near")
	w.tells(pool, 0, 0, 0)
}

func demandForbidden(w *demandTest) {
	const pool = "dm-rule"
	allowed, secret := pooled("rule-ok", "rule", pool), with(pooled("rule-secret", "rule", pool), `{"a":{"secret":"s"}}`)
	tasks := []*dag.Task{group("rule", ""), allowed, secret}
	for i := range 10 {
		t := sleeper(fmt.Sprintf("rule-%d", i), "rule", `{"seconds":0}`)
		t.Pool = pool
		tasks = append(tasks, t)
	}
	later := sleeper("rule-later", "rule", `{"seconds":0}`)
	later.Pool, later.NotBefore = pool, time.Now().Add(15*time.Second)
	w.Submit(coordinator.SubmitOptions{}, append(tasks, later)...)
	w.tells(pool, 0, 12, 1)
	must(w.T, w.Service().SetPoolRule(w.Context(), dag.PoolRule{Pool: pool, Executors: []string{"noop_executor"}, Secrets: []string{"t"}}))
	w.tells(pool, 0, 1, 0)
	must(w.T, w.Service().DeletePoolRule(w.Context(), pool))
	w.tells(pool, 0, 12, 1)
	w.cancel("rule")
}

// The dependents of what runs count before it has ended, if it is known how long such tasks last; its slot becomes free, and is none that is missing.
func demandSoon(w *demandTest) {
	const pool, behind = "dm-soon", "dm-soon-behind"
	w.AddWorkerOf(2, pool)
	tasks := []*dag.Task{group("soon", ""), gated("soon-a", "soon", pool, `{}`), gated("soon-b", "soon", pool, `{}`), pooled("soon-c", "soon", pool, "soon-a")}
	for i := range 7 {
		tasks = append(tasks, pooled(fmt.Sprintf("soon-%d", i), "soon", behind, "soon-a", "soon-b"))
	}
	last := pooled("soon-last", "soon", "dm-soon-last", "soon-c")
	w.Submit(coordinator.SubmitOptions{}, append(tasks, last)...)
	w.tells(pool, 2, 0, 0)
	w.tells(behind, 0, 0, 0) // nobody knows
	w.learned(pool, time.Minute)
	w.tells(behind, 0, 0, 0) // too far ahead
	for range 20 {
		w.learned(pool, 15*time.Second)
	}
	w.tells(behind, 0, 0, 7)
	w.tells("dm-soon-last", 0, 0, 0) // behind two that take 15 s each
	w.tells(pool, 2, 0, 0)
	w.gate.open("soon-b")
	w.tells(behind, 0, 0, 7)
	w.gate.open("soon-a")
	w.tells(behind, 0, 7, 0)
	w.cancel("soon")
}

// A worker goes on with what its last task unlocked, and its next beat tells. The figure never says meanwhile that there is nothing.
func demandChain(w *demandTest) {
	const pool, links = "dm-chain", 150
	w.AddWorkerOf(1, pool)
	tasks := []*dag.Task{group("chain", "")}
	for i := range links {
		t := sleeper(fmt.Sprintf("chain-%d", i), "chain", `{"seconds":0.05}`)
		t.Pool = pool
		if i > 0 {
			t.Dependencies = []dag.Dependency{{Ref: fmt.Sprintf("chain-%d", i-1)}}
		}
		tasks = append(tasks, t)
	}
	w.Submit(coordinator.SubmitOptions{}, tasks...)
	w.tells(pool, 1, 0, 0)
	seen := 0
	w.Eventually("the chain has ended", func() error {
		list, err := w.Service().Demand(w.Context(), []string{pool})
		must(w.T, err)
		status, err := w.Service().Tree(w.Context(), "chain")
		must(w.T, err)
		if status.Unfinished == 0 {
			return nil
		}
		if n := list[0].Total(); n != 1 {
			w.Errorf("%d of %d have completed: got %+v, want 1", status.Completed, links, list[0])
		}
		seen++
		return errors.New("it goes on")
	})
	if seen < 10 {
		w.Errorf("seen %d times", seen)
	}
	w.tells(pool, 0, 0, 0)
}

func demandDraining(w *demandTest) {
	const pool = "dm-draining"
	worker := w.AddWorkerOf(2, pool)
	w.Submit(coordinator.SubmitOptions{}, gated("draining", "", pool, `{"stubborn":true}`))
	w.tells(pool, 1, 0, 0)
	worker.P.Drain()
	w.tells(pool, 0, 0, 0)
	w.Submit(coordinator.SubmitOptions{}, pooled("draining-2", "", pool))
	w.tells(pool, 0, 1, 0)
	w.gate.open("draining")
	w.AddWorkerOf(2, pool)
	w.Settled("draining-2")
	w.tells(pool, 0, 0, 0)
}

// TestDemandIsPushed: whichever coordinator KEDA listens to, and whichever has stored the work, it is told before anybody would have asked.
func TestDemandIsPushed(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" }})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var streams []externalscaler.ExternalScaler_StreamIsActiveClient
	for _, part := range c.Coordinators {
		stream, err := kedaOf(t, part.P.GRPC).StreamIsActive(ctx, &externalscaler.ScaledObjectRef{ScalerMetadata: map[string]string{"pool": "pushed"}})
		must(t, err)
		streams = append(streams, stream)
	}
	tell := func(want bool, within time.Duration) {
		t.Helper()
		begun := time.Now()
		for i, stream := range streams {
			if got, err := stream.Recv(); err != nil || got.Result != want {
				t.Fatalf("stream %d: got %v, %v, want %t", i, got, err, want)
			}
		}
		if took := time.Since(begun); took > within {
			t.Errorf("%t was told after %s", want, took)
		}
	}
	tell(false, 10*time.Second)
	for round := range 3 {
		id := fmt.Sprint("pushed-", round)
		c.Submit(coordinator.SubmitOptions{}, pooled(id, "", "pushed"))
		tell(true, 3*time.Second) // they look again after 5 s without being told
		if _, err := c.Service().Cancel(ctx, id, coordinator.CancelOptions{}); err != nil {
			t.Fatal(err)
		}
		tell(false, 20*time.Second)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
