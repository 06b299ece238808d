package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// runHere runs a command in this process.
func runHere(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	var out, notes bytes.Buffer
	root := newRoot(new(bool))
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&notes)
	err = root.ExecuteContext(t.Context())
	if t.Failed() || testing.Verbose() {
		t.Logf("%v: %v\n%s%s", args, err, &out, &notes)
	}
	return out.String(), err
}

// migrate says what is missing, makes it once, and may run again.
func TestMigrate(t *testing.T) {
	t.Setenv("TASKGROVE_POSTGRES_URL", pgtest.Own(t).URL())
	report := func(args ...string) (r migrationReport, err error) {
		out, err := runHere(t, append([]string{"migrate", "-o", "json"}, args...)...)
		if jsonErr := json.Unmarshal([]byte(out), &r); jsonErr != nil {
			t.Fatalf("migrate %v: %v (%v)", args, jsonErr, err)
		}
		return r, err
	}
	checked, err := report("--check")
	if coded, ok := errors.AsType[errPending](err); !ok || coded.ExitCode() != 3 || len(checked.Pending) < 28 || len(checked.Applied) > 0 {
		t.Fatalf("check before: got %+v, %v, want all to be missing, and exit code 3", checked, err)
	}
	made, err := report()
	if err != nil || len(made.Applied) != len(checked.Pending) || len(made.Pending) > 0 || made.Newest != checked.Newest || made.Version != node.Version() {
		t.Errorf("migrate: got %+v, %v", made, err)
	}
	again, err := report()
	if err != nil || len(again.Applied)+len(again.Pending) > 0 {
		t.Errorf("again: got %+v, %v, want nothing to do", again, err)
	}
	out, err := runHere(t, "migrate", "--check")
	if err != nil || !strings.Contains(out, "the database has the schema of version "+node.Version()+" ("+checked.Newest+")") {
		t.Errorf("check after: got %q, %v", out, err)
	}
}

// A snapshot was put back: the operator says so, and the server counts as the newest.
func TestMigrateRestored(t *testing.T) {
	url := pgtest.Own(t).URL()
	t.Setenv("TASKGROVE_POSTGRES_URL", url)
	if _, err := runHere(t, "migrate", "--restored"); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var first, second string
	for _, id := range []*string{&first, &second} {
		if err := conn.QueryRow(t.Context(), "select id::text from epoch").Scan(id); err != nil {
			t.Fatal(err)
		}
		if _, err := runHere(t, "migrate", "--restored"); err != nil {
			t.Fatal(err)
		}
	}
	if first == second {
		t.Errorf("the epoch %s did not begin anew", first)
	}
	if _, err := runHere(t, "migrate", "--restored", "--check"); err == nil {
		t.Error("--restored --check: got nil")
	}
}

// What is wrong with the settings or the server is said in a line, and at once or when the patience ends.
func TestMigrateThatCannot(t *testing.T) {
	t.Setenv("TASKGROVE_POSTGRES_URL", "")
	_, err := runHere(t, "migrate")
	if _, ok := errors.AsType[config.Faults](err); !ok || !strings.Contains(err.Error(), "TASKGROVE_POSTGRES_URL") {
		t.Errorf("without a URL: got %v", err)
	}
	t.Setenv("TASKGROVE_POSTGRES_URL", "postgres://u:p@127.0.0.1:1/db")
	_, err = runHere(t, "migrate", "--wait", "200ms")
	if err == nil || !strings.Contains(err.Error(), "not done after 200ms (--wait)") || strings.Contains(err.Error(), ":p@") {
		t.Errorf("without a server: got %v", err)
	}
}
