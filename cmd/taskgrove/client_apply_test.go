package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest"
	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/tests/cluster"
)

const (
	applySecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	aLimit      = "taskgrove: 1\nowner: team\nlimits:\n- {key: warehouse, max: %d, reason: small}\n- {rate: mail, max: 100, per: minute, burst: 10}\n"
	aWebhook    = "taskgrove: 1\nwebhooks:\n- name: chat\n  url: https://hooks.example/in\n  events: [tree_failed]\n  headers: {X-Team: data, Authorization: {env: APPLY_TOKEN}}\n  secret_from: {file: secret}\n" +
		"  labels: {env: prod}\n  timeout: 5s\n  body: {text: \"{{event.message}}\"}\n"
)

// applyFolder is a folder with files, by name.
func applyFolder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		putFile(t, filepath.Join(dir, name), text)
	}
	return dir
}

func putFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantRun runs a command line whose output and notes together have the texts, a text that begins with ! not.
func wantRun(t *testing.T, code int, args []string, texts ...string) string {
	t.Helper()
	out, notes, got := runCommand(t, args...)
	all := out + notes
	if got != code {
		t.Errorf("%q: exit %d, want %d:\n%s", args, got, code, all)
	}
	for _, text := range texts {
		if without, not := strings.CutPrefix(text, "!"); strings.Contains(all, without) == not {
			t.Errorf("%q: %q is the fault in:\n%s", args, text, all)
		}
	}
	if strings.Contains(all, "canary") || strings.Contains(all, "MfKQ9r8") {
		t.Errorf("%q shows what is secret:\n%s", args, all)
	}
	return out
}

// TestApply: what files say is made, shown as it differs, changed, and deleted with --prune only; a second run finds nothing to do.
func TestApply(t *testing.T) {
	t.Run("a double", func(t *testing.T) {
		double(t)
		followApply(t)
	})
	t.Run("a coordinator", func(t *testing.T) {
		c := cluster.Start(t, cluster.Options{Coordinator: func(s *config.Coordinator) {
			s.GRPCAddr = "127.0.0.1:0"
			s.SealKey = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
		}})
		t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
		t.Setenv("XDG_CONFIG_HOME", t.TempDir())
		t.Setenv("HOME", t.TempDir())
		followApply(t)
	})
}

