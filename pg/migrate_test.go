package pg

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Each migration begins with a comment that says what it is for, and then, to whoever upgrades a cluster under load, which
// tables it locks, how, and for how long, and what becomes of coordinators of the version before.
var headerLines = []*regexp.Regexp{
	regexp.MustCompile(`(?m)^-- Locks: (nothing\b|[a-z, ]+, (exclusively|shared), (for an instant|while|until))`),
	regexp.MustCompile(`(?m)^-- Older coordinators: (there are none\.|go on working\b|must have stopped, as )`),
}

// headerFaults is what is missing of a migration's header, the comment that it begins with.
func headerFaults(text string) (faults []string) {
	header := regexp.MustCompile(`^(?:--.*\n)*`).FindString(text)
	if !regexp.MustCompile(`^-- [A-Z]`).MatchString(header) || strings.HasPrefix(header, "-- Locks:") {
		faults = append(faults, "its first line must say what it is for")
	}
	for _, line := range headerLines {
		if n := len(line.FindAllString(header, -1)); n != 1 {
			faults = append(faults, fmt.Sprintf("%d lines of its header match %s, want 1, as in\n%s", n, line, goodHeader))
		}
	}
	return faults
}

// goodHeader is a header without a fault.
const goodHeader = `-- A thing gets room.
-- Locks: task, exclusively, for an instant; no row is written anew.
-- Older coordinators: go on working.
`

func TestMigrationsSayWhatTheyLock(t *testing.T) {
	named := regexp.MustCompile(`^\d{4}_[a-z_]+\.sql$`)
	var numbers []string
	for name, text := range filesOf(t, migrations, "migrations") {
		if !named.MatchString(name) {
			t.Errorf("%s: want a name such as 0042_thing.sql", name)
			continue
		}
		numbers = append(numbers, name[:4])
		for _, fault := range headerFaults(text) {
			t.Errorf("%s: %s", name, fault)
		}
	}
	for _, given := range []string{"0036", "0037"} { // to what comes with the same version; migrations are known by their names, so that the order in which they come to be does not count
		if !slices.Contains(numbers, given) {
			numbers = append(numbers, given)
		}
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		if want := fmt.Sprintf("%04d", i+1); n != want {
			t.Fatalf("the migrations have the numbers %v, want each once from 0001 on", numbers)
		}
	}
}

// TestHeaderFaults is about the test above: what it must find.
func TestHeaderFaults(t *testing.T) {
	const good = goodHeader + "alter table"
	for _, row := range []struct {
		fact, text string
		faults     int
	}{
		{"all is there", good, 0},
		{"several tables", strings.Replace(good, "Locks: task,", "Locks: task and tree,", 1), 0},
		{"nothing is locked", strings.Replace(good, "task, exclusively, for an instant", "nothing", 1), 0},
		{"nothing is said", "alter table", 3},
		{"it does not say what for", strings.TrimPrefix(good, "-- A thing gets room.\n"), 1},
		{"it does not say how it locks", strings.Replace(good, "exclusively, ", "", 1), 1},
		{"it does not say how long", strings.Replace(good, ", for an instant", "", 1), 1},
		{"it does not say why others must stop", strings.Replace(good, "go on working", "must have stopped", 1), 1},
		{"it is said after the statements", "create table x ();\n" + good, 3},
	} {
		if got := headerFaults(row.text); len(got) != row.faults {
			t.Errorf("%s: got %q, want %d faults", row.fact, got, row.faults)
		}
	}
}
