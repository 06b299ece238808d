package pg

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/internal/doctor"
	"github.com/taskgrove/taskgrove/pg/pgserver"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// diagnosed are the findings about the server of a URL that are not in order, by check.
func diagnosed(t *testing.T, url string) map[string]doctor.Finding {
	t.Helper()
	p := Config{URL: url}.Examine(t.Context())
	out := map[string]doctor.Finding{}
	for _, f := range doctor.JudgePostgres(p, 2, 16, time.Now()) {
		if f.Severity != doctor.OK {
			out[f.Check], out[f.Check+" "+f.Subject] = f, f
		}
		if strings.Contains(f.Found, "could not be looked at") {
			t.Errorf("%+v", f)
		}
	}
	return out
}

// TestDiagnosisOfAPostgresInOrder: a migrated database of a plain role has nothing wrong but what is said of all test servers.
func TestDiagnosisOfAPostgresInOrder(t *testing.T) {
	url := pgtest.Database(t)
	if got := diagnosed(t, url)[doctor.PostgresSchema]; got.Severity != doctor.Warning || !strings.Contains(got.Found, "no tables") {
		t.Errorf("of an empty database: %+v", got)
	}
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	got := diagnosed(t, url)
	for _, check := range []string{doctor.PostgresReach, doctor.PostgresSchema, doctor.PostgresWrites, doctor.PostgresPooler, doctor.PostgresXID, doctor.PostgresSlots, doctor.PostgresClock, doctor.PostgresLong} {
		if f, bad := got[check]; bad {
			t.Errorf("%+v", f)
		}
	}
}

// TestDiagnosisFindsWhatIsWrongInPostgres brings findings about on a real server, one after the other, and mends them.
func TestDiagnosisFindsWhatIsWrongInPostgres(t *testing.T) {
	url := pgtest.Database(t)
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	admin, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.WithoutCancel(t.Context()))
	do := func(statement string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	var database string
	if err := admin.QueryRow(t.Context(), "select current_database()").Scan(&database); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		break_, mend []string
		check        string
		severity     doctor.Severity
		says         string
	}{
		{[]string{"alter table task set (autovacuum_enabled = off)"}, []string{"alter table task reset (autovacuum_enabled)"}, doctor.PostgresAutovacuum, doctor.Problem, "alter table task reset"},
		{[]string{"delete from migration where name like '0027%'"}, []string{"insert into migration (name) values ('0027_pool_rule.sql')"}, doctor.PostgresSchema, doctor.Problem, "0027_pool_rule.sql"},
		{[]string{"insert into migration (name) values ('9999_of_a_newer_version.sql')"}, []string{"delete from migration where name like '9999%'"}, doctor.PostgresSchema, doctor.Problem, "9999_of_a_newer_version.sql"},
		{[]string{"alter database " + database + " set default_transaction_read_only = on"}, []string{"set default_transaction_read_only = off", "alter database " + database + " reset default_transaction_read_only"}, doctor.PostgresWrites, doctor.Problem, "takes no writes"},
		{[]string{"alter database " + database + " set synchronous_commit = off"}, []string{"alter database " + database + " reset synchronous_commit"}, doctor.PostgresDurability + " synchronous_commit", doctor.Warning, "synchronous_commit is off"},
	} {
		for _, s := range row.break_ {
			do(s)
		}
		f := diagnosed(t, url)[row.check]
		if f.Severity != row.severity || !strings.Contains(f.Found+strings.Join(f.Mend, "\n"), row.says) || len(f.Mend) == 0 {
			t.Errorf("after %s: got %+v, want %s that says %q", row.break_, f, row.severity, row.says)
		}
		for _, s := range row.mend {
			do(s)
		}
		if f, still := diagnosed(t, url)[row.check]; still {
			t.Errorf("after %s: %+v", row.mend, f)
		}
	}
}

// TestDiagnosisNamesTheRightsThatARoleLacks, as a grant that mends it, and shows nothing secret of the login.
func TestDiagnosisNamesTheRightsThatARoleLacks(t *testing.T) {
	url := pgtest.Database(t)
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	admin, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.WithoutCancel(t.Context()))
	role := "doctor_" + strings.ToLower(strings.ReplaceAll(t.Name(), "/", "_"))[:20]
	for _, s := range []string{"drop role if exists " + role, "create role " + role + " login password 'sesame-open'", "grant usage on schema public to " + role,
		"grant select on all tables in schema public to " + role} {
		if _, err := admin.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	defer func() {
		for _, s := range []string{"drop owned by " + role, "drop role " + role} {
			_, _ = admin.Exec(context.WithoutCancel(t.Context()), s)
		}
	}()
	c, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	as := strings.Replace(url, c.User+":"+c.Password+"@", role+":sesame-open@", 1)
	if !strings.Contains(as, role) {
		as = strings.Replace(url, "//"+c.User+"@", "//"+role+":sesame-open@", 1)
	}
	if !strings.Contains(as, role) {
		t.Skip("the server of the tests takes no other user by its URL:", url)
	}
	f := diagnosed(t, as)[doctor.PostgresRights]
	if f.Severity != doctor.Problem || !slices.ContainsFunc(f.Mend, func(m string) bool { return strings.HasPrefix(m, "grant insert, update, delete on table") }) {
		t.Errorf("got %+v", f)
	}
	p := Config{URL: as + "&connect_timeout=1"}.Examine(t.Context())
	for _, f := range doctor.JudgePostgres(p, 1, 1, time.Now()) {
		if strings.Contains(f.Found+f.Subject+strings.Join(f.Mend, ""), "sesame") {
			t.Errorf("the password is shown: %+v", f)
		}
	}
}