func followApply(t *testing.T) {
	dir := applyFolder(t, map[string]string{"limits.yaml": fmt.Sprintf(aLimit, 4), "hooks.yaml": aWebhook, "secret": applySecret + "\n"})
	apply := []string{"apply", "-f", dir}
	with := func(more ...string) []string { return append(append([]string{}, apply...), more...) }
	wantRun(t, exitDrift, with("--dry-run"), "+ limit key warehouse\n    + max: 4\n    + reason: small\n", "+ limit rate mail\n    + max: 100\n    + per: minute\n    + burst: 10\n", "+ webhook chat\n    + url: https://hooks.example/in\n",
		"    + headers: [\"Authorization\",\"X-Team\"]\n    + secret: its own\n", "team: 3 to make, 0 to change, 0 to delete, 0 as they are\n")
	wantRun(t, exitOK, []string{"limits"}, "there are no limits")
	wantRun(t, exitUsage, apply, "hooks.yaml:6:27: webhooks[0].headers.Authorization: there is no variable APPLY_TOKEN", "!made")
	wantRun(t, exitOK, []string{"limits"}, "there are no limits")
	t.Setenv("APPLY_TOKEN", "Bearer canary")
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	putFile(t, filepath.Join(dir, "hooks.yaml"), strings.Replace(aWebhook, "{file: secret}", "{file: pipe}", 1))
	wantRun(t, exitUsage, apply, "webhooks[0].secret_from: "+filepath.Join(dir, "pipe")+" is no regular file", "!made")
	putFile(t, filepath.Join(dir, "hooks.yaml"), aWebhook)
	wantRun(t, exitOK, apply, "team: 3 made, 0 changed, 0 deleted, 0 as they are\n")
	wantRun(t, exitOK, apply, "team: 0 made, 0 changed, 0 deleted, 3 as they are\n", "!+")
	wantRun(t, exitOK, with("--dry-run", "--prune"), "team: 0 to make, 0 to change, 0 to delete, 3 as they are\n")
	wantRun(t, exitOK, []string{"limits", "-o", "json"}, `"owner":"team"`, `"revision":1`)
	wantRun(t, exitOK, []string{"limits"}, "OWNER", " team ")
	wantRun(t, exitOK, []string{"webhooks", "list", "-o", "json"}, `"owner":"team"`, `"own_secret":true`)

	// Somebody changes one by hand; it stays of the owner, and the next run takes the change back.
	wantRun(t, exitOK, []string{"limits", "set", "--key", "warehouse", "--max", "9"})
	wantRun(t, exitDrift, with("--dry-run"), "~ limit key warehouse\n    ~ max: 9 -> 4\n    + reason: small\n", "team: 0 to make, 1 to change, 0 to delete, 2 as they are\n")
	wantRun(t, exitOK, apply, "team: 0 made, 1 changed, 0 deleted, 2 as they are\n")
	putFile(t, filepath.Join(dir, "hooks.yaml"), strings.NewReplacer("[tree_failed]", "[tree_failed, task_retry]", "  secret_from: {file: secret}\n", "", "X-Team: data, ", "", "prod", "test").Replace(aWebhook))
	var shown struct {
		Owner   string
		DryRun  bool `json:"dry_run"`
		Changes []struct {
			Kind, Name, Action string
			Done               bool
			Fields             []struct {
				Field    string
				From, To any
			}
		}
	}
	if err := json.Unmarshal([]byte(wantRun(t, exitDrift, with("--dry-run", "-o", "json"))), &shown); err != nil || !shown.DryRun || len(shown.Changes) != 1 || shown.Changes[0].Done {
		t.Fatalf("got %+v, %v", shown, err)
	}
	var fields []string
	for _, f := range shown.Changes[0].Fields {
		fields = append(fields, fmt.Sprint(f.Field, " ", f.From, " ", f.To))
	}
	if got, want := strings.Join(fields, ", "), "events [tree_failed] [tree_failed task_retry], labels map[env:prod] map[env:test], headers [Authorization X-Team] [Authorization], secret its own <nil>"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	wantRun(t, exitOK, apply, "~ webhook chat\n", `~ events: ["tree_failed"] -> ["tree_failed","task_retry"]`, "- secret: its own", "team: 0 made, 1 changed, 0 deleted, 2 as they are\n")
	wantRun(t, exitOK, []string{"webhooks", "list", "-o", "json"}, `"own_secret":false`)
	wantRun(t, exitOK, with("--send-secrets"), "~ webhook chat\n    ~ secrets: sent again\n")

	// What is in no file any more is left, and said; --prune deletes it, and nothing of others.
	wantRun(t, exitOK, []string{"limits", "set", "--pool", "elsewhere", "--max", "1"})
	putFile(t, filepath.Join(dir, "limits.yaml"), "taskgrove: 1\nowner: team\nlimits: [{rate: mail, max: 100, per: minute, burst: 10}]\n")
	putFile(t, filepath.Join(dir, "hooks.yaml"), "taskgrove: 1\n")
	wantRun(t, exitOK, apply, "0 deleted, 1 as they are", "1 object is of team in no file: --prune deletes")
	wantRun(t, exitDrift, with("--dry-run", "--prune"), "- webhook chat\n- limit key warehouse\n", "0 to change, 2 to delete, 1 as they are")
	wantRun(t, exitOK, with("--prune"), "0 made, 0 changed, 2 deleted, 1 as they are")
	wantRun(t, exitOK, []string{"limits"}, "elsewhere", "mail", "!warehouse")
	wantRun(t, exitOK, []string{"webhooks", "list"}, "there are no webhooks")

	// What others have made is not taken over unless one says so.
	wantRun(t, exitOK, []string{"webhooks", "create", "https://hooks.example/other", "--name", "chat", "--events", "tree_failed"})
	putFile(t, filepath.Join(dir, "limits.yaml"), "taskgrove: 1\nowner: team\nlimits: [{pool: elsewhere, max: 2}, {key: new, max: 1}]\n")
	putFile(t, filepath.Join(dir, "hooks.yaml"), aWebhook)
	wantRun(t, exitError, apply, "limits.yaml:3:10: limits[0]: limit pool elsewhere is there already, and is of nobody's files: --adopt takes it over", "hooks.yaml:3:3: webhooks[0]: webhook chat is there already")
	wantRun(t, exitOK, []string{"limits"}, "!new")
	wantRun(t, exitOK, with("--adopt"), "~ limit pool elsewhere\n    ~ max: 1 -> 2\n    + owner: team\n", "    + owner: team\n    ~ secrets: sent again\n", "1 made, 2 changed")
	wantRun(t, exitError, []string{"apply", "-f", filepath.Join(dir, "hooks.yaml"), "--owner", "others"}, "webhook chat belongs to team: --adopt takes it over")
	wantRun(t, exitUsage, with("--owner", "others"), "--owner is others, and the files say that they are of team")
	wantRun(t, exitUsage, []string{"apply", "-f", filepath.Join(dir, "hooks.yaml")}, "nobody says whom the objects belong to")
	wantRun(t, exitUsage, []string{"apply"}, "say -f FOLDER")
	wantRun(t, exitUsage, []string{"apply", "-f", t.TempDir(), "--prune", "--owner", "team"}, "has no file to read")
	wantRun(t, exitUsage, with("--owner", "no owner"), "--owner: must be")
}

