// Package versions runs the program of the version before together with that of the working tree.
//
// It owns finding and building the version before, by the history of the file VERSION. It must not know how the program works:
// it uses processes, their settings and their API.
package versions

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// ErrNoHistory: there is no repository here, or it does not reach back to the version before.
var ErrNoHistory = errors.New("the history does not reach back to the version before")

// Commit is a commit that set the file VERSION.
type Commit struct {
	Hash    string
	Version string
}

// Before is the commit that set the file VERSION to its value before the present one, in the repository of root. While there
// was only one value, it is the commit that set that. The error wraps [ErrNoHistory] when the history does not tell.
func Before(root string) (Commit, error) {
	commits, current, err := history(root)
	if err != nil {
		return Commit{}, err
	}
	before, ok := pick(commits, current)
	if !ok {
		return Commit{}, fmt.Errorf("%w: no commit has set VERSION", ErrNoHistory)
	}
	return before, nil
}

// Present is the commit that set the file VERSION to its present value: the release of that version. The error wraps [ErrNoHistory] when
// the history does not tell, or the value is not committed.
func Present(root string) (Commit, error) {
	commits, current, err := history(root)
	if err != nil {
		return Commit{}, err
	}
	if len(commits) == 0 || commits[0].Version != current {
		return Commit{}, fmt.Errorf("%w: no commit has set VERSION to %s", ErrNoHistory, current)
	}
	present, _ := pick(commits, "")
	return present, nil
}

// history are the commits that changed the file VERSION, the newest first, and what it holds.
func history(root string) (commits []Commit, current string, err error) {
	content, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		return nil, "", err
	}
	shallow, err := git(root, "rev-parse", "--is-shallow-repository")
	if err != nil || strings.TrimSpace(shallow) == "true" {
		return nil, "", fmt.Errorf("%w: no whole git repository: %w", ErrNoHistory, err)
	}
	log, err := git(root, "log", "--first-parent", "--format=%H", "--", "VERSION")
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrNoHistory, err)
	}
	for _, hash := range strings.Fields(log) {
		version, err := git(root, "show", hash+":VERSION")
		if err != nil {
			continue // it took the file away
		}
		commits = append(commits, Commit{hash, strings.TrimSpace(version)})
	}
	return commits, strings.TrimSpace(string(content)), nil
}

// pick chooses among the commits that changed the file, the newest first.
func pick(commits []Commit, current string) (Commit, bool) {
	older := commits
	for len(older) > 0 && older[0].Version == current {
		older = older[1:]
	}
	if len(older) == 0 { // there was never another value
		older = commits
	}
	if len(older) == 0 {
		return Commit{}, false
	}
	at := older[0]
	for _, c := range older {
		if c.Version != at.Version {
			break
		}
		at = c // the first that set it
	}
	return at, true
}

// Build builds the program as it was at a commit. The source goes to dir, and so does the program, whose path is returned.
// The repository of root stays as it is.
func Build(root string, at Commit, dir string) (string, error) {
	source := filepath.Join(dir, "source-"+at.Hash[:12])
	if err := os.MkdirAll(source, 0o755); err != nil {
		return "", err
	}
	archive := exec.Command("git", "-C", root, "archive", at.Hash)
	unpack := exec.Command("tar", "-x", "-C", source)
	var text, faults bytes.Buffer
	archive.Stdout, archive.Stderr = &text, &faults
	unpack.Stdin, unpack.Stderr = &text, &faults
	for _, cmd := range []*exec.Cmd{archive, unpack} {
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("source of version %s: %w\n%s", at.Version, err, &faults)
		}
	}
	return BuildHere(source, filepath.Join(dir, "taskgrove-"+at.Hash[:12]))
}

// BuildHere builds the program of the source in a directory to a path, which it returns. It tries three times, as modules that only an
// older version takes come from a proxy, who may have a bad moment.
func BuildHere(source, path string) (string, error) {
	for tries := 1; ; tries++ {
		build := exec.Command("go", "build", "-buildvcs=false", "-o", path, "./cmd/taskgrove")
		build.Dir = source
		out, err := build.CombinedOutput()
		if err == nil {
			return path, nil
		}
		if tries == 3 {
			return "", fmt.Errorf("build in %s: %w\n%s", source, err, out)
		}
		time.Sleep(3 * time.Second)
	}
}

// git runs git in the repository of root.
func git(root string, args ...string) (string, error) {
	var faults bytes.Buffer
	cmd := exec.Command("git", append([]string{"-C", root}, args...)...)
	cmd.Stderr = &faults
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(faults.Bytes()))
	}
	return string(out), nil
}
