package faults

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/executors/bundle"
)

// bundled keeps a bundle of a flow and many files, and gives its digest and how many there are.
func (s *site) bundled(id string, files int) (digest string, all int) {
	s.t.Helper()
	contents := map[string]string{"flow.yaml": `
flow: {id: ` + id + `, pool: ` + Pools[0] + `}
jobs:
- id: a
  steps:
  - {id: look, type: external.process, inputs: {shell: true, command: "cd $TASKGROVE_BUNDLE_DIR && find . -type f | wc -l && cat files/* | wc -c", log: {stdout: capture}}}
`, "profiles.yaml": "{}"}
	for n := range files {
		contents[fmt.Sprintf("files/%02d", n)] = strings.Repeat(fmt.Sprintf("%s %d\n", id, n), 100+n)
	}
	spec := coordinator.BundleSpec{ID: id, BundleRules: coordinator.BundleRules{EntryFlow: "flow.yaml", ProfilesFile: "profiles.yaml"}}
	for path, text := range contents {
		sum := sha256.Sum256([]byte(text))
		spec.Files = append(spec.Files, bundle.File{Path: path, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(text))})
		if _, err := s.front.PutBundleFile(s.t.Context(), coordinator.BundleFile{Data: []byte(text)}); err != nil {
			s.t.Fatal(err)
		}
	}
	slices.SortFunc(spec.Files, func(a, b bundle.File) int { return strings.Compare(a.Path, b.Path) })
	spec.Fingerprint = bundle.Fingerprint(spec.Files)
	got, err := s.front.ApplyBundle(s.t.Context(), spec)
	if err != nil || len(got.Missing) > 0 {
		s.t.Fatal(got, err)
	}
	return got.Digest, len(contents)
}

// TestKilledWhileABundleIsLaidOut kills the worker that lays out the bundle of a run: when it has some of the contents, when it has linked some of the files, and before they get into their
// place. What it leaves is no bundle, or a whole one, and the next attempt of the step, by another worker, sees it whole.
func TestKilledWhileABundleIsLaidOut(t *testing.T) {
	t.Parallel()
	s := newSharedSite(t)
	s.start(CoordinatorRole, "")
	const files = 12
	for n, point := range []string{"bundle.before-blob=kill@5", "bundle.mid-tree=kill@7", "bundle.before-tree=kill"} {
		id := fmt.Sprintf("laid%d", n)
		_, all := s.bundled(id, files)
		victim := s.start(WorkerRole, point)
		run, err := s.front.RunFlow(t.Context(), coordinator.FlowRunSpec{RunID: "run", Bundle: &coordinator.RunBundle{ID: id}})
		if err != nil {
			t.Fatal(err)
		}
		s.dies(victim)
		versions, err := filepath.Glob(filepath.Join(s.base.Dir, "work", "*", "bundles", "versions", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range versions {
			if has := filesBelow(t, dir); has != all {
				t.Errorf("%s: what is left has %d files of %d", point, has, all)
			}
		}
		worker := s.start(WorkerRole, "")
		f := &flowing{&FlowRun{Run: run.RunID}}
		var got *coordinator.FlowRunInfo
		eventually(t, id+" ends", func() (err error) {
			if got, err = s.front.FlowRun(t.Context(), id+"/"+f.Run); err == nil && got.Outcome == "RUNNING" {
				err = fmt.Errorf("it runs")
			}
			return err
		})
		var result struct{ Stdout string }
		if got.Outcome == "SUCCESS" {
			if err := json.Unmarshal(got.Jobs[0].Steps[0].Result, &result); err != nil {
				t.Fatal(err)
			}
		}
		size := 0
		for i := range files {
			size += len(fmt.Sprintf("%s %d\n", id, i)) * (100 + i)
		}
		if want := fmt.Sprintf("%d %d", all, size); strings.Join(strings.Fields(result.Stdout), " ") != want {
			t.Errorf("%s: the run is %s, and its step saw %q, want %q: %+v", point, got.Outcome, result.Stdout, want, got.Jobs)
		}
		if attempts := got.Jobs[0].Steps[0].Attempts; attempts != 2 {
			t.Errorf("%s: the step had %d attempts", point, attempts)
		}
		if err := worker.Stop(); err != nil {
			t.Error(err)
		}
	}
	if err := CheckStore(t.Context(), s.front); err != nil {
		t.Error(err)
	}
}

// filesBelow is how many files a directory has.
func filesBelow(t *testing.T, dir string) (n int) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}
