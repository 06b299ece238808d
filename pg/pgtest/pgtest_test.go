package pgtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func query(t *testing.T, url, statement string) (answer string, err error) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	err = conn.QueryRow(t.Context(), statement).Scan(&answer)
	return answer, err
}

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	one, two := pgtest.Database(t), pgtest.Database(t)
	a, err := query(t, one, "select current_database()")
	if err != nil {
		t.Fatal(err)
	}
	b, err := query(t, two, "select current_database()")
	if err != nil {
		t.Fatal(err)
	}
	if a == b {
		t.Errorf("both databases are %s", a)
	}
}

func TestDatabaseIsDroppedThoughSomebodyIsConnected(t *testing.T) {
	var url string
	t.Run("inner", func(t *testing.T) {
		url = pgtest.Database(t)
		conn, err := pgx.Connect(context.Background(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn }) // left open
	})
	if _, err := query(t, url, "select 'still there'"); err == nil {
		t.Error("the database is still there")
	}
}

func TestOwnServerKeepsItsAddressAndDataOverAKill(t *testing.T) {
	s := pgtest.Own(t)
	url := s.URL()
	if got, err := query(t, url, "select current_setting('fsync')"); err != nil || got != "off" {
		t.Fatalf("fsync = %q, %v; want off", got, err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.URL(); got != url {
		t.Errorf("URL after the kill = %s, want %s", got, url)
	}
	if _, err := query(t, url, "select 'there'"); err != nil {
		t.Error(err)
	}
}

// childVariable makes a run of this test binary the child of [TestDeadProcessLeavesNothingBehind].
const childVariable = "PGTEST_CHILD"

// TestChild is no test: it asks for a database, says where its data is and waits to be killed.
func TestChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		t.Skip("run by TestDeadProcessLeavesNothingBehind")
	}
	url := pgtest.Database(t)
	dir, err := query(t, url, "select current_setting('data_directory')")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(childVariable, dir, url)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// child starts one and returns when it has its database.
func child(t *testing.T) (process *exec.Cmd, dir, url string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v")
	cmd.Env = append(os.Environ(), childVariable+"=1")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) == 3 && words[0] == childVariable {
			return cmd, words[1], words[2]
		}
	}
	t.Fatal("the child has no database")
	return nil, "", ""
}

func TestDeadProcessLeavesNothingBehind(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a server that its parent died")
	}
	first, dir, url := child(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.WaitForNotification(t.Context()); err == nil { // blocks until the server hangs up
		t.Error("a notification nobody sent")
	}
	_ = first.Wait()
	child(t)
	if _, err := os.Stat(filepath.Dir(dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead process's directory: %v, want %v", err, os.ErrNotExist)
	}
}

// TestPreparedDatabasesAreCopies: it is prepared once, and what one test does to its database is not in another's.
func TestPreparedDatabasesAreCopies(t *testing.T) {
	times := 0
	prepare := func(ctx context.Context, url string) error {
		times++
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, "create table t (x text); insert into t values ('prepared')")
		return err
	}
	for range 2 {
		got, err := query(t, pgtest.Prepared(t, prepare), "with old as (select x from t), n as (update t set x = 'changed') select x from old")
		if err != nil || got != "prepared" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if times != 1 {
		t.Errorf("it was prepared %d times", times)
	}
}
