package pg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/pg/pgtest"
)

func TestWhichEpochIsNewer(t *testing.T) {
	at := func(system, timeline int64, id string, minute int) Epoch {
		return Epoch{System: system, Timeline: timeline, ID: id, Began: time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)}
	}
	restored := func(generation int64, e Epoch) Epoch {
		e.Generation = generation
		return e
	}
	first := at(1, 2, "a", 0)
	for _, row := range []struct {
		fact       string
		e          Epoch
		newer, old bool // than first; first is newer than it
	}{
		{"itself", first, false, false},
		{"none", Epoch{}, false, true},
		{"promoted", at(1, 3, "b", 1), true, false},
		{"promoted, with a clock that is behind", at(1, 3, "b", -1), true, false},
		{"two replicas took the same number: the later one counts", at(1, 2, "b", 1), true, false},
		{"the same, and it was the earlier one", at(1, 2, "b", -1), false, true},
		{"an earlier timeline", at(1, 1, "b", 1), false, true},
		{"an earlier timeline that was restored", restored(7, at(1, 1, "b", 1)), true, false},
		{"another server, restored before", restored(7, at(2, 1, "b", -1)), false, true},
		{"a dump in another server", at(2, 1, "b", 1), true, false},
		{"another server, before", at(2, 7, "b", -1), false, true},
	} {
		if newer, old := row.e.Newer(first), first.Newer(row.e); newer != row.newer || old != row.old {
			t.Errorf("%s: newer %v and older %v, want %v and %v", row.fact, newer, old, row.newer, row.old)
		}
	}
}

// A server that was put back to a time before a failover counts fewer timelines than the one that took over then. An operator can have it used
// again, and the one that is promoted after it is newer still.
func TestARestoredServerIsUsedAfterAFailover(t *testing.T) {
	url := pgtest.Database(t)
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	fence := &Fence{}
	if _, err := openFenced(t, url, fence); err != nil {
		t.Fatal(err)
	}
	promoted := fence.Newest()
	promoted.Timeline, promoted.ID = promoted.Timeline+2, "another"
	fence.Learn(promoted)
	if _, err := openFenced(t, url, fence); !is[*FormerError](err) {
		t.Fatalf("the server of the earlier timeline: got %v, want it to be refused", err)
	}
	var generations []int64
	for range 2 { // the second time within the same second
		if err := (Config{URL: url}).RestartEpoch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := openFenced(t, url, fence); err != nil || !fence.Newest().Newer(promoted) || fence.Newest().Timeline >= promoted.Timeline {
			t.Fatalf("after the restore: got %+v, %v, want it to be newer than %+v", fence.Newest(), err, promoted)
		}
		generations = append(generations, fence.Newest().Generation)
	}
	if ago := time.Since(time.Unix(generations[0], 0)); ago > time.Hour || ago < -time.Hour || generations[1] <= generations[0] {
		t.Errorf("generations: got %d, want seconds since 1970 that rise", generations)
	}
	if told, err := json.Marshal(fence.Newest()); err != nil || !strings.Contains(string(told), fmt.Sprintf(`"generation":%d,`, generations[1])) {
		t.Errorf("what others are told: got %s, %v", told, err)
	}
	// Its replica is promoted: the row is of another timeline then.
	was := fence.Newest()
	if _, err := conn.Exec(t.Context(), "update epoch set timeline = timeline + 1000"); err != nil {
		t.Fatal(err)
	}
	was.Timeline, was.ID = 0, "before" // so that this server's is the later one
	next := &Fence{}
	next.Learn(was)
	if _, err := openFenced(t, url, next); err != nil || next.Newest().Generation != generations[1] || !next.Newest().Newer(promoted) {
		t.Errorf("after a promotion: got %+v, %v, want it to be newer than %+v", next.Newest(), err, promoted)
	}
	// One of the generation before begins nothing, even if it counts more timelines.
	if _, err := conn.Exec(t.Context(), "delete from epoch"); err != nil {
		t.Fatal(err)
	}
	if _, err := openFenced(t, url, next); !is[*FormerError](err) {
		t.Errorf("a server of an earlier generation: got %v", err)
	}
	var epochs int
	if err := conn.QueryRow(t.Context(), "select count(*) from epoch").Scan(&epochs); err != nil || epochs != 0 {
		t.Errorf("it began %d epochs, %v", epochs, err)
	}
}

