package pg

import (
	"regexp"
	"strings"
	"testing"
)

// contracts is what a migration must not do in the release that stops using a thing: processes of the version before, which run beside it and to which one
// may go back, still use it. It is done a release later, as an exception below that says which version stopped using it.
var contracts = regexp.MustCompile(`(?i)\bdrop (table|column|constraint|function|sequence|view|type|schema|not null identity)\b|\brename\b|\balter column \w+ (set )?(data )?type\b|\bset not null\b|` +
	`\badd (constraint|check|unique|primary key|foreign key)\b|\bcreate unique index\b|\badd column \w+ [a-z ]+\bnot null\b|\bdelete from\b|\btruncate\b|\balter type\b`)

// defaulted is the one way to add a column that must have a value.
var defaulted = regexp.MustCompile(`(?i)\badd column \w+ [a-z\[\] ]+\bnot null default\b|\badd column [^,;]*\bnot null generated\b`)

// allowedContracts are the exceptions, and why each harms nobody.
var allowedContracts = map[string]string{
	"0004_followup":      "made before there were releases that run together",
	"0005_growth":        "made before there were releases that run together",
	"0008_ids":           "the same uniqueness, by another order of bytes",
	"0024_namespaces":    "ids of default stay unique among themselves, and nothing older stores others",
	"0039_owners":        "nothing older stores an owner, and rows without one are not compared",
	"0048_bundle_owners": "a weaker uniqueness than before, of bundles, which no release before has",
}

// narrows are the statements of a migration that contract the schema. What it makes itself, it may shape as it likes.
func narrows(text string) (found []string) {
	text = regexp.MustCompile(`--.*`).ReplaceAllString(text, "")
	made := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?i)create table (\w+)`).FindAllStringSubmatch(text, -1) {
		made[m[1]] = true
	}
	body := regexp.MustCompile(`(?s)\$\$.*?\$\$`).ReplaceAllString(text, "") // of functions: what they do, they do when they are called
	for statement := range strings.SplitSeq(body, ";") {
		statement = strings.Join(strings.Fields(statement), " ")
		on := regexp.MustCompile(`(?i)^(?:alter table(?: only)?|create unique index \w+ on|delete from|truncate) (\w+)`).FindStringSubmatch(statement)
		if strings.HasPrefix(strings.ToLower(statement), "create table") || on != nil && made[on[1]] {
			continue
		}
		if word := contracts.FindString(defaulted.ReplaceAllString(statement, "")); word != "" {
			found = append(found, word+" in: "+statement)
		}
	}
	return found
}

// TestMigrationsExpandFirst: nothing is dropped, renamed or made stricter in the release that stops using it.
func TestMigrationsExpandFirst(t *testing.T) {
	for _, name := range migrationNames() {
		text, err := migrations.ReadFile("migrations/" + name + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		found := narrows(string(text))
		switch reason := allowedContracts[name]; {
		case len(found) > 0 && reason == "":
			t.Errorf("%s contracts the schema, though the version before may run beside it: %q. Do it a release after the last one that uses it, and say so in allowedContracts", name, found)
		case len(found) == 0 && reason != "":
			t.Errorf("%s contracts nothing: take its exception away", name)
		}
		if plan := planOf(name); !plan.Expand && allowedContracts[name] == "" && name != "0001_init" {
			t.Errorf("%s: older coordinators %s: such a migration is an exception, with a reason", name, plan.Older)
		}
	}
}

// TestWhatContracts is about the test above: what it must find.
func TestWhatContracts(t *testing.T) {
	for _, row := range []struct {
		text string
		bad  bool
	}{
		{"alter table task add column x integer;", false},
		{"alter table task add column x integer not null default 0, add column y text;", false},
		{"alter table task add column x integer not null;", true},
		{"alter table task drop column x;", true},
		{"alter table task rename x to y;", true},
		{"alter table task alter column x type bigint;", true},
		{"alter table task alter column x set not null;", true},
		{"alter table task add constraint c check (x > 0);", true},
		{"create unique index i on task (x);", true},
		{"create index i on task (x);", false},
		{"drop table task;", true},
		{"-- drop table task;\nselect 1;", false},
		{"create table n (x integer not null unique);\nalter table n add constraint c check (x > 0);\ncreate unique index i on n (x);", false},
		{"create function f() returns void language sql as $$ delete from task; $$;", false},
		{"delete from task;", true},
	} {
		if got := narrows(row.text); (len(got) > 0) != row.bad {
			t.Errorf("%s: got %q", row.text, got)
		}
	}
	if plan := planOf("0005_growth"); plan.Brief {
		t.Errorf("0005_growth writes all rows of task anew: got %+v", plan)
	}
}
