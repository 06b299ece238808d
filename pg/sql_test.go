package pg

import (
	"context"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// TestEveryStatementFitsTheSchema prepares them all against the migrated schema.
func TestEveryStatementFitsTheSchema(t *testing.T) {
	url := pgtest.Database(t)
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for name, text := range statements {
		if _, err := conn.Prepare(t.Context(), name, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A number that is compared with, or written to, a column whose numbers package dag or this package gives; in migrations the
// word for it follows.
var numbered = regexp.MustCompile(`\b(?:state|flags|kind|outcome|priority)\s*(?:=|<>|[<>]=?|&|\||is distinct from|between|not between|(?:not )?in)\s*\(?((?:\d+(?:, *)?)+)\)?(?:\s*/\* (\w+) \*/)?` +
	`|\bcase \w+\.(?:state|kind|outcome) when (\d+)`)

// unnamed are the places of a text where a number stands for itself, and those where it has a word that means another one.
func unnamed(text string) (bad []string) {
	for _, found := range numbered.FindAllStringSubmatch(comments.ReplaceAllString(text, ""), -1) {
		if numbers, word := found[1], found[2]; word == "" || words[word] != numbers {
			bad = append(bad, found[0])
		}
	}
	return bad
}

var comments = regexp.MustCompile(`--.*`)

// TestNumbersHaveNames: no state, flag or kind is a bare number in a statement; loading them has put in those of package dag.
func TestNumbersHaveNames(t *testing.T) {
	for name, text := range filesOf(t, sqlFiles, "sql") {
		for _, bad := range unnamed(text) {
			t.Errorf("%s: %q: write the word for the number, see words in sql.go", name, bad)
		}
	}
}

// TestNumbersInMigrations: what migrations leave in the schema, such as views, says the word for each number, and package dag
// has the same number for it. They can't be spelt when they are run: what a database has is what was written.
func TestNumbersInMigrations(t *testing.T) {
	const view = "create view shown"
	last, text := "", ""
	for name, content := range filesOf(t, migrations, "migrations") {
		if i := strings.Index(content, view); i >= 0 && name > last {
			last, text = name, content[i:]
		}
		if name <= "0004" { // its view is replaced by a later one
			continue
		}
		for _, bad := range unnamed(content) {
			t.Errorf("%s: %q: the word for the number must follow in a comment, and mean it", name, bad)
		}
	}
	if n := len(numbered.FindAllString(comments.ReplaceAllString(text, ""), -1)); last <= "0004" || n == 0 {
		t.Errorf("the view is in %q, with %d numbers: want it in a later migration, with some", last, n)
	}
}

// TestNumbersAreFound is about the tests above: what they must find.
func TestNumbersAreFound(t *testing.T) {
	for text, want := range map[string]int{
		"where t.state = 8": 1, "where state in (1, 2) and kind=4": 2, "where t.state < 5": 1, "where not state between 1 and 4": 1, "set state = 4 where": 1,
		"where flags & 8 <> 0": 1, "where a.outcome is distinct from 1": 1, "case u.state when 4 then": 1, "where priority <= 3": 1,
		"where t.state = :ready and t.flags & :flag_wide = 0": 0, "-- state = 1": 0, "where key = 8 and n > 1": 0,
		"where t.state = 8 /* cancelled */": 0, "where t.state = 7 /* cancelled */": 1, "where t.state in (1, 2, 3, 4, 10, 11) /* unfinished */": 0,
		"where t.state in (1, 2, 3) /* unfinished */": 1, "where kind = 1 /* timer_due */": 0, "where t.state = 8 /* gone */": 1,
	} {
		if got := unnamed(text); len(got) != want {
			t.Errorf("%s: found %q, want %d", text, got, want)
		}
	}
}

func TestSpell(t *testing.T) {
	got, err := spell(`select :event_final, x::integer from task where state in (:unfinished) and flags & :flag_leaf <> 0 -- so: it is`)
	if want := `select '\x07'::bytea, x::integer from task where state in (1, 2, 3, 4, 10, 11) and flags & 1 <> 0 -- so: it is`; got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := spell("where state = :redy"); err == nil || !strings.Contains(err.Error(), ":redy") {
		t.Errorf("a word that there is not: got %v", err)
	}
}

// filesOf are the texts of a folder, by name.
func filesOf(t *testing.T, files fs.FS, folder string) map[string]string {
	t.Helper()
	all, err := fs.ReadDir(files, folder)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range all {
		text, err := fs.ReadFile(files, folder+"/"+f.Name())
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name()] = string(text)
	}
	return out
}