// is reports whether an error is of a kind.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// openFenced opens a store on a database, with a fence of its own.
func openFenced(t *testing.T, url string, fence *Fence) (*Store, error) {
	t.Helper()
	s, err := Open(t.Context(), Config{URL: url, MaxConns: 4, Fence: fence})
	if err == nil {
		t.Cleanup(s.Close)
	}
	return s, err
}

// A store that hears of a newer epoch uses its server no more, not even where it is in the midst of something, and says so in one line.
func TestANewerEpochEndsTheUseOfAServer(t *testing.T) {
	url := pgtest.Database(t)
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	fence := &Fence{}
	s, err := openFenced(t, url, fence)
	if err != nil {
		t.Fatal(err)
	}
	first := fence.Newest()
	if first.ID == "" || first.Timeline < 1 || first.System == 0 || fence.Blind() || s.CheckServer(t.Context()) != nil {
		t.Fatalf("epoch: got %+v, blind %v, %v", first, fence.Blind(), s.CheckServer(t.Context()))
	}
	again := &Fence{}
	if _, err := openFenced(t, url, again); err != nil || again.Newest() != first {
		t.Errorf("another store found %+v, %v, want %+v", again.Newest(), err, first)
	}
	busy := make(chan error, 1)
	c, err := s.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := c.Exec(t.Context(), "select pg_sleep(60)")
		c.Release()
		busy <- err
	}()
	fence.Learn(Epoch{}) // no news
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("ping after no news: %v", err)
	}
	newer := first
	newer.Timeline, newer.ID = first.Timeline+1, "another"
	fence.Learn(newer)
	if err := <-busy; err == nil {
		t.Error("a statement went on at the former primary")
	}
	former, ok := errors.AsType[*FormerError](s.Ping(t.Context()))
	if !ok || former.Standby || former.Newest != newer || former.Epoch != first || !Unreachable(former) || fence.Refused() == nil {
		t.Errorf("ping: got %+v", former)
	}
	if why, yes := Unavailable(s.Ping(t.Context())); !yes || why == "" {
		t.Errorf("it counts as %q, %v, want it to be unavailable", why, yes)
	}
	if err := s.CheckServer(t.Context()); !errors.As(err, &former) {
		t.Errorf("check: got %v", err)
	}

	// Its files were put back, and the operator says so: it is the newest of all.
	if err := (Config{URL: url}).RestartEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	restored := &Fence{}
	if _, err := openFenced(t, url, restored); err != nil || !restored.Newest().Newer(first) || restored.Newest().Timeline != first.Timeline {
		t.Errorf("after a restore: got %+v, %v, want it to be newer than %+v", restored.Newest(), err, first)
	}
}

// A server that can't write its epoch now, as it is read-only or its disk is full, is used for what reads; it begins its epoch when it can.
func TestAServerThatTakesNoWritesIsUsed(t *testing.T) {
	t.Parallel()
	for fact, statements := range map[string][2]string{
		"read-only": {"alter database %s set default_transaction_read_only = on", "alter database %s reset default_transaction_read_only"},
		"disk full": {`create or replace function full_disk() returns trigger language plpgsql as 'begin raise exception ''full'' using errcode = ''53100''; end';
			create trigger full_disk before insert on epoch for each row execute function full_disk(); --%s`, "drop trigger full_disk on epoch; --%s"},
	} {
		t.Run(fact, func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.Database(t)
			if err := Migrate(t.Context(), dsn); err != nil {
				t.Fatal(err)
			}
			conn, err := pgx.Connect(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(t.Context()) }()
			do := func(statement string) {
				t.Helper()
				if _, err := conn.Exec(t.Context(), strings.ReplaceAll(statement, "%s", conn.Config().Database)); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			fence := &Fence{}
			s, err := openFenced(t, dsn, fence)
			if err != nil {
				t.Fatal(err)
			}
			// As after a promotion: its row is not there yet, and the newest that is known is the server before.
			do("update epoch set timeline = timeline - 1")
			for _, known := range []bool{false, true} {
				do(statements[0])
				if known {
					before := fence.Newest()
					before.Timeline--
					fence = &Fence{}
					fence.Learn(before)
				} else {
					fence = &Fence{}
				}
				cs, err := connect(t.Context(), Config{URL: dsn, MaxConns: 2, Fence: fence})
				if err != nil {
					t.Fatalf("known %v: got %v", known, err)
				}
				defer cs.close()
				if err := cs.ping(t.Context()); err != nil || !fence.Blind() || fence.Refused() != nil {
					t.Errorf("known %v: got %v, blind %v, refused %v", known, err, fence.Blind(), fence.Refused())
				}
				do(statements[1])
				s.watch.close()
				s.watch.cfg.Fence = fence
				if err := s.CheckServer(t.Context()); err != nil || fence.Blind() || fence.Newest().ID == "" {
					t.Errorf("known %v, when it takes writes: got %v, blind %v, newest %+v", known, err, fence.Blind(), fence.Newest())
				}
				if err := cs.ping(t.Context()); err != nil {
					t.Errorf("known %v, the connections after that: %v", known, err)
				}
				do("delete from epoch")
			}
		})
	}
}

