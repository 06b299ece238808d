package python

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// packages is what an environment is made of. Two that are equal share it.
type packages struct {
	Python       string `json:"python"`       // version; empty: uv's choice
	Requirements string `json:"requirements"` // text of a requirements.txt
	Script       string `json:"script"`       // block of inline metadata (PEP 723)
	Lock         string `json:"lock"`         // uv.lock or pylock.toml
	Project      string `json:"project"`      // pyproject.toml of the uv.lock
	Build        bool   `json:"build"`        // packages may be built from source
}

// key is the environment's name.
func (p packages) key() string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // texts can be encoded
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// packages are those that the inputs name; else those that the script names itself, in inline metadata; else those of the files that lie
// beside the code: uv.lock with pyproject.toml, pylock.toml, requirements.txt.
func (j *job) packages() (p packages, err error) {
	p = packages{Python: j.in.Python, Requirements: string(j.in.Requirements), Lock: j.in.Lock, Project: j.in.Project, Build: j.e.cfg.Build}
	if p.Requirements != "" || p.Lock != "" {
		return p, nil
	}
	if j.script != "" {
		text, err := os.ReadFile(j.script)
		if err != nil {
			return p, err
		}
		block, requires, err := inlineMetadata(string(text))
		if err != nil {
			return p, invalid("%v", err)
		}
		if p.Python == "" {
			p.Python = requires
		}
		if p.Script = block; block != "" {
			return p, nil
		}
	}
	if j.in.Git == nil && j.in.Archive == nil {
		return p, nil
	}
	for _, file := range []struct {
		name string
		into *string
	}{{"uv.lock", &p.Lock}, {"pylock.toml", &p.Lock}, {"requirements.txt", &p.Requirements}} {
		text, err := j.beside(file.name)
		if err != nil {
			return p, err
		}
		if *file.into = text; text == "" {
			continue
		}
		if file.name == "uv.lock" {
			if p.Project, err = j.beside("pyproject.toml"); err == nil && p.Project == "" {
				err = invalid("%s has a uv.lock without a pyproject.toml", j.origin())
			}
			return p, err
		}
		if err := checkRequirements(p.Requirements); err != nil {
			return p, invalid("%s of %s: %v", file.name, j.origin(), err)
		}
		return p, nil
	}
	return p, nil
}

// beside is the text of a file in the directory of modules; empty: there is none.
func (j *job) beside(name string) (string, error) {
	at := filepath.Join(j.tree, name)
	info, err := os.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxListBytes {
		return "", invalid("%s of %s: want a file of at most %d bytes", name, j.origin(), maxListBytes)
	}
	text, err := os.ReadFile(at)
	return string(text), err
}

var requiresPython = regexp.MustCompile(`(?m)^# requires-python\s*=\s*["']([^"']*)["']\s*$`)

// inlineMetadata is the block by which a script names its packages (PEP 723), with the version of Python that it wants.
func inlineMetadata(script string) (block, python string, err error) {
	var lines []string
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case lines == nil && line == "# /// script":
			if block != "" {
				return "", "", errors.New("script: it has two blocks of metadata")
			}
			lines = []string{line}
		case lines == nil:
		case line == "# ///":
			block, lines = strings.Join(append(lines, line), "\n")+"\n", nil
		case line != "#" && !strings.HasPrefix(line, "# "):
			return "", "", errors.New("script: its block of metadata has no end")
		default:
			if strings.HasPrefix(line, "# [tool") {
				return "", "", errors.New("script: its metadata may name packages and the version of Python, and no tools")
			}
			if strings.Contains(line, "file:") {
				return "", "", errors.New("script: its metadata names a file of this machine")
			}
			lines = append(lines, line)
		}
	}
	if lines != nil {
		return "", "", errors.New("script: its block of metadata has no end")
	}
	if m := requiresPython.FindStringSubmatch(block); m != nil {
		python = m[1]
		if !pythonRule.MatchString(python) {
			return "", "", errors.New("script: requires-python is not a version")
		}
	}
	return block, python, nil
}
