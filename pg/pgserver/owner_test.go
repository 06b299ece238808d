package pgserver_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/pg/pgserver"
)

// ownerVariable names the data directory to a run of this test binary that is the owner of a server, to be killed.
const ownerVariable = "PGSERVER_OWNER"

// TestOwner is no test: it runs a server, says where and waits to be killed.
func TestOwner(t *testing.T) {
	dir := os.Getenv(ownerVariable)
	if dir == "" {
		t.Skip("run by TestDataSurvivesAKillOfTheOwner")
	}
	s := started(t, pgserver.Config{DataDir: dir, Settings: map[string]string{"fsync": "off", "shared_buffers": "16MB"}})
	fmt.Println(ownerVariable, s.URL())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// The owner's death takes the server with it, and the next owner need not wait by itself until that has happened.
func TestDataSurvivesAKillOfTheOwner(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a server that its owner died")
	}
	dir := t.TempDir()
	owner := exec.Command(os.Args[0], "-test.run=^TestOwner$", "-test.v")
	owner.Env = append(os.Environ(), ownerVariable+"="+dir)
	if _, err := owner.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Process.Kill(); _ = owner.Wait() })
	var url string
	for lines := bufio.NewScanner(out); url == "" && lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), ownerVariable+" "); ok {
			url = rest
		}
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "select lo_from_bytea(4711, 'kept')"); err != nil {
		t.Fatal(err)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // its lock is gone with it; its server may still be there
	s := started(t, pgserver.Config{DataDir: dir, Settings: map[string]string{"fsync": "off"}})
	if got := ask(t, s, "select convert_from(lo_get(4711), 'UTF8')"); got != "kept" {
		t.Errorf("what was stored = %q, want %q", got, "kept")
	}
	if _, err := pgx.Connect(t.Context(), url); err == nil && s.URL() != url {
		t.Error("the dead owner's server still answers")
	}
}
