package scheduledoc

import (
	"slices"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// faultsOf are the faults of a schedule, as texts.
func faultsOf(t *testing.T, document string) (all []string) {
	t.Helper()
	_, faults := Read([]byte(document), now, now)
	for _, f := range faults {
		all = append(all, f.Field+": "+f.Reason)
	}
	return all
}

func TestFaultsAreToldAtOnce(t *testing.T) {
	for document, want := range map[string][]string{
		`{"id":"a","cron":"0 2 * * *","tree":[]}`:                                         nil,
		`{"id":"a","every":90,"tree":{},"start_at":"2026-01-01T00:00:00Z","due":"2h"}`:    nil,
		`{"id":"a","on":{"schedule":"b","outcome":["failed","cancelled"]},"tree":[]}`:     nil,
		`{"id":"a","on":{"schedule":"b"},"tree":[],"overlap":"allow","labels":{"a":"b"}}`: nil,
		`[]`:                  {": a schedule must be an object"},
		`{"id":"a","id":"b"}`: {"id: must not be there twice"},
		`{"id":"a","cron":"@daily","tree":[{"name":"a"},{"name":"b","inputs":{"x":1,"x":2}}]}`: {"tree[1].inputs.x: must not be there twice"},
		`{}`: {"id: is required", "tree: is required, or flow", "cron: one of cron, every and on must be there, and no more"},
		`{"id":"a\u200bb","cron":"@daily","tree":[]}`:                                            {"id: must be at most 255 bytes of characters that can be seen, with no space before or behind"},
		`{"id":"..","cron":"@daily","tree":[]}`:                                                  {`id: must not be "..", which a URL takes for a folder`},
		`{"id":"a\u0007","cron":"@daily","tree":[]}`:                                             {"id: must be at most 255 bytes of characters that can be seen, with no space before or behind"},
		`{"id":"a ","cron":"@daily","tree":[]}`:                                                  {"id: must be at most 255 bytes of characters that can be seen, with no space before or behind"},
		`{"id":"nightly report ü 報","cron":"@daily","tree":[]}`:                                  nil,
		`{"name":"a","crontab":"@daily","tasks":[]}`:                                             {"crontab: is no key of a schedule: write cron", "name: is no key of a schedule: write id", "tasks: is no key of a schedule: write tree"},
		`{"id":"a","every":"x","start_at":"tomorrow","end_at":"2026-11-28T12:30:00Z","tree":[]}`: {"start_at: must be a time as 2026-11-28T06:00:00Z", `every: "x" is not a time as 90 (seconds), 90s or 1h30m`},
		`{"id":"a","on":{"schedule":"b"},"end_at":"2026-11-28T12:30:00Z","tree":[]}`:             {"end_at: goes with cron and every"},
		`{"id":"a","on":"b","tree":[]}`:                                                          {"on: must be an object: {schedule, outcome}, or {webhook: {parameters, tolerance}}"},
		`{"id":"a","cron":"61 * * * *","on":7,"tree":[]}`:                                        {"on: must be an object: {schedule, outcome}, or {webhook: {parameters, tolerance}}", `cron: minute "61": must be *, numbers from 0 to 59, ranges of them as a-b, and steps behind a /`},
		`{"id":7,"crn":"x","every":true,"catchup":false,"tree":3}`: {"id: must be a string", "every: must be a number of whole seconds, or a text as 1h30m",
			"catchup: is no key of a schedule: write coalesce", "crn: is no key of a schedule: write cron", "tree: must be a list of tasks, a task, or a tree file"},
		`{"id":"a","cron":"0 0 30 2 *","timezone":"Mars/Base","tree":[],"overlap":"never","jitter":"48h","max_runs":-1,"misfire_grace":"x"}`: {
			"cron: never fires: no day of any year fits", `timezone: "Mars/Base" is not the name of a time zone in IANA's database, as Europe/Berlin`, "overlap: must be skip, queue_one, allow or cancel_other",
			`misfire_grace: "x" is not a time as 90 (seconds), 90s or 1h30m`, "jitter: must be from 0 seconds to 24 hours", "max_runs: must be from 0, for any number, to 1000000000"},
		`{"id":"a","cron":"0 2 * * *","every":"1h","tree":[]}`:                                                                                   {"cron: one of cron, every and on must be there, and no more"},
		`{"id":"a","cron":"0 2 * * *","tree":[],"end_at":"2026-11-28T13:00:00Z"}`:                                                                {"end_at: nothing fires before it"},
		`{"id":"a","on":{"schedule":"a","outcome":"ended"},"tree":[],"jitter":5}`:                                                                {"on.schedule: names the schedule itself", "on.outcome: must be completed, failed, cancelled or any", "jitter: goes with cron and every"},
		`{"id":"a","on":{"schedule":"b","outcome":["failed","any","failed"]},"tree":[]}`:                                                         {"on.outcome: names failed twice"},
		`{"id":"a","cron":"0 2 * * *","tree":[],"start_at":"0001-01-01T00:00:00Z","end_at":"9999-12-31T23:59:59Z"}`:                              {"start_at: must be of the years 1900 to 9900", "end_at: must be of the years 1900 to 9900"},
		`{"id":"a","cron":"@daily","flow":{"id":"f","verison":2}}`:                                                                               {`flow: has no key verison: must be an object: {id, version, job, no_deps, job_outputs, params, env, priority, timeout_seconds}`},
		`{"id":"a","cron":"@daily","flow":{"version":-1,"priority":4,"timeout_seconds":-1,"params":7,"env":{"":"x"}},"parameters":{},"tree":[]}`: {"flow: can't stand beside tree: one says what runs"},
		`{"id":"a","cron":"@daily","flow":{"id":"f","no_deps":true,"job_outputs":["a.k=1\u0000"]}}`:                                              {"flow.no_deps: needs job: which one is to run without those that it needs", "flow.job_outputs: must be texts of UTF-8 without NUL"},
		`{"id":"a","cron":"@daily","flow":{"id":"f","job":"b","job_outputs":["a.k=1"]}}`:                                                         {"flow.job_outputs: go with no_deps: else the jobs run, and give their outputs"},
		`{"id":"a","cron":"@daily","flow":{"version":-1,"priority":4,"timeout_seconds":-1,"params":7,"env":{"":"x"}},"parameters":{}}`: {"flow.id: is required", "flow.version: must be the number of a version, or 0 for the newest", "flow.priority: must be 0 to 3",
			"flow.timeout_seconds: must be 0 to 315360000", "flow.params: must be an object", "flow.env: must be names with texts of UTF-8 without NUL", "parameters: go with tree: a flow has params"},
		`{"id":"a","on":{"outcome":"any"},"tree":[]}`:                        {"on.schedule: is required, or on.webhook"},
		`{"id":"a","on":{"webhook":{"tolerence":"5m"}},"tree":[]}`:           {"on: has no key webhook.tolerence: must be an object: {schedule, outcome}, or {webhook: {parameters, tolerance}}"},
		`{"id":"a","on":{"event":1},"tree":[]}`:                              {"on: has no key event: must be an object: {schedule, outcome}, or {webhook: {parameters, tolerance}}"},
		`{"id":"a","cron":"0 2 * * *","tree":[],"due":"25:00"}`:              {`due: "25:00" is not a time of the day as 06:00`},
		`{"id":"a","cron":"0 2 * * *","tree":[],"retention":"1d12h"}`:        nil,
		`{"id":"a","cron":"0 2 * * *","tree":[],"retention":"keep"}`:         nil,
		`{"id":"a","cron":"0 2 * * *","tree":[],"retention":"30 days"}`:      {`retention: must be a time such as "30d", "36h" or "1d12h", or "keep"`},
		`{"id":"a","cron":"0 2 * * *","tree":[],"retention":"0s"}`:           {`retention: must be a time such as "30d", "36h" or "1d12h", or "keep"`},
		`{"id":"a","cron":"0 2 * * *","tree":[],"retention":"59s"}`:          {"retention: must be at least a minute"},
		`{"id":"a","cron":"0 2 * * *","tree":[],"retention":30,"ttl":"30d"}`: {"retention: must be a string", "ttl: is no key of a schedule: write retention"},
	} {
		if got := faultsOf(t, document); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", document, got, want)
		}
	}
}

