package doctor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the page of checks again")

// TestPageIsUpToDate compares docs/doctor.md with the table of checks.
func TestPageIsUpToDate(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "doctor.md")
	if *update {
		if err := os.WriteFile(path, []byte(Page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if page, err := os.ReadFile(path); err != nil || string(page) != Page() {
		t.Errorf("%s is not what the table says (%v): run go generate ./internal/doctor", path, err)
	}
}

var id = regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)

// TestEachCheckSaysHowToMend: each has an id of its own, a reason, something to do, and pages that exist.
func TestEachCheckSaysHowToMend(t *testing.T) {
	seen := map[string]bool{}
	page := Page()
	for i := range Checks {
		c := &Checks[i]
		if !id.MatchString(c.ID) || seen[c.ID] || c.Area == "" || !strings.HasSuffix(c.Title, ".") || !strings.HasSuffix(c.Why, ".") || len(c.Mend) == 0 {
			t.Errorf("check %+v", c)
		}
		seen[c.ID] = true
		if !strings.Contains(page, "\n### "+c.ID+"\n") {
			t.Errorf("the page has no heading for %s", c.Link())
		}
		if see, _, _ := strings.Cut(c.See, "#"); see != "" {
			if _, err := os.Stat(filepath.Join("..", "..", "docs", see)); err != nil {
				t.Errorf("%s: %v", c.ID, err)
			}
		}
	}
}

func TestRunIsBoundedAndKeepsOrder(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	begin := time.Now()
	found := Run(t.Context(), 50*time.Millisecond,
		Probe{PostgresReach, func(context.Context) []Finding { <-hang; return nil }}, // it does not even look at its context
		Probe{NATSReach, func(ctx context.Context) []Finding {
			<-ctx.Done()
			return []Finding{Failed(NATSReach, "", ctx.Err())}
		}},
		Probe{Coordinators, func(context.Context) []Finding { return []Finding{New(Coordinators, OK, "", "fine")} }})
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	if len(found) != 3 || found[0].Check != PostgresReach || found[0].Severity != Problem || !strings.Contains(found[0].Found, "hangs") || found[1].Severity != Problem || found[2].Severity != OK {
		t.Errorf("got %+v", found)
	}
	if Worst(found) != Problem || Worst(nil) != OK {
		t.Error("the worst is not")
	}
	Sort(found)
	if found[2].Check != Coordinators {
		t.Errorf("sorted: %+v", found)
	}
}

// fine are facts in which nothing is wrong.
func finePostgres() *Postgres {
	return &Postgres{Address: "db:5432", Role: "taskgrove", Database: "tg", SeesAll: true, Version: 170002, Schema: "public", TLS: Wire{Encrypted: true},
		Settings: map[string]string{"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "autovacuum": "on", "track_counts": "on", "max_connections": "100", "superuser_reserved_connections": "3"},
		Sessions: 10, Ours: 8, Within: time.Millisecond}
}

func fineNATS() *NATS {
	n := &NATS{Address: "n1:4222", Server: "n1", Version: "2.12.1", TLS: Wire{Encrypted: true}, MaxPayload: 1 << 20, RTT: time.Millisecond, Replicas: 3}
	for i := range 3 {
		n.Servers = append(n.Servers, NATSServer{Address: fmt.Sprintf("n%d:4222", i+1), Name: fmt.Sprintf("n%d", i+1), Version: "2.12.1"})
	}
	for _, name := range []string{"TG_WORK", "TG_RESULTS", "TG_LOGS"} {
		n.Streams = append(n.Streams, Stream{Name: name, Copies: 3, Leader: "n1", Peers: []Peer{{"n2", true, true, 0}, {"n3", true, true, 0}}, Most: 1 << 30})
	}
	return n
}

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func fineCluster() *Cluster {
	c := &Cluster{Now: now, Lease: 30 * time.Second, Stuck: 10 * time.Minute}
	for _, name := range []string{"c1", "c2"} {
		c.Coordinators = append(c.Coordinators, Coordinator{Name: name, Instance: name, Version: "0.9.0+abc", Level: 5, LeaseUntil: now.Add(25 * time.Second), Answered: true,
			Within: time.Millisecond, Settings: map[string]string{"TASKGROVE_LEASE": "30s"}})
	}
	c.Workers = []Worker{{ID: "w1", Version: "0.9.0", Alive: true, LeaseUntil: now.Add(28 * time.Second), Clock: true, Within: time.Second}}
	c.Pools = []Pool{{Name: "default", Slots: 4, Workers: 1}}
	return c
}

func fineArtifacts() *Artifacts {
	return &Artifacts{Where: "the stream of artifacts", Used: 10 << 20, Most: 100 << 20, Overdue: time.Minute}
}

func TestNothingIsFoundWhereNothingIsWrong(t *testing.T) {
	for _, f := range append(append(JudgePostgres(finePostgres(), 2, 16, now), JudgeNATS(fineNATS(), now)...), append(JudgeCluster(fineCluster()), JudgeArtifacts(fineArtifacts())...)...) {
		if f.Severity != OK || len(f.Mend) != 0 || f.Link == "" {
			t.Errorf("%+v", f)
		}
	}
}

// TestEachFactIsJudged changes one fact after the other: which finding that makes, how bad, and what it says.
func TestEachFactIsJudged(t *testing.T) {
	pg := func(f func(*Postgres)) func() []Finding {
		return func() []Finding { p := finePostgres(); f(p); return JudgePostgres(p, 2, 16, now) }
	}
	nats := func(f func(*NATS)) func() []Finding {
		return func() []Finding { n := fineNATS(); f(n); return JudgeNATS(n, now) }
	}
	cluster := func(f func(*Cluster)) func() []Finding {
		return func() []Finding { c := fineCluster(); f(c); return JudgeCluster(c) }
	}
	store := func(f func(*Artifacts)) func() []Finding {
		return func() []Finding { a := fineArtifacts(); f(a); return JudgeArtifacts(a) }
	}
	ago := func(c string) error { return errors.New(c) }
	for name, row := range map[string]struct {
		found    func() []Finding
		check    string
		severity Severity
		says     string // in what was found or what to do
	}{
		"postgres away":      {pg(func(p *Postgres) { p.Err = ago("connection refused") }), PostgresReach, Problem, "connection refused"},
		"postgres old":       {pg(func(p *Postgres) { p.Version = 140009 }), PostgresVersion, Problem, "14.9"},
		"plain text":         {pg(func(p *Postgres) { p.TLS = Wire{} }), PostgresTLS, Warning, "leaves the machine"},
		"certificate ended":  {pg(func(p *Postgres) { p.TLS.Ends = now.Add(-time.Hour) }), PostgresTLS, Problem, "ended on 2026-11-29"},
		"certificate ends":   {pg(func(p *Postgres) { p.TLS.Ends = now.Add(50 * time.Hour) }), PostgresTLS, Warning, "2 days"},
		"no tables":          {pg(func(p *Postgres) { p.Schema = "" }), PostgresSchema, Warning, "no tables"},
		"newer schema":       {pg(func(p *Postgres) { p.Ahead = []string{"9999_x.sql"} }), PostgresSchema, Problem, "newer version"},
		"older schema":       {pg(func(p *Postgres) { p.Behind = []string{"0029_x.sql"} }), PostgresSchema, Problem, "0029_x.sql"},
		"a superuser":        {pg(func(p *Postgres) { p.Superuser = true }), PostgresRights, Note, "superuser"},
		"a right less":       {pg(func(p *Postgres) { p.Missing = []string{"insert on table task"} }), PostgresRights, Problem, `grant insert on table task to "taskgrove"`},
		"a standby":          {pg(func(p *Postgres) { p.Standby = true }), PostgresWrites, Problem, "pg_promote"},
		"read only":          {pg(func(p *Postgres) { p.Settings["default_transaction_read_only"] = "on" }), PostgresWrites, Problem, "default_transaction_read_only"},
		"statement pooling":  {pg(func(p *Postgres) { p.PoolerError = "the pooler is in statement mode" }), PostgresPooler, Problem, "pool_mode = transaction"},
		"few connections":    {pg(func(p *Postgres) { p.Settings["max_connections"] = "30" }), PostgresConnections, Warning, "may want 32"},
		"connections used":   {pg(func(p *Postgres) { p.Sessions = 95 }), PostgresConnections, Warning, "95 of 97"},
		"fsync off":          {pg(func(p *Postgres) { p.Settings["fsync"] = "off" }), PostgresDurability, Problem, "fsync = on"},
		"torn pages":         {pg(func(p *Postgres) { p.Settings["full_page_writes"] = "off" }), PostgresDurability, Problem, "full_page_writes = on"},
		"late commits":       {pg(func(p *Postgres) { p.Settings["synchronous_commit"] = "off" }), PostgresDurability, Warning, "loses the last commits"},
		"no standby":         {pg(func(p *Postgres) { p.Settings["synchronous_standby_names"] = "s1" }), PostgresStandby, Problem, "commits wait"},
		"standby unseen":     {pg(func(p *Postgres) { p.Settings["synchronous_standby_names"], p.SeesAll = "s1", false }), PostgresStandby, Note, "pg_monitor"},
		"much log":           {pg(func(p *Postgres) { p.WALBytes = 100 << 30 }), PostgresDisk, Warning, "100.0 GiB"},
		"some log":           {pg(func(p *Postgres) { p.WALBytes = 10 << 30 }), PostgresDisk, Note, "10.0 GiB"},
		"no autovacuum":      {pg(func(p *Postgres) { p.Settings["autovacuum"] = "off" }), PostgresAutovacuum, Problem, "autovacuum = on"},
		"no counting":        {pg(func(p *Postgres) { p.Settings["track_counts"] = "off" }), PostgresAutovacuum, Problem, "track_counts = on"},
		"a table without":    {pg(func(p *Postgres) { p.Tables = []Table{{Name: "task", Off: true}} }), PostgresAutovacuum, Problem, "alter table task reset"},
		"dead rows":          {pg(func(p *Postgres) { p.Tables = []Table{{Name: "task", Live: 1000, Dead: 900_000}} }), PostgresBloat, Warning, "vacuum (verbose) task"},
		"some dead rows":     {pg(func(p *Postgres) { p.Tables = []Table{{Name: "ready", Live: 100, Dead: 20_000}} }), PostgresBloat, Note, "never"},
		"old rows":           {pg(func(p *Postgres) { p.XIDAge = 1_200_000_000 }), PostgresXID, Warning, "vacuum freeze"},
		"very old rows":      {pg(func(p *Postgres) { p.XIDAge = 1_900_000_000 }), PostgresXID, Problem, "1900 million"},
		"a long transaction": {pg(func(p *Postgres) { p.Open = []OpenTransaction{{PID: 7, Name: "psql", Age: 2 * time.Hour}} }), PostgresLong, Warning, "pg_terminate_backend(7)"},
		"longer than usual":  {pg(func(p *Postgres) { p.Open = []OpenTransaction{{PID: 7, Age: 20 * time.Minute}} }), PostgresLong, Note, "unnamed"},
		"an idle one":        {pg(func(p *Postgres) { p.Open = []OpenTransaction{{PID: 7, Idle: true, Age: 2 * time.Minute}} }), PostgresIdle, Warning, "pg_terminate_backend(7)"},
		"one idle for long":  {pg(func(p *Postgres) { p.Open = []OpenTransaction{{PID: 7, Idle: true, Age: time.Hour}} }), PostgresIdle, Problem, "pg_terminate_backend(7)"},
		"a prepared one":     {pg(func(p *Postgres) { p.Prepared = []OpenTransaction{{Name: "it's", Age: time.Hour}} }), PostgresPrepared, Warning, "rollback prepared 'it''s'"},
		"a slot":             {pg(func(p *Postgres) { p.Slots = []Slot{{Name: "s", Held: 1 << 30}} }), PostgresSlots, Warning, "pg_drop_replication_slot('s')"},
		"a slot that holds":  {pg(func(p *Postgres) { p.Slots = []Slot{{Name: "s", Active: true, Held: 40 << 30}} }), PostgresSlots, Problem, "40.0 GiB"},
		"a lost slot":        {pg(func(p *Postgres) { p.Slots = []Slot{{Name: "s", State: "lost"}} }), PostgresSlots, Warning, "begin anew"},
		"an unused slot":     {pg(func(p *Postgres) { p.Slots = []Slot{{Name: "s"}} }), PostgresSlots, Note, "no reader"},
		"postgres's clock":   {pg(func(p *Postgres) { p.Skew = -time.Minute }), PostgresClock, Warning, "1m0s behind"},
		"clock a little off": {pg(func(p *Postgres) { p.Skew = time.Second }), PostgresClock, Note, "1s ahead"},
		"a look failed":      {pg(func(p *Postgres) { p.Faults = map[string]error{PostgresSlots: ago("timeout")} }), PostgresSlots, Problem, "could not be looked at: timeout"},

		"nats away":           {nats(func(n *NATS) { n.Err = ago("no servers") }), NATSReach, Problem, "no servers"},
		"nats far":            {nats(func(n *NATS) { n.RTT = time.Second }), NATSReach, Warning, "1s"},
		"a server away":       {nats(func(n *NATS) { n.Servers[1].Err = ago("refused") }), NATSServers, Warning, "n2:4222"},
		"nats old":            {nats(func(n *NATS) { n.Servers[1].Version = "2.9.25" }), NATSVersion, Problem, "2.9.25"},
		"nats mixed":          {nats(func(n *NATS) { n.Servers[1].Version = "2.11.0" }), NATSVersion, Note, "2.11.0: n2"},
		"nats plain":          {nats(func(n *NATS) { n.TLS = Wire{} }), NATSTLS, Warning, "plain text"},
		"small payloads":      {nats(func(n *NATS) { n.MaxPayload = 64 << 10 }), NATSPayload, Warning, "max_payload"},
		"denied":              {nats(func(n *NATS) { n.Denied = []string{"subscribe to tg.beat.*"} }), NATSPermissions, Problem, "nats-config"},
		"allowed":             {nats(func(n *NATS) { n.Allowed = []string{"subscribe to tg.inbox.*.>"} }), NATSOpen, Warning, "nats-config"},
		"slow":                {nats(func(n *NATS) { n.Dropped = 3 }), NATSSlow, Warning, "3 times"},
		"no jetstream":        {nats(func(n *NATS) { n.JetStreamErr = ago("not enabled") }), NATSJetStream, Problem, "store_dir"},
		"account full":        {nats(func(n *NATS) { n.Account = Account{Store: 99, StoreMost: 100} }), NATSLimits, Problem, "storage"},
		"account nearly full": {nats(func(n *NATS) { n.Account = Account{Memory: 80, MemoryMost: 100} }), NATSLimits, Warning, "memory"},
		"no stream":           {nats(func(n *NATS) { n.Streams[0] = Stream{Name: "TG_WORK", Missing: true} }), NATSStreams, Problem, "is not there"},
		"another retention":   {nats(func(n *NATS) { n.Streams[0].Differs = []Difference{{"retention", "Limits", "WorkQueue"}} }), NATSStreams, Problem, "WorkQueue"},
		"another age":         {nats(func(n *NATS) { n.Streams[2].Differs = []Difference{{"max_age", "1m", "24h"}} }), NATSStreams, Warning, "24h"},
		"less room":           {nats(func(n *NATS) { n.Streams[2].Differs = []Difference{{"max_bytes", "1", "2"}} }), NATSStreams, Note, "no more room"},
		"one copy": {nats(func(n *NATS) {
			n.Replicas = 1
			for i := range n.Streams {
				n.Streams[i].Copies, n.Streams[i].Peers = 1, nil
			}
		}), NATSReplicas, Warning, "TASKGROVE_NATS_REPLICAS=3"},
		"fewer copies":    {nats(func(n *NATS) { n.Streams[1].Copies = 1 }), NATSReplicas, Warning, "the settings want 3"},
		"no leader":       {nats(func(n *NATS) { n.Streams[1].Leader = "" }), NATSPeers, Problem, "no leader"},
		"a copy offline":  {nats(func(n *NATS) { n.Streams[1].Peers[0].Online = false }), NATSPeers, Warning, "n2 is offline"},
		"a copy lags":     {nats(func(n *NATS) { n.Streams[1].Peers[0] = Peer{"n2", false, true, 17} }), NATSPeers, Warning, "17"},
		"a full stream":   {nats(func(n *NATS) { n.Streams[1].Bytes = 1 << 30 }), NATSFull, Problem, "TG_RESULTS"},
		"a fuller stream": {nats(func(n *NATS) { n.Streams[1].Bytes = 800 << 20 }), NATSFull, Warning, "TG_RESULTS"},
		"logs roll":       {nats(func(n *NATS) { n.Streams[2].Bytes, n.Streams[2].Rolls = 1<<30, true }), NATSFull, Note, "dropped"},
		"no consumer":     {nats(func(n *NATS) { n.Missing = []string{"TG_WORK rest_p0"} }), NATSConsumers, Problem, "rest_p0"},

		"one coordinator":   {cluster(func(c *Cluster) { c.Coordinators = c.Coordinators[:1] }), Coordinators, Note, "one coordinator"},
		"none":              {cluster(func(c *Cluster) { c.Coordinators = nil }), Coordinators, Problem, "no coordinator"},
		"a silent one":      {cluster(func(c *Cluster) { c.Coordinators[1].Answered = false }), CoordinatorsAll, Warning, "c2"},
		"a lease that ends": {cluster(func(c *Cluster) { c.Coordinators[1].LeaseUntil = now.Add(time.Second) }), CoordinatorsAll, Warning, "c2"},
		"other settings":    {cluster(func(c *Cluster) { c.Coordinators[1].Settings = map[string]string{"TASKGROVE_LEASE": "1m"} }), SettingsDiffer, Warning, "TASKGROVE_LEASE differs between coordinators: 1m: c2; 30s: c1"},
		"an upgrade":        {cluster(func(c *Cluster) { c.Workers[0].Version = "0.8.1" }), Versions, Note, "0.8.1: worker w1"},
		"too far apart":     {cluster(func(c *Cluster) { c.Workers[0].Version = "0.7.0" }), Versions, Warning, "0.7.0: worker w1"},
		"a clock":           {cluster(func(c *Cluster) { c.Workers[0].Skew = 2 * time.Hour }), ClocksOf, Warning, "worker w1: its clock is 2h0m0s ahead"},
		"a coordinator's":   {cluster(func(c *Cluster) { c.Coordinators[0].Skew = -3 * time.Second }), ClocksOf, Note, "coordinator c1: its clock is 3s behind"},
		"no worker":         {cluster(func(c *Cluster) { c.Workers = nil }), WorkersAlive, Problem, "no worker"},
		"a lost worker":     {cluster(func(c *Cluster) { c.Workers = append(c.Workers, Worker{ID: "w2", Lost: true}) }), WorkersAlive, Warning, "w2 was lost"},
		"late beats":        {cluster(func(c *Cluster) { c.Workers[0].LeaseUntil = now.Add(4 * time.Second) }), WorkerLeases, Warning, "4s"},
		"a fault":           {cluster(func(c *Cluster) { c.Workers[0].Faults = []string{"executor x is off: no device"} }), WorkerFaults, Warning, "no device"},
		"an executor off":   {cluster(func(c *Cluster) { c.Workers[0].Off = []string{"command_executor"} }), WorkerFaults, Note, "1 executor is off: command_executor"},
		"an unserved pool":  {cluster(func(c *Cluster) { c.Pools = append(c.Pools, Pool{Name: "gpu", Ready: 3, Oldest: time.Minute}) }), PoolsServed, Problem, "TASKGROVE_POOLS=gpu taskgrove worker"},
		"an idle pool":      {cluster(func(c *Cluster) { c.Pools = append(c.Pools, Pool{Name: "gpu"}) }), PoolsIdle, Note, "gpu"},
		"a slow pool":       {cluster(func(c *Cluster) { c.Pools[0].Oldest, c.Pools[0].Ready = time.Hour, 9 }), PoolsWait, Warning, "taskgrove top"},
		"unknown executor":  {cluster(func(c *Cluster) { c.Unknown = []string{"x"} }), ExecutorsKnown, Warning, "executor x"},
		"no store":          {store(func(a *Artifacts) { a.Err = ago("there is no bucket x") }), ArtifactStore, Problem, "no bucket x"},
		"a lost content":    {store(func(a *Artifacts) { a.Lost = ago("not in the store") }), ArtifactStore, Problem, "lacks a content"},
		"a full store":      {store(func(a *Artifacts) { a.Used = 99 << 20 }), ArtifactStore, Problem, "99.0 MiB of 100.0 MiB"},
		"a fuller store":    {store(func(a *Artifacts) { a.Used = 80 << 20 }), ArtifactStore, Warning, "TASKGROVE_ARTIFACT_STREAM_BYTES"},
		"no sweep":          {store(func(a *Artifacts) { a.Overdue = 2 * time.Hour }), ArtifactStore, Warning, "due for 2h"},
		"violations":        {cluster(func(c *Cluster) { c.ViolationsN, c.Violations = 2, []string{"level (tree t)"} }), Violations, Problem, "taskgrove verify"},
	} {
		t.Run(name, func(t *testing.T) {
			var bad []Finding
			for _, f := range row.found() {
				if f.Severity != OK {
					bad = append(bad, f)
				}
			}
			if len(bad) == 0 {
				t.Fatal("nothing was found")
			}
			hit := false
			for _, f := range bad {
				hit = hit || f.Check == row.check && f.Severity == row.severity && strings.Contains(f.Found+"\n"+strings.Join(f.Mend, "\n"), row.says)
				if f.Check != row.check {
					t.Errorf("one fact makes another finding, too: %+v", f)
				}
				if len(f.Mend) == 0 || !strings.HasPrefix(f.Link, "docs/doctor.md#") {
					t.Errorf("nothing to do, or no link: %+v", f)
				}
			}
			if !hit {
				t.Errorf("got %+v, want %s %s that says %q", bad, row.check, row.severity, row.says)
			}
		})
	}
}

// TestFindingsStayWithinALine: names that somebody gave can't break a line.
func TestFindingsStayWithinALine(t *testing.T) {
	c := fineCluster()
	c.Workers[0].ID, c.Workers[0].Faults = "w\n1", []string{"a\nb"}
	for _, f := range JudgeCluster(c) {
		if strings.Contains(f.Found, "\n") {
			t.Errorf("%q", f.Found)
		}
	}
}
