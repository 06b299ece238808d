package versions

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestPick(t *testing.T) {
	history := []Commit{{"f", "0.3.0"}, {"e", "0.2.0"}, {"d", "0.2.0"}, {"c", "0.1.0"}}
	for _, row := range []struct {
		fact    string
		commits []Commit
		current string
		want    string
	}{
		{"the first commit of the value before", history, "0.3.0", "d"},
		{"the value is raised, but not committed", history, "0.4.0", "f"},
		{"there was one value only", history[3:], "0.1.0", "c"},
		{"it was set twice", []Commit{{"b", "0.1.0"}, {"a", "0.1.0"}}, "0.1.0", "a"},
		{"nobody has set it", nil, "0.1.0", ""},
	} {
		if got, ok := pick(row.commits, row.current); got.Hash != row.want || ok != (row.want != "") {
			t.Errorf("%s: got %+v, want %s", row.fact, got, row.want)
		}
	}
}

// TestHistoryIsMissing: the version before is not found without a whole history, and CI must not skip for that.
func TestHistoryIsMissing(t *testing.T) {
	whole := repository(t)
	shallow := filepath.Join(t.TempDir(), "shallow")
	run(t, ".", "clone", "-q", "--depth=1", "file://"+whole, shallow)
	archive := t.TempDir()
	write(t, archive, "0.2.0")
	for _, row := range []struct {
		fact, root string
		missing    bool
	}{
		{"a whole repository", whole, false},
		{"a shallow one", shallow, true},
		{"no repository", archive, true},
	} {
		t.Run(row.fact, func(t *testing.T) {
			t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(archive)) // no repository that is above it
			at, err := Before(row.root)
			if got := errors.Is(err, ErrNoHistory); got != row.missing {
				t.Errorf("the history is missing: %v (%v), want %v", got, err, row.missing)
			}
			if !row.missing && at.Version != "0.1.0" {
				t.Errorf("the version before is %q, want 0.1.0", at.Version)
			}
			if mayLackHistory(err, "true") {
				t.Error("CI skips the test")
			}
			if got := mayLackHistory(err, ""); got != row.missing {
				t.Errorf("others skip the test: %v, want %v", got, row.missing)
			}
		})
	}
}

// repository is one whose file VERSION was set to 0.1.0 and then to 0.2.0.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	run(t, dir, "init", "-q")
	for _, version := range []string{"0.1.0", "0.2.0"} {
		write(t, dir, version)
		run(t, dir, "add", "VERSION")
		run(t, dir, "-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false", "commit", "-q", "-m", version)
	}
	return dir
}

func write(t *testing.T, dir, version string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "VERSION"), []byte(version+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, dir string, args ...string) {
	t.Helper()
	if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}