// TestWhatIsStoredIsReadAgain: with the same rules.
func TestWhatIsStoredIsReadAgain(t *testing.T) {
	s, faults := Decode([]byte(`{"id":"a","every":"1h30m","tree":[],"overlap":"queue_one","misfire_grace":60,"coalesce":false,"jitter":"5m","max_runs":3,"due":"06:00","timezone":"Europe/Berlin","paused":true}`))
	rules, more := s.Check(now, now)
	if len(faults)+len(more) > 0 {
		t.Fatal(faults, more)
	}
	again, err := ReadStored("a", s.Stored())
	if err != nil || again.Paused != nil || again.Tree != nil {
		t.Fatal(again, err)
	}
	stored, err := again.Rules(now)
	if err != nil {
		t.Fatal(err)
	}
	for name, same := range map[string]bool{
		"overlap": stored.Overlap == rules.Overlap && rules.Overlap == dag.OverlapQueueOne, "grace": stored.MisfireGrace == time.Minute, "coalesce": !stored.Coalesce,
		"jitter": stored.Jitter == 5*time.Minute, "runs": stored.MaxRuns == 3, "next": stored.Instants.Next(now).Equal(now.Add(90 * time.Minute)),
		"due": stored.DueAt(now).Equal(time.Date(2026, 11, 29, 5, 0, 0, 0, time.UTC)),
	} {
		if !same {
			t.Errorf("%s differs: %+v", name, stored)
		}
	}
	if (&On{}).Ends() != 1<<dag.FireCompleted || !(&On{Outcome: outcomes{"any"}}).Ends().Has(dag.FireCancelled) {
		t.Error("ends")
	}
}

// FuzzDecode: whatever is written, faults are told and nothing panics; what has none is read again from what is stored.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"id":"a","cron":"*/5 2-4 * JAN mon","timezone":"America/New_York","tree":[{"name":"x"}],"jitter":"3m","due":"06:00"}`))
	f.Add([]byte(`{"id":"a","on":{"schedule":"b","outcome":"any"},"tree":{}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, faults := Decode(raw)
		rules, more := s.Check(now, now)
		if len(faults)+len(more) > 0 {
			return
		}
		again, err := ReadStored(s.ID, s.Stored())
		if err != nil {
			t.Fatal(err)
		}
		stored, err := again.Rules(now)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := rules.Instants.Next(now), stored.Instants.Next(now); !a.Equal(b) {
			t.Fatalf("%v and %v", a, b)
		}
	})
}
