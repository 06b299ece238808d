package coordinator_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/doctor"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// diagnosed are the findings that are not in order, by check. An error says that a look was not finished, which on a busy machine may be true once.
func diagnosed(c *cluster.Cluster) (map[string][]coordinator.Finding, error) {
	d, err := c.Service().Diagnose(c.T.Context())
	if err != nil {
		return nil, err
	}
	out := map[string][]coordinator.Finding{}
	for _, f := range d.Findings {
		if f.Severity != doctor.OK {
			out[f.Check] = append(out[f.Check], f)
		}
		if strings.Contains(f.Found, "could not be looked at") || strings.Contains(f.Found, "hangs") || f.Link == "" {
			return nil, fmt.Errorf("%+v", f)
		}
	}
	return out, nil
}

// TestDiagnosisOfAClusterInOrder: nothing is wrong but what is true of test servers; all coordinators answer the roll call.
func TestDiagnosisOfAClusterInOrder(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Pools: []string{"noop_executor"}})
	c.Submit(coordinator.SubmitOptions{}, noop("a", ""))
	c.Settled("a")
	c.Eventually("nothing is wrong", func() error {
		found, err := diagnosed(c)
		if err != nil {
			return err
		}
		for _, check := range []string{doctor.PostgresDurability, doctor.PostgresRights, doctor.PostgresConnections, doctor.NATSReplicas, doctor.PostgresSlots, doctor.PoolsIdle, doctor.WorkerFaults} { // of a test server
			delete(found, check)
		}
		if len(found) > 0 { // a server that is slow for a moment is told, too
			return fmt.Errorf("found %+v", found)
		}
		return nil
	})
	workers, err := c.Service().Workers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Eventually("beats tell what was run", func() error {
		if workers, err = c.Service().Workers(t.Context()); err != nil {
			return err
		}
		if n := workers[0].Counts["noop_executor"]; n.Started != 1 || n.Ended != 1 || n.Running != 0 {
			return fmt.Errorf("counts are %+v", workers[0].Counts)
		}
		return nil
	})
}