// TestDiagnosisSeesOpenTransactions: one whose client does nothing, and one that runs; bounds are those of the judgement.
func TestDiagnosisSeesOpenTransactions(t *testing.T) {
	s, url := openStore(t)
	other, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.WithoutCancel(t.Context()))
	if _, err := other.Exec(t.Context(), "begin; set local idle_in_transaction_session_timeout = 0; select 1", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	turn, err := s.TakeAuditTurn(t.Context()) // an open transaction by design
	if err != nil || turn == nil {
		t.Fatal(turn, err)
	}
	defer turn.End()
	rows, err := s.pool.Query(t.Context(), sql("DoctorTransactions"), 0)
	if err != nil {
		t.Fatal(err)
	}
	idle := 0
	for rows.Next() {
		var pid int
		var name, user string
		var isIdle bool
		var seconds float64
		if err := rows.Scan(&pid, &name, &user, &isIdle, &seconds); err != nil {
			t.Fatal(err)
		}
		if uint32(pid) == other.PgConn().PID() && isIdle {
			idle++
		} else if name == "taskgrove" && isIdle {
			t.Errorf("the auditor's turn is taken for a transaction that was forgotten")
		}
	}
	if idle != 1 {
		t.Errorf("the idle transaction was seen %d times", idle)
	}
	if rows, err = s.pool.Query(t.Context(), sql("PreflightSessions"), 0); err != nil { // before an upgrade, they are looked for, too
		t.Fatal(err)
	}
	before, err := pgx.CollectRows(rows, pgx.RowToStructByPos[LongSession])
	if err != nil || len(before) != 1 || uint32(before[0].PID) != other.PgConn().PID() {
		t.Errorf("before an upgrade: got %+v, %v", before, err)
	}
}

// TestDiagnosisChangesNothing: it is also of servers that are not used, such as a copy that just started, or a standby.
func TestDiagnosisChangesNothing(t *testing.T) {
	t.Parallel()
	primary, dir := pgtest.Own(t), filepath.Join(t.TempDir(), "standby")
	if err := Migrate(t.Context(), primary.URL()); err != nil {
		t.Fatal(err)
	}
	if err := primary.CopyTo(t.Context(), pgserver.Config{DataDir: dir}, "standby", ""); err != nil {
		t.Fatal(err)
	}
	standby, err := pgserver.Start(t.Context(), pgserver.Config{DataDir: dir, BinDir: os.Getenv("PGTEST_BIN_DIR"), Settings: map[string]string{"fsync": "off", "max_connections": "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = standby.Stop() })
	for _, pooler := range []Pooler{PoolerUnknown, PoolerBetween} {
		for url, isStandby := range map[string]bool{primary.URL(): false, standby.URL(): true} {
			p := Config{URL: url, Pooler: pooler}.Examine(t.Context())
			if p.Err != nil || len(p.Faults) > 0 || p.Standby != isStandby {
				t.Errorf("pooler %v, standby %v: got %v, %v, standby %v", pooler, isStandby, p.Err, p.Faults, p.Standby)
			}
		}
	}
	conn, err := pgx.Connect(t.Context(), primary.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	var epochs, key int64
	if err := conn.QueryRow(t.Context(), "select (select count(*) from epoch), nextval('tree_key')").Scan(&epochs, &key); err != nil || epochs != 0 || key != 1 {
		t.Errorf("got %d epochs, next key %d, %v, want none and 1", epochs, key, err)
	}
}

// TestDiagnosisOfNoPostgres: what can't be reached is one finding that says how to mend it, within bounded time.
func TestDiagnosisOfNoPostgres(t *testing.T) {
	begin := time.Now()
	p := Config{URL: "postgres://me:sesame@127.0.0.1:1/none"}.Examine(t.Context())
	found := doctor.JudgePostgres(p, 1, 1, time.Now())
	if len(found) != 1 || found[0].Check != doctor.PostgresReach || found[0].Severity != doctor.Problem || found[0].Subject != "127.0.0.1:1" {
		t.Errorf("got %+v", found)
	}
	if strings.Contains(found[0].Found, "sesame") {
		t.Errorf("the password is shown: %s", found[0].Found)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestDiagnosisThroughAPooler: a real PgBouncer is found and looked through, in the modes that work; that of the other is told.
func TestDiagnosisThroughAPooler(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	if err := Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[string]struct {
		severity doctor.Severity
		says     string
	}{"transaction": {doctor.OK, "a pooler is between"}, "session": {doctor.OK, "a pooler is between"}, "statement": {doctor.Problem, "set pool_mode = transaction"}} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			p := Config{URL: pgtest.Bouncer(t, dsn, pgtest.BouncerOptions{Mode: mode})}.Examine(t.Context())
			hit := false
			for _, f := range doctor.JudgePostgres(p, 1, 4, time.Now()) {
				hit = hit || f.Check == doctor.PostgresPooler && f.Severity == want.severity && strings.Contains(f.Found, want.says)
				if strings.Contains(f.Found, "could not be looked at") || f.Severity == doctor.Problem && f.Check != doctor.PostgresPooler && f.Check != doctor.PostgresDurability {
					t.Errorf("%+v", f)
				}
			}
			if !hit {
				t.Errorf("no %s that says %q: %+v", want.severity, want.says, p)
			}
		})
	}
}
