package coordinator_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/pg/pgtest"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

// applied registers profiles, and gives them as NAME@VERSION, with a + if it is new.
func applied(t *testing.T, svc coordinator.Service, text string) (names []string) {
	t.Helper()
	got, err := svc.ApplyProfiles(t.Context(), coordinator.ProfilesSpec{Text: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range got.Profiles {
		name := fmt.Sprintf("%s@%d", p.Name, p.Version)
		if p.Fresh {
			name += "+"
		}
		names = append(names, name)
	}
	return names
}

// warehouse is a profile that leads to a database, as the secret WH_PASSWORD of workers.
func warehouse(t *testing.T, name, to string) string {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s: {config: {host: %q, port: %s, user: %q, password: '{{env.WH_PASSWORD}}', database: %q, sslmode: disable}}\n", name, u.Hostname(), u.Port(), u.User.Username(), strings.TrimPrefix(u.Path, "/"))
}

// asksWarehouse is a flow whose step asks a database for its name. before are steps before it, after more jobs.
func asksWarehouse(id, profile, before, after string) []byte {
	return []byte(fmt.Sprintf(`flow: {id: %s}
resources: {wh: {kind: db, driver: postgres, profile: %s}, other: {kind: db, driver: postgres, profile: other}}
jobs:
- id: a
  steps: [%s{id: ask, type: sql, inputs: {resource: wh, query: select current_database() as name}}]
%s`, id, profile, before, after))
}

// TestRunsTakeRegisteredProfiles: a run's resources are as its registered profiles were when it began, also after these have changed, or were deleted, and when it is resumed with another text.
// Another run takes the newest. A profile that is gone is told where it is named.
func TestRunsTakeRegisteredProfiles(t *testing.T) {
	t.Parallel()
	secrets, first, second := t.TempDir(), pgtest.Database(t), pgtest.Database(t)
	password := "any"
	if u, err := url.Parse(first); err == nil && u.User != nil {
		if own, is := u.User.Password(); is {
			password = own
		}
	}
	if err := os.WriteFile(filepath.Join(secrets, "WH_PASSWORD"), []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	c := expanders(t, cluster.Options{Coordinators: 2, Workers: 1, Worker: func(w *config.Worker) { w.SecretsDir, w.AddressLoopback = secrets, true }})
	svc := c.Service()
	asked := func(fact string, run *coordinator.FlowRunInfo, want string, profiles ...string) {
		t.Helper()
		u, err := url.Parse(want)
		if err != nil {
			t.Fatal(err)
		}
		out := endOf(t, c, run)
		job := out.Jobs[0]
		if step := job.Steps[len(job.Steps)-1]; out.Outcome != "SUCCESS" || !strings.Contains(string(step.Result), `"`+strings.TrimPrefix(u.Path, "/")+`"`) {
			t.Errorf("%s: the run is %s, and its step has %s: %s", fact, out.Outcome, step.Result, step.Error)
		}
		if !slices.Equal(out.Profiles, profiles) {
			t.Errorf("%s: the run has the profiles %q, want %q", fact, out.Profiles, profiles)
		}
	}
	if got := applied(t, svc, warehouse(t, "wh", first)+"other: {config: {host: o}}"); !slices.Equal(got, []string{"other@1+", "wh@1+"}) {
		t.Fatal(got)
	}
	register(t, c, string(asksWarehouse("kept", "wh", "", "")))
	simple := runOf(t, c, coordinator.FlowRunSpec{Flow: "kept", RunID: "simple"})
	asked("a run", simple, first, "other@1", "wh@1")
	waits := runOf(t, c, coordinator.FlowRunSpec{Text: asksWarehouse("waits", "wh", "{id: w, type: wait_executor, inputs: {signal: go}}, ", ""), RunID: "one"})
	const fails = "{id: w, type: end_executor, inputs: {fail: no luck}}, "
	var broken []*coordinator.FlowRunInfo
	for _, id := range []string{"one", "two", "three"} {
		run := runOf(t, c, coordinator.FlowRunSpec{Text: asksWarehouse("broken", "wh", fails, ""), RunID: id})
		if out := endOf(t, c, run); out.Outcome != "FAILED" {
			t.Fatal(out)
		}
		broken = append(broken, run)
	}

	if got := applied(t, svc, warehouse(t, "wh", first)); !slices.Equal(got, []string{"wh@1"}) {
		t.Errorf("the same again: %q", got)
	}
	if got := applied(t, svc, "# another file\n"+warehouse(t, "wh", second)+warehouse(t, "more", second)); !slices.Equal(got, []string{"more@1+", "wh@2+"}) {
		t.Errorf("changed: %q", got)
	}
	asked("a run after that", runOf(t, c, coordinator.FlowRunSpec{Flow: "kept"}), second, "other@1", "wh@2")
	if again, err := svc.RunFlow(t.Context(), coordinator.FlowRunSpec{Flow: "kept", RunID: "simple"}); err != nil || !again.Existing || !slices.Equal(again.Profiles, []string{"other@1", "wh@1"}) {
		t.Errorf("the run that there is: %+v, %v", again, err)
	}
	asked("a file of profiles", runOf(t, c, coordinator.FlowRunSpec{Flow: "kept", FlowGiven: coordinator.FlowGiven{Profiles: warehouse(t, "wh", first)}}), first, "other@1")
	restarted, err := svc.RestartFlowRun(t.Context(), coordinator.FlowRestart{Run: "kept/simple"})
	if err != nil {
		t.Fatal(err)
	}
	asked("a restart", restarted, second, "other@1", "wh@2")
	resume := func(run *coordinator.FlowRunInfo, profile string) *coordinator.FlowRunInfo {
		t.Helper()
		text := asksWarehouse("broken", profile, "", "")
		if profile == "" {
			text = nil
		}
		out, err := svc.ResumeFlowRun(t.Context(), coordinator.FlowResume{Run: run.FlowID + "/" + run.RunID, Text: text})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	asked("resumed with another text", resume(broken[0], "wh"), first, "other@1", "wh@1")
	asked("resumed with a text that names another profile", resume(broken[1], "more"), second, "more@1", "other@1")
	schedule(t, c, `{"id":"yearly","cron":"0 2 1 1 *","flow":{"id":"kept"}}`)
	// A schedule's run takes what is the newest at its instant.
	schedule(t, c, `{"id":"changed","every":1,"flow":{"id":"kept"},"max_runs":1}`)
	fired := untilRuns(t, c, "changed", func(runs []*coordinator.ScheduleRun) bool { return len(runs) == 1 && runs[0].Status == "completed" })
	run, err := svc.FlowRun(t.Context(), "kept/"+fired[0].RunID)
	if err != nil {
		t.Fatal(err)
	}
	asked("a run of a schedule", run, second, "other@1", "wh@2")

	if err := svc.DeleteProfile(t.Context(), "wh"); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.Signal(t.Context(), taskOfStep(t, c, waits, "a__w").ID, coordinator.Signal{Name: "go"}); err != nil {
		t.Fatal(err)
	}
	asked("a run that goes on", waits, first, "other@1", "wh@1")
	asked("resumed after the profile was deleted", resume(broken[2], "wh"), first, "other@1", "wh@1")
	const told = "2:46: resources.wh.profile: spec.unknown_profile - there is no profile wh"
	for fact, do := range map[string]func() error{
		"a run": func() error {
			_, err := svc.RunFlow(t.Context(), coordinator.FlowRunSpec{Flow: "kept"})
			return err
		},
		"a restart": func() error {
			_, err := svc.RestartFlowRun(t.Context(), coordinator.FlowRestart{Run: "kept/simple"})
			return err
		},
		"a schedule": func() error {
			spec, _ := scheduledoc.Decode([]byte(`{"id":"gone","cron":"@yearly","flow":{"id":"kept"}}`))
			_, err := svc.CreateSchedule(t.Context(), *spec)
			return err
		},
		"a flow": func() error {
			_, err := svc.ApplyFlow(t.Context(), coordinator.FlowSpec{Text: asksWarehouse("new", "wh", "", "")})
			return err
		},
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), told) {
			t.Errorf("%s without the profile: %v", fact, err)
		}
	}
	if _, err := connected(t, c.URL).Exec(t.Context(), `insert into fire (schedule, kind, instant, cause, state, started_at) select key, 1, now(), '1', 2, now() from schedule where id = 'yearly'`); err != nil {
		t.Fatal(err)
	}
	fired = untilRuns(t, c, "yearly", func(runs []*coordinator.ScheduleRun) bool {
		return len(runs) == 1 && runs[0].Status == coordinator.FailedToStart
	})
	if reason := fired[0].Reason; !strings.Contains(reason, "resources.wh.profile") || !strings.Contains(reason, "there is no profile wh") {
		t.Errorf("a schedule without the profile: %s", reason)
	}
	call := endOf(t, c, runOf(t, c, coordinator.FlowRunSpec{Text: []byte("flow: {id: calls}\njobs: [{id: p, steps: [{id: call, type: flow, inputs: {flow: kept}}]}]")}))
	if step := call.Jobs[0].Steps[0]; call.Outcome != "FAILED" || step.ErrorKind != "input" || !strings.Contains(step.Error, "resources.wh.profile") || !strings.Contains(step.Error, "there is no profile wh") {
		t.Errorf("a step that runs the flow: %+v", step)
	}
	if got := applied(t, svc, warehouse(t, "wh", first)); !slices.Equal(got, []string{"wh@1+"}) {
		t.Errorf("after it was deleted: %q", got)
	}
}

// TestProfilesAreAppliedAtOnce: many who register a profile through several coordinators get a version each, without gaps, and the newest is what the last of them gave.
func TestProfilesAreAppliedAtOnce(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{Coordinators: 2})
	const all = 30
	var hosts [all + 1]string
	var mu sync.Mutex
	var wait sync.WaitGroup
	for n := range all {
		wait.Go(func() {
			host := fmt.Sprint("h", n)
			got, err := c.Coordinators[n%2].P.ApplyProfiles(t.Context(), coordinator.ProfilesSpec{Text: []byte("p: {config: {host: " + host + "}}\nq: {config: {host: same}}")})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			p := got.Profiles[0]
			if p.Version < 1 || p.Version > all || !p.Fresh || hosts[p.Version] != "" || got.Profiles[1].Version != 1 {
				t.Errorf("%+v, %+v", p, got.Profiles[1])
				return
			}
			hosts[p.Version] = host
		})
	}
	wait.Wait()
	for version := range all + 1 {
		p, err := c.Service().Profile(t.Context(), "p", version)
		want := hosts[version]
		if version == 0 {
			want = hosts[all]
		}
		if err != nil || string(p.Body) != `{"config":{"host":"`+want+`"}}` || p.Versions != all {
			t.Errorf("version %d: %+v, %v, want %s", version, p, err, want)
		}
	}
	if p, err := c.Service().Profile(t.Context(), "q", 0); err != nil || p.Version != 1 || p.Versions != 1 {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestWhoseProfiles: a user's flows have the user's profiles, and nobody's; others' are as if they were not there, and nobody changes them.
func TestWhoseProfiles(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	ctx := t.Context()
	access := coordinator.NewAccess(c.Service(), coordinator.ByRoles(c.Coordinators[0].P, coordinator.RoleSettings{}))
	as := func(user string) coordinator.Service { return access.For(holding(user, "submitter@default")) }
	amy, bob := as("amy"), as("bob")
	applied(t, c.Service(), "shared: {config: {host: nobodys}}")
	applied(t, amy, "hers: {config: {host: canary-of-amy}}")
	flow := func(profile string) []byte {
		return []byte("flow: {id: f_" + profile + "}\nresources: {r: {kind: sftp, driver: ssh, profile: " + profile + ", config: {user: u}}}\njobs: []")
	}
	for name, who := range map[string]coordinator.Service{"amy": amy, "bob": bob} {
		if run, err := who.RunFlow(ctx, coordinator.FlowRunSpec{Text: flow("shared"), RunID: name}); err != nil || !slices.Equal(run.Profiles, []string{"shared@1"}) || run.UserID != name {
			t.Errorf("%s, by nobody's: %+v, %v", name, run, err)
		}
	}
	if run, err := amy.RunFlow(ctx, coordinator.FlowRunSpec{Text: flow("hers")}); err != nil || !slices.Equal(run.Profiles, []string{"hers@1"}) {
		t.Errorf("amy, by hers: %+v, %v", run, err)
	}
	// What is said of another's profile is what is said of none.
	same := func(fact string, ask func(profile string) error) {
		t.Helper()
		others, none := ask("hers"), ask("none")
		if others == nil || none == nil || strings.ReplaceAll(others.Error(), "hers", "none") != none.Error() || strings.Contains(others.Error(), "canary") || strings.Contains(others.Error(), "amy") {
			t.Errorf("%s: %v, and of none %v", fact, others, none)
		}
	}
	same("a run", func(profile string) error {
		_, err := bob.RunFlow(ctx, coordinator.FlowRunSpec{Text: flow(profile)})
		return err
	})
	same("a flow", func(profile string) error {
		_, err := bob.ApplyFlow(ctx, coordinator.FlowSpec{Text: flow(profile)})
		return err
	})
	same("a check", func(profile string) error {
		report, err := bob.ValidateFlow(ctx, coordinator.FlowCheck{Text: flow(profile)})
		if err != nil {
			t.Error(err)
			return nil
		}
		return (&flows.Error{Report: report})
	})
	same("a look", func(profile string) error {
		_, err := bob.Profile(ctx, profile, 0)
		return err
	})
	same("a delete", func(profile string) error { return bob.DeleteProfile(ctx, profile) })
	if list, err := bob.Profiles(ctx, coordinator.ProfileFilter{}); err != nil || len(list.Items) != 0 {
		t.Errorf("bob lists %v, %v", list.Items, err)
	}
	for _, taken := range []string{"hers", "shared"} {
		_, err := bob.ApplyProfiles(ctx, coordinator.ProfilesSpec{Text: []byte("his: {}\n" + taken + ": {config: {host: evil}}")})
		if _, denied := errors.AsType[*coordinator.DeniedError](err); !denied {
			t.Errorf("bob changes %s: %v", taken, err)
		}
	}
	if _, err := c.Service().Profile(ctx, "his", 0); !errors.Is(err, coordinator.ErrNotFound) {
		t.Errorf("a part of a file was stored: %v", err)
	}
	if _, err := bob.ApplyProfiles(ctx, coordinator.ProfilesSpec{Text: []byte("his: {}"), UserID: "amy"}); err == nil {
		t.Error("bob registers one for amy")
	}
	// An administrator changes what is there, and its owner stays; what an administrator registers for somebody is theirs.
	admin := access.For(holding("root", "admin@default"))
	applied(t, admin, "hers: {config: {host: changed}}")
	if _, err := admin.ApplyProfiles(ctx, coordinator.ProfilesSpec{Text: []byte("given: {config: {host: h}}"), UserID: "bob"}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"hers": "amy@2", "given": "bob@1", "shared": "@1"} {
		if p, err := admin.Profile(ctx, name, 0); err != nil || fmt.Sprintf("%s@%d", p.UserID, p.Version) != want {
			t.Errorf("%s is %+v, %v, want %s", name, p, err, want)
		}
	}
	if run, err := bob.RunFlow(ctx, coordinator.FlowRunSpec{Text: flow("given")}); err != nil || !slices.Equal(run.Profiles, []string{"given@1"}) {
		t.Errorf("bob, by what he was given: %+v, %v", run, err)
	}
}

// TestProfilesAreRecorded: the record of changes names the versions that were made, and those that were deleted.
func TestProfilesAreRecorded(t *testing.T) {
	t.Parallel()
	c := recorded(t, 1, nil)
	access := guard(c, 0, coordinator.AllowAll)
	for n, row := range []struct{ text, want string }{
		{"a: {}\nb: {config: {host: canary-of-profile}}", "a@1, b@1"}, {"a: {}\nb: {config: {host: h}}", "b@2"}, {"a: {}", ""},
	} {
		name := fmt.Sprint("applies", n)
		applied(t, access.For(caller(name)), row.text)
		if got := wanted(t, c, name, "begun done"); got.Details["profiles"] != row.want {
			t.Errorf("%q is recorded as %v, want %q", row.text, got.Details, row.want)
		}
	}
	if err := access.For(caller("deletes")).DeleteProfile(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if got := wanted(t, c, "deletes", "begun done"); got.Details["profile"] != "b" || got.Details["version"] != "2" || got.Details["versions"] != "2" {
		t.Errorf("the delete is recorded as %v", got.Details)
	}
	if tables := tablesWith(t, connected(t, c.URL), "canary-of-profile"); len(tables) > 0 {
		t.Errorf("what was deleted is in %v", tables)
	}
}

// TestProfilesAreStoredWhole: all that is wrong with a file is told at once, where it stands, and then nothing of it is stored; nor is anything of a preview.
func TestProfilesAreStoredWhole(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	svc, ctx := c.Service(), t.Context()
	stored := func() (names []string) {
		t.Helper()
		list, err := svc.Profiles(ctx, coordinator.ProfileFilter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list.Items {
			names = append(names, fmt.Sprintf("%s@%d", p.Name, p.Version))
		}
		return names
	}
	for _, row := range []struct{ text, want string }{
		{"good: {config: {host: h}}\nbad:\n  kind: db\n  config: {password: hunter2}\nworse: 5\na/b: {}\nlast: {decode: {config_paths: 3}}",
			"3:3 spec.unknown_key bad.kind, 4:12 secret.literal bad.config.password, 5:1 spec.schema worse, 6:1 spec.bad_id a/b, 7:17 spec.schema last.decode.config_paths"},
		{"good: {}\ngood: {}", "2:1 "},
		{"{}", "has no profiles"},
		{"", ""},
		{"- a", "1:1 "},
		{"good: {config: {x: " + strings.Repeat("y", 70<<10) + "}}", "1:1 spec.too_large good"},
	} {
		_, err := svc.ApplyProfiles(ctx, coordinator.ProfilesSpec{Name: "p.yaml", Text: []byte(row.text)})
		faults, is := errors.AsType[*coordinator.FlowFaultsError](err)
		if !is || faults.Report.FlowYAML != "p.yaml" {
			t.Errorf("%.80q: %v", row.text, err)
			continue
		}
		var told []string
		for _, f := range faults.Report.Errors {
			told = append(told, fmt.Sprintf("%d:%d %s %s %s", f.Line, f.Column, f.Code, f.Loc, f.Msg))
		}
		for want := range strings.SplitSeq(row.want, ", ") {
			if !slices.ContainsFunc(told, func(one string) bool { return strings.Contains(one, want) }) {
				t.Errorf("%.80q: told\n%s\nwithout %q", row.text, strings.Join(told, "\n"), want)
			}
		}
	}
	if got, err := svc.ApplyProfiles(ctx, coordinator.ProfilesSpec{Text: []byte("good: {}"), Preview: true}); err != nil || len(got.Profiles) != 1 || got.Profiles[0].Version != 0 || got.Profiles[0].Fresh {
		t.Errorf("a preview: %+v, %v", got, err)
	}
	if names := stored(); len(names) > 0 {
		t.Fatalf("there are %q", names)
	}
	applied(t, svc, "a: {}\nb: {config: {n: 1.0, m: {x: [1, 2]}}}")
	if got := applied(t, svc, "b:\n  config: {m: {x: [1, 2]}, n: 1.0}\na: {config: {}}"); !slices.Contains(got, "b@1") {
		t.Errorf("the same in another order: %q", got)
	}
	if names := stored(); len(names) != 2 {
		t.Errorf("there are %q", names)
	}
	// A run has at most 1 MiB of them.
	var resources []string
	for n := range 17 {
		name := fmt.Sprint("large", n)
		applied(t, svc, name+": {config: {host: "+strings.Repeat("y", 63<<10)+"}}")
		resources = append(resources, fmt.Sprintf("r%d: {kind: sftp, driver: ssh, profile: %s, config: {user: u}}", n, name))
	}
	run := func(resources []string) error {
		_, err := svc.RunFlow(ctx, coordinator.FlowRunSpec{Text: []byte("flow: {id: f}\nresources: {" + strings.Join(resources, ", ") + "}\njobs: []")})
		return err
	}
	if bad, is := errors.AsType[*coordinator.InvalidArgumentError](run(resources)); !is || bad.Field != "resources" {
		t.Errorf("a run with more than 1 MiB of profiles: %v", bad)
	}
	if err := run(resources[1:]); err != nil {
		t.Error(err)
	}
}

// TestNoSecretOfAProfileIsStored: a profile with a secret in clear is refused, in whatever form, without a word of it, and nothing of it comes into a table.
func TestNoSecretOfAProfileIsStored(t *testing.T) {
	t.Parallel()
	c := expanders(t, cluster.Options{})
	for _, form := range []string{
		"config: {password: hunter2}",
		"config: {password: '{{env.PW:hunter2}}'}",
		"config: {password: 20261201}",
		"config: {password: [hunter2]}",
		"config: {password: {value: hunter2}}",
		"config: {db_password: hunter2}",
		"config: {PassPhrase: hunter2}",
		"config: {auth: {basic: {user: u, passwd: hunter2}}}",
		"config: {servers: [{host: h, access_token: hunter2}]}",
		"config: {headers: {Authorization: 'Bearer hunter2'}}",
		"config: {headers: {X-Api-Key: hunter2}}",
		"config: {headers: {Cookie: session=hunter2}}",
		"config: {client_key: hunter2}",
		"config: {pkey: hunter2}",
		"config: {ca: \"-----BEGIN RSA PRIVATE KEY-----\\nhunter2\"}",
		"config: {url: 'postgresql://etl:hunter2@h/d'}",
		"config: {url: 'postgresql://{{env.U:etl}}:hunter2@h/d'}",
		"config: {url: 'postgresql://etl:hunter2/x@h/d'}",
		"config: {url: 'jdbc:postgresql://etl:hunter2@h/d'}",
		"config: {url: 'postgresql://h/d?user=etl&password=hunter2'}",
		"config: {dsn: 'etl:hunter2@tcp(h:3306)/d'}",
		"config: {dsn: 'Server=h;UID=etl;PWD=hunter2'}",
		"config: {dsn: 'host=h password=hunter2'}",
		"options: {connect_args: {password: hunter2}}",
		"options: {connect_args: {deep: [{client_secret: hunter2}]}}",
	} {
		_, err := c.Service().ApplyProfiles(t.Context(), coordinator.ProfilesSpec{Text: []byte("fine: {}\np: {" + form + "}")})
		faults, is := errors.AsType[*coordinator.FlowFaultsError](err)
		if !is || len(faults.Report.Errors) != 1 || faults.Report.Errors[0].Code != flows.CodeSecretLiteral {
			t.Errorf("%s: %v", form, err)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "20261201")) {
			t.Errorf("%s: it is told: %v", form, err)
		}
	}
	conn := connected(t, c.URL)
	for _, word := range []string{"hunter2", "20261201", `"fine"`} {
		if tables := tablesWith(t, conn, word); len(tables) > 0 {
			t.Errorf("%s is in %v", word, tables)
		}
	}
	for _, form := range []string{
		"config: {password: '{{env.PW}}'}", "config: {password: '{{env.PW:}}'}", "config: {url: 'postgresql://etl:{{env.PW}}@h/d?sslmode=require'}", "config: {url: 'https://h:8443/x?mail=a@b'}",
		"config: {dsn: 'Server=h;PWD={{env.PW}}'}", "config: {password: YWdl}, decode: {config: {password: true}}", "config: {host_key: 'ssh-ed25519 AAAA', pkey_path: /keys/etl}",
	} {
		applied(t, c.Service(), "p: {"+form+"}")
	}
}

// TestProfilesAreSealed: where values are sealed, no profile and no run that has one shows it in a table; what was stored before is sealed when keys are rotated, and nothing of an erased user's is left.
func TestProfilesAreSealed(t *testing.T) {
	t.Parallel()
	c := sealedCluster(t)
	svc, ctx, conn := c.Service(), t.Context(), connected(t, c.URL)
	apply := func(name, user string) {
		t.Helper()
		if _, err := svc.ApplyProfiles(ctx, coordinator.ProfilesSpec{Text: []byte(name + ": {config: {host: " + canaryValue + "-" + name + "}}"), UserID: user}); err != nil {
			t.Fatal(err)
		}
	}
	apply("before", "")
	apply("hers", "amy-who-is-erased")
	run := runOf(t, c, coordinator.FlowRunSpec{Text: []byte("flow: {id: f}\nresources: {r: {kind: sftp, driver: ssh, profile: before, config: {user: u}}}\njobs: [{id: j, steps: [{id: s, type: noop}]}]")})
	if tables := tablesWith(t, conn, canaryValue); len(tables) > 0 || !slices.Equal(run.Profiles, []string{"before@1"}) {
		t.Errorf("it is in %v; %+v", tables, run)
	}
	envelope := func() (sealed string) {
		t.Helper()
		if err := conn.QueryRow(ctx, "select encode(sealed, 'hex') from flow_profile where name = 'before' and body is null").Scan(&sealed); err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	was := envelope()
	// One is as it was stored before sealing was switched on.
	if _, err := conn.Exec(ctx, `insert into flow_profile (namespace, name, version, sha256, body, created_by) select namespace, 'plain', 1, sha256, '{"config":{"host":"`+canaryValue+`-plain"}}', '' from flow_profile where name = 'before'`); err != nil {
		t.Fatal(err)
	}
	for _, p := range c.Coordinators {
		p.P.SetWalkAfter(300 * time.Millisecond)
	}
	if made, err := svc.RotateDataKeys(ctx, ""); err != nil || len(made) == 0 {
		t.Fatal(made, err)
	}
	c.Eventually("the profiles are sealed anew", func() error {
		status, err := svc.SealStatus(ctx)
		if err != nil {
			return err
		}
		for _, k := range status.Keys {
			if k.Namespace != "" && !k.Retired.IsZero() {
				return fmt.Errorf("there are %+v", status.Keys)
			}
		}
		return nil
	})
	if tables := tablesWith(t, conn, canaryValue); len(tables) > 0 || envelope() == was {
		t.Errorf("it is in %v, or sealed as before", tables)
	}
	for _, name := range []string{"before", "plain"} {
		if p, err := svc.Profile(ctx, name, 0); err != nil || string(p.Body) != `{"config":{"host":"`+canaryValue+"-"+name+`"}}` {
			t.Errorf("%s comes back as %+v, %v", name, p, err)
		}
	}
	if got, err := svc.FlowRun(ctx, "f/"+run.RunID); err != nil || !slices.Equal(got.Profiles, []string{"before@1"}) {
		t.Errorf("%+v, %v", got, err)
	}
	e, err := svc.Erase(ctx, coordinator.EraseSpec{UserID: "amy-who-is-erased"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := svc.Profile(ctx, "hers", 0); !errors.Is(err, coordinator.ErrNotFound) {
		t.Error(err)
	}
	c.Eventually("the erasure ends", func() error {
		if e, err = svc.Erasure(ctx, e.ID); err == nil && e.FinishedAt.IsZero() {
			return errors.New("it goes on")
		}
		return err
	})
	var left int
	if err := conn.QueryRow(ctx, "select count(*) from flow_profile where user_id is not null").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows are left: %v", left, err)
	}
}
