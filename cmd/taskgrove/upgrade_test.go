package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/node"
	"github.com/taskgrove/taskgrove/pg/pgtest"
	"github.com/taskgrove/taskgrove/queue/natsserver"
)

// preflight names what stands in the way, and nothing when nothing does.
func TestPreflight(t *testing.T) {
	server, err := natsserver.Start(natsserver.Config{StoreDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	url := pgtest.Own(t).URL()
	t.Setenv("TASKGROVE_POSTGRES_URL", url)
	t.Setenv("TASKGROVE_NATS_URL", server.CoordinatorURL())
	look := func() (r preflightReport, err error) {
		t.Helper()
		out, err := runHere(t, "upgrade", "preflight", "-o", "json")
		if jsonErr := json.Unmarshal([]byte(out), &r); jsonErr != nil {
			t.Fatalf("preflight: %v (%v)", jsonErr, err)
		}
		return r, err
	}
	has := func(r preflightReport, weight node.Weight, part string) {
		t.Helper()
		if !slices.ContainsFunc(r.Findings, func(f node.Finding) bool {
			return f.Weight == weight && strings.Contains(f.Text, part) && (weight == node.Fine) == (f.Mend == "")
		}) {
			t.Errorf("no finding %q that says %q, and how to mend it, in %+v", weight, part, r.Findings)
		}
	}
	empty, err := look()
	if err != nil || !empty.Ready {
		t.Errorf("an empty database: got %v, %+v", err, empty)
	}
	has(empty, node.Fine, "0001_init will be made")
	has(empty, node.Fine, "NATS answers")
	if _, err := runHere(t, "migrate"); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	before := lastVersion(t)
	for _, s := range []string{
		"insert into coordinator (instance, name, version, level, lease_until) values ('i', 'first', '" + before + "', 7, now() + interval '1 hour'), ('j', 'ancient', '0.5.1', 4, now() + interval '1 hour')",
		"delete from migration where name in ('0004_followup.sql', '0005_growth.sql')", // as if they were to be made
	} {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TASKGROVE_POSTGRES_MAX_CONNS", "many")
	t.Setenv("TASKGROVE_NO_SUCH_THING", "1")
	bad, err := look()
	if coded, ok := errors.AsType[errBlocked](err); !ok || coded.ExitCode() != 3 || bad.Ready {
		t.Errorf("an upgrade that can't be: got %v, %+v", err, bad)
	}
	has(bad, node.Blocks, "TASKGROVE_POSTGRES_MAX_CONNS=many")
	has(bad, node.Mind, "TASKGROVE_NO_SUCH_THING")
	has(bad, node.Blocks, "coordinator ancient is of version 0.5.1, feature level 4")
	has(bad, node.Fine, "coordinator first is of version "+before)
	has(bad, node.Blocks, "0004_followup will be made; it locks chore, exclusively, for an instant")
	out, _ := runHere(t, "upgrade", "preflight")
	if !strings.Contains(out, "→ ") || !strings.Contains(out, "mend what blocks") {
		t.Errorf("text: got %s", out)
	}
}

// lastVersion is the minor version before this one.
func lastVersion(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../VERSION")
	if err != nil {
		t.Fatal(err)
	}
	var major, minor, patch int
	if _, err := fmt.Sscanf(string(text), "%d.%d.%d", &major, &minor, &patch); err != nil || minor == 0 {
		t.Fatalf("%q: %v", text, err)
	}
	return fmt.Sprintf("%d.%d.0", major, minor-1)
}