// TestDiagnosisFindsWhatIsWrong brings findings about on a real cluster.
func TestDiagnosisFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	n, dir := 0, t.TempDir()
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Workers: 2, Pools: []string{"noop_executor"}, Coordinator: func(cfg *config.Coordinator) {
		if n++; n == 2 {
			cfg.LogsAge = 48 * time.Hour
			cfg.ArchiveDir = dir
		}
	}})
	says := func(check string, severity doctor.Severity, text string) error {
		found, err := diagnosed(c)
		if err != nil {
			return err
		}
		for _, f := range found[check] {
			if f.Severity == severity && strings.Contains(f.Found, text) && len(f.Mend) > 0 {
				return nil
			}
		}
		return fmt.Errorf("no %s of %s that says %q: %+v", severity, check, text, found[check])
	}
	want := func(check string, severity doctor.Severity, text string) {
		t.Helper()
		c.Eventually(check+" says it", func() error { return says(check, severity, text) })
	}
	want(doctor.SettingsDiffer, doctor.Warning, "TASKGROVE_LOGS_AGE")
	want(doctor.SettingsDiffer, doctor.Warning, "the archive differs between coordinators: folder "+dir)

	// ready tasks of a pool without a worker
	task := noop("lonely", "")
	task.Pool = "gpu"
	c.Submit(coordinator.SubmitOptions{}, task)
	c.Eventually("the pool without a worker is found", func() error { return says(doctor.PoolsServed, doctor.Problem, "pool gpu has 1 ready tasks") })

	// a worker whose clock is wrong: its beats say so
	nc, err := nats.Connect(c.NATS.WorkerURL("late"), nats.CustomInboxPrefix("tg.inbox.late"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	beat := func(number uint64) error {
		data, err := proto.Marshal(&workerv1.Beat{Version: workerv1.Version, Instance: "late-1", Number: number, Level: uint32(dag.AllLevels.Highest()), Build: "0.5.0", Host: "h",
			SentUnixMs: time.Now().Add(-time.Hour).UnixMilli()})
		if err == nil {
			_, err = nc.Request("tg.beat.late", data, 5*time.Second)
		}
		return err
	}
	number := uint64(0)
	c.Eventually("the wrong clock and the old version are found", func() error {
		number++
		return errors.Join(beat(number), says(doctor.ClocksOf, doctor.Warning, "worker late: its clock is 1h0m0s behind"), says(doctor.Versions, doctor.Warning, "0.5.0: worker late"))
	})

	// what somebody did to a stream
	vandal, err := nats.Connect(c.NATS.CoordinatorURL())
	if err != nil {
		t.Fatal(err)
	}
	defer vandal.Close()
	js, err := jetstream.New(vandal)
	if err != nil {
		t.Fatal(err)
	}
	c.Eventually("the changed stream is found", func() error {
		logs, err := js.Stream(t.Context(), "TG_LOGS")
		if err != nil {
			return err
		}
		cfg := logs.CachedInfo().Config
		cfg.MaxMsgSize = 1000 // until a coordinator connects anew, and corrects it
		if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
			return err
		}
		return says(doctor.NATSStreams, doctor.Warning, "stream TG_LOGS has max_msg_size 1000")
	})

	// a webhook that was switched off
	conn, err := pgx.Connect(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `insert into webhook (id, name, events, config, host, active, reason) values ('hook-1', 'pager', 1, '{}', 'example.org', false, 'it failed for long')`); err != nil {
		t.Fatal(err)
	}
	want(doctor.WebhooksOff, doctor.Warning, "webhook pager of namespace default is off: it failed for long")

	// schedules: one whose run is late, and one whose tree is refused
	schedule(t, c, `{"id":"slow","cron":"0 2 1 1 *","tree":{"name":"a","pool":"gpu","schemas":{"method":"noop_executor"}}}`)
	schedule(t, c, `{"id":"broken","cron":"0 2 1 1 *","tree":{"name":"a","schemas":{"method":"noop_executor"}}}`)
	for _, id := range []string{"slow", "broken"} {
		if _, err := c.Service().TriggerSchedule(t.Context(), coordinator.ScheduleTrigger{ID: id}); err != nil {
			t.Fatal(err)
		}
		untilRuns(t, c, id, func(runs []*coordinator.ScheduleRun) bool { return len(runs) == 1 && runs[0].Status != "due" })
	}
	for _, statement := range []string{"update fire set late = true, due_at = now() where schedule = (select key from schedule where id = 'slow')",
		"update fire set state = 5, tree = null, reason = 'tree[0]: no luck' where schedule = (select key from schedule where id = 'broken')"} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	want(doctor.SchedulesRun, doctor.Warning, "schedule slow of namespace default has a run that was due at ")
	want(doctor.SchedulesRun, doctor.Problem, "the tree of schedule broken of namespace default was refused at ")

	// a namespace at its quota
	if _, err := conn.Exec(t.Context(), "insert into namespace (key, name, trees, has_trees, has_tasks, has_bytes) values (77, 'team', 10, 10, 0, 0)"); err != nil {
		t.Fatal(err)
	}
	want(doctor.Quotas, doctor.Warning, "namespace team has 10 of 10 trees")

	// a pause of a pool
	if _, err := c.Service().Pause(t.Context(), coordinator.PauseTarget{Pool: "apart"}, "maintenance"); err != nil {
		t.Fatal(err)
	}
	want(doctor.Paused, doctor.Note, "pool apart is paused by somebody since ")

	// limits that let nothing start
	none := int32(0)
	for _, spec := range []coordinator.LimitSpec{{LimitTarget: coordinator.LimitTarget{Key: "warehouse"}, Max: &none, Reason: "it moves"}, {LimitTarget: coordinator.LimitTarget{UserID: "amy"}, Running: &none}} {
		if _, err := c.Service().SetLimit(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	want(doctor.Paused, doctor.Note, "the limit of key warehouse is 0, set by somebody since ")
	want(doctor.Paused, doctor.Note, "the limit of user amy is 0, set by somebody since ")

	// a tree that is held for longer than it would be kept
	held := c.Submit(coordinator.SubmitOptions{Hold: true}, noop("evidence", "")).TreeID
	if _, err := c.Service().Hold(t.Context(), coordinator.HoldSpec{TreeID: held, Reason: "case 7"}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "update tree set finished_at = now() - interval '1000 days' where root_id = $1", held); err != nil {
		t.Fatal(err)
	}
	want(doctor.TreesHeld, doctor.Note, "of 1 trees that are held, 1 would have been deleted by now")

	// an erasure that stands still: a tree of the user runs
	waits := noop("of-ed", "")
	waits.Pool = "gpu"
	c.Submit(coordinator.SubmitOptions{UserID: "ed"}, waits)
	if _, err := conn.Exec(t.Context(), `insert into erasure (id, namespace, user_id, cancel, asked_by, upto, writers, moved_at)
			values ('still', 0, 'ed', false, '', 1 << 30, pg_current_xact_id(), now() - interval '1 hour')`); err != nil {
		t.Fatal(err)
	}
	want(doctor.ErasuresMove, doctor.Warning, "the erasure still of user ed is at trees since ")

	// a worker that is lost
	if _, err := conn.Exec(t.Context(), "update worker set lease_until = now() - interval '10 seconds' where id = 'late'"); err != nil {
		t.Fatal(err)
	}
	c.Eventually("the lost worker is found", func() error { return says(doctor.WorkersAlive, doctor.Warning, "worker late was lost") })
}

// TestDiagnosisOutlivesNATS: with NATS away, the rest is still looked at, and the diagnosis ends.
func TestDiagnosisOutlivesNATS(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Pools: []string{"noop_executor"}})
	c.NATS.Shutdown()
	d, err := c.Service().Diagnose(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]doctor.Severity{}
	for _, f := range d.Findings {
		by[f.Check] = f.Severity
	}
	if by[doctor.NATSReach] != doctor.Problem || by[doctor.PostgresReach] != doctor.OK || by[doctor.CoordinatorsAll] != doctor.Warning {
		t.Errorf("got %v", by)
	}
}