const aSchedule = "taskgrove: 1\nowner: team\nschedules:\n- {id: after, on: {schedule: nightly}, tree: {name: t, schemas: {method: noop_executor}}}\n" +
	"- {id: nightly, cron: 30 2 * * *, timezone: Europe/Berlin, overlap: %s, tree: {name: n, schemas: {method: noop_executor}}}\n"

// TestApplySchedules: one that begins with another's ends is made after it, and deleted before; what files don't say of a pause stays.
func TestApplySchedules(t *testing.T) {
	t.Run("a double", func(t *testing.T) {
		double(t)
		followSchedules(t)
	})
	t.Run("a coordinator", func(t *testing.T) {
		c := cluster.Start(t, cluster.Options{Coordinator: func(s *config.Coordinator) { s.GRPCAddr = "127.0.0.1:0" }})
		t.Setenv("TASKGROVE_SERVER", c.Coordinators[0].P.GRPC)
		t.Setenv("XDG_CONFIG_HOME", t.TempDir())
		t.Setenv("HOME", t.TempDir())
		// A fault of the last tree is told before anything is stored, with those of the others.
		bad := strings.NewReplacer("owner: team\n", "", "name: t,", "name: t, priority: 9,", "name: n,", "name: n, priority: 8,").Replace(fmt.Sprintf(aSchedule, "skip"))
		for _, args := range [][]string{{"schedule", "apply"}, {"schedule", "create"}, {"apply", "--owner", "team", "-f"}} {
			wantRun(t, exitUsage, append(args, file(t, "bad.yaml", bad)), "bad.yaml:3:40: schedules[0].tree[0].priority: ", "schedules[1].tree[0].priority: ")
		}
		wantRun(t, exitOK, []string{"schedule"}, "there are no schedules")
		followSchedules(t)
	})
}

func followSchedules(t *testing.T) {
	path := file(t, "s.yaml", fmt.Sprintf(aSchedule, "skip"))
	apply := []string{"apply", "-f", path, "--prune"}
	wantRun(t, exitUsage, []string{"apply", "-f", file(t, "bad.yaml", strings.Replace(fmt.Sprintf(aSchedule, "sikp"), "cron", "corn", 1))}, "bad.yaml:5:17: schedules[1].corn: is no key of a schedule: write cron", "schedules[1].overlap: ")
	wantRun(t, exitOK, apply, "+ schedule nightly\n    + cron: 30 2 * * *\n", "+ schedule after\n    + on: {\"schedule\":\"nightly\"}\n", "team: 2 made")
	wantRun(t, exitOK, apply, "team: 0 made, 0 changed, 0 deleted, 2 as they are")
	wantRun(t, exitOK, []string{"schedule", "pause", "nightly"})
	wantRun(t, exitOK, apply, "2 as they are")
	putFile(t, path, fmt.Sprintf(aSchedule, "allow"))
	wantRun(t, exitOK, apply, "~ schedule nightly\n    ~ overlap: skip -> allow\nteam: 0 made, 1 changed, 0 deleted, 1 as they are")
	wantRun(t, exitOK, []string{"schedule", "get", "nightly", "-o", "json"}, `"paused":true`, `"owner":"team"`)
	putFile(t, path, "taskgrove: 1\nowner: team\nschedules:\n- {id: nightly, on: {schedule: a}, tree: [{name: a}]}\n- {id: a, on: {schedule: b}, tree: [{name: a}]}\n- {id: b, on: {schedule: a}, tree: [{name: a}]}\n- {id: c, on: {schedule: after}, tree: [{name: a}]}\n")
	wantRun(t, exitUsage, append(slices.Clone(apply), "--dry-run"), "s.yaml:5:16: schedules[1].on.schedule: runs of b begin, by others or at once, with ends of this schedule's", "!schedules[0]", "!schedules[2]", "!schedules[3]")
	putFile(t, path, "taskgrove: 1\nowner: team\nschedules:\n- {id: nightly, on: {schedule: c}, tree: [{name: a}]}\n- {id: c, on: {schedule: after}, tree: [{name: a}]}\n")
	wantRun(t, exitUsage, append(slices.Clone(apply[:3]), "--dry-run"), "s.yaml:4:22: schedules[0].on.schedule: runs of c begin, by others or at once, with ends of this schedule's", "!schedules[1]")
	putFile(t, path, strings.Replace(fmt.Sprintf(aSchedule, "allow"), "overlap", "user_id: amy, overlap", 1))
	wantRun(t, exitUsage, apply, "s.yaml:5:60: schedules[1].user_id: the user of a schedule can't be changed")
	putFile(t, path, "taskgrove: 1\nowner: team\n")
	wantRun(t, exitOK, apply, "- schedule after\n- schedule nightly\n", "2 deleted")
	wantRun(t, exitOK, []string{"schedule", "list"}, "there are no schedules")
}