// A server that takes connections and never answers, such as a frozen one, does not hide the next one of the URL, for the look which server
// holds the database, and for connections. A look at servers of which none answers ends soon.
func TestAServerThatHangsDoesNotHideTheNext(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	if err := Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes the connections
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = silent.Addr().String() + "," + u.Host
	ctx, cancel := context.WithTimeout(t.Context(), 4*connectWithin)
	defer cancel()
	s, err := Open(ctx, Config{URL: u.String(), MaxConns: 4})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(s.Close)
	for _, fact := range []string{"at first", "over the connection that is there"} {
		begin := time.Now()
		if err := s.CheckServer(t.Context()); err != nil {
			t.Errorf("%s: %v", fact, err)
		}
		if took := time.Since(begin); took > 2*lookWithin+answerWithin {
			t.Errorf("%s: the check took %s", fact, took)
		}
	}
	backend := s.watch.conn.PgConn().PID()
	hang, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hang.Close(t.Context()) }()
	if _, err := hang.Exec(t.Context(), "begin; lock table epoch"); err != nil { // so that no server answers for its epoch
		t.Fatal(err)
	}
	begin := time.Now()
	if err := s.CheckServer(t.Context()); err == nil || time.Since(begin) > answerWithin+2*lookWithin+2*answerWithin {
		t.Errorf("while none answers: got %v after %s", err, time.Since(begin))
	}
	if _, err := hang.Exec(t.Context(), "rollback"); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckServer(t.Context()); err != nil || s.watch.conn.PgConn().PID() == backend {
		t.Errorf("after that: got %v, the connection %d of before", err, backend)
	}
}

// Each server that the URL names counts once, also where it is tried with TLS and without.
func TestServersOfAURL(t *testing.T) {
	for text, want := range map[string]int{
		"postgres://one/db":                                  1,
		"postgres://one,two/db":                              2,
		"postgres://one:5432,one:5433,two/db?sslmode=prefer": 3,
	} {
		c, err := pgx.ParseConfig(text)
		if err != nil || servers(c) != want {
			t.Errorf("%s: got %d, %v, want %d", text, servers(c), err, want)
		}
	}
	own, err := pgx.ParseConfig("postgres://one,two/db?connect_timeout=9")
	if err != nil {
		t.Fatal(err)
	}
	if boundConnect(own, time.Second); own.ConnectTimeout != 9*time.Second {
		t.Errorf("connect_timeout=9 became %s", own.ConnectTimeout)
	}
}

// What a database gave out before it was restored may be unknown to it: new trees get keys far from there. The first server leaves no gap.
func TestKeysAreNotGivenOutTwice(t *testing.T) {
	url := pgtest.Database(t)
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	next := func(statements ...string) (key int64) {
		for _, s := range append(statements, "") {
			if s == "" {
				if _, err := openFenced(t, url, &Fence{}); err != nil {
					t.Fatal(err)
				}
				s = "select 1"
			}
			if _, err := conn.Exec(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
		if err := conn.QueryRow(t.Context(), "select nextval('tree_key')").Scan(&key); err != nil {
			t.Fatal(err)
		}
		return key
	}
	first := next()
	if first > 10 {
		t.Errorf("the first key is %d", first)
	}
	if again := next(); again != first+1 {
		t.Errorf("the same server: got key %d after %d", again, first)
	}
	// as if the rows had come here from another server
	if moved := next("update epoch set system = 42"); moved < first+1_000_000 {
		t.Errorf("another server: got key %d, want it far from %d", moved, first)
	}
	// a role that owns nothing
	before := next()
	for _, s := range []string{"update epoch set system = system + 1 where system <> 42", "create role counter_only",
		"grant select, insert on epoch to counter_only", "grant usage on sequence tree_key, ready_id_seq, fence to counter_only"} {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"set role counter_only", sql("BeginEpoch"), "reset role", "revoke all on epoch, tree_key, ready_id_seq, fence from counter_only", "drop role counter_only"} {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if after := next(); after < before+100_000 {
		t.Errorf("a role that owns nothing: got key %d, want it far from %d", after, before)
	}
}