// meddler is a service in which another changes what it is about to change, or that refuses.
type meddler struct {
	coordinator.Service
	before func(key string) error
}

func (m *meddler) SetLimit(ctx context.Context, spec coordinator.LimitSpec) (*coordinator.LimitInfo, error) {
	if err := m.before(spec.Key); err != nil {
		return nil, err
	}
	return m.Service.SetLimit(ctx, spec)
}

// TestApplyStopsInTheMiddle: a conflict, or a refusal, ends it; it says what is done and what is not, and a second run finishes.
func TestApplyStopsInTheMiddle(t *testing.T) {
	svc := apitest.New()
	m := &meddler{Service: svc}
	doubleOf(t, m)
	dir := applyFolder(t, map[string]string{"l.yaml": "taskgrove: 1\nowner: team\nlimits: [{key: a, max: 1}, {key: b, max: 1}, {key: c, max: 1}, {key: d, max: 1}]\n"})
	n := int32(7)
	m.before = func(key string) error {
		if key == "b" {
			_, err := svc.SetLimit(t.Context(), coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{Key: key}, Max: &n})
			return err
		}
		return nil
	}
	wantRun(t, exitError, []string{"apply", "-f", dir}, "+ limit key a\n", "+ limit key b (not done)\n", "team: 1 made, 0 changed", "limit key b: ", "it was changed meanwhile",
		"run apply again: it looks at what is there now\n1 of 4 changes are done; what is missing, a second run does: not tried: limit key c, limit key d")
	m.before = func(key string) error {
		if key == "d" {
			return &coordinator.InvalidArgumentError{Field: "max", Reason: "is too much for me"}
		}
		return nil
	}
	wantRun(t, exitError, []string{"apply", "-f", dir, "--adopt"}, "l.yaml:3:73: limits[3].max: is too much for me", "2 of 3 changes are done; what is missing, a second run does")
	m.before = func(string) error { return nil }
	wantRun(t, exitOK, []string{"apply", "-f", dir}, "team: 1 made, 0 changed, 0 deleted, 3 as they are")
}

// TestAppliesAtOnce: of several at once that make and change the same, each object is as one of them has it, and who lost a race is told of a conflict.
func TestAppliesAtOnce(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Coordinators: 2, Coordinator: func(s *config.Coordinator) {
		s.GRPCAddr = "127.0.0.1:0"
		s.SealKey = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	}})
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	t.Setenv("APPLY_TOKEN", "x")
	const folders = 4
	var dirs []string
	for i := range folders {
		dirs = append(dirs, applyFolder(t, map[string]string{"l.yaml": fmt.Sprintf(aLimit, i+1), "hooks.yaml": strings.Replace(aWebhook, "prod", fmt.Sprint("e", i), 1), "secret": applySecret}))
	}
	for round := range 3 {
		var all sync.WaitGroup
		for i, dir := range dirs {
			all.Go(func() {
				_, notes, code := runCommand(t, "apply", "-f", dir, "--server", c.Coordinators[i%2].P.GRPC)
				if code != exitOK && (code != exitError || !strings.Contains(notes, "run apply again")) {
					t.Errorf("round %d, folder %d: exit %d: %s", round, i, code, notes)
				}
			})
		}
		all.Wait()
	}
	s, err := client.New(c.Coordinators[0].P.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	hooks, err := s.WebhooksPage(t.Context(), client.WebhookFilter{})
	limits, err2 := s.LimitsPage(t.Context(), client.LimitFilter{})
	if err := errors.Join(err, err2); err != nil || len(hooks.Items) != 1 || len(limits.Items) != 2 || hooks.Items[0].Owner != "team" {
		t.Fatalf("there are %+v and %+v, %v", hooks, limits, err)
	}
	t.Setenv("TASKGROVE_SERVER", c.Coordinators[1].P.GRPC)
	wantRun(t, exitOK, []string{"apply", "-f", dirs[2]}, "team: 0 made, ")
	wantRun(t, exitOK, []string{"apply", "-f", dirs[2], "--dry-run"}, "0 to change, 0 to delete, 3 as they are")
}
