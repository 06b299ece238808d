package python

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
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
	Script       string `json:"script"`       // requirements of a script's own metadata (PEP 723), behind a line that says so; empty: it has none
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
		named, requires, err := inlineMetadata(string(text))
		if err != nil {
			return p, invalid("%v", err)
		}
		if p.Python == "" {
			p.Python = requires
		}
		if p.Script = named; named != "" {
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

// ofScript begins the requirements that a script names itself.
const ofScript = "# named by the script\n"

// inlineMetadata are the requirements that a script names in a block (PEP 723), with the version of Python that it wants. Both are empty if
// there is no block.
func inlineMetadata(script string) (requirements, python string, err error) {
	var lines []string
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case lines == nil && line == "# /// script":
			if requirements != "" {
				return "", "", errors.New("script: it has two blocks of metadata")
			}
			lines = []string{}
		case lines == nil:
		case line == "# ///":
			if requirements, python, err = readMetadata(lines); err != nil {
				return "", "", fmt.Errorf("script: its metadata: %w", err)
			}
			lines = nil
		case line != "#" && !strings.HasPrefix(line, "# "):
			return "", "", errors.New("script: its block of metadata has no end")
		default:
			lines = append(lines, line[1:])
		}
	}
	if lines != nil {
		return "", "", errors.New("script: its block of metadata has no end")
	}
	return requirements, python, nil
}

// metadataToken is a token of the part of TOML that metadata needs: strings of one line in which only quotes and backslashes are escaped,
// names, punctuation. With all of TOML, it could say more than is looked at here.
var metadataToken = regexp.MustCompile(`^(?:'[^']*'|"(?:[^"\\]|\\["\\])*"|[a-z-]+|[=,\[\]])`)

var errMetadata = errors.New("it may name packages and the version of Python, and no tools: dependencies is a list of texts, requires-python a text")

// readMetadata reads the lines of a block.
func readMetadata(lines []string) (requirements, python string, err error) {
	m := metadata{}
	for _, line := range lines {
		for line = strings.TrimSpace(line); line != "" && line[0] != '#'; line = strings.TrimSpace(line) {
			token := metadataToken.FindString(line)
			if token == "" {
				return "", "", errMetadata
			}
			m.tokens, line = append(m.tokens, token), line[len(token):]
		}
	}
	for len(m.tokens) > 0 {
		if !m.entry() {
			return "", "", errMetadata
		}
	}
	requirements = ofScript + strings.Join(append(m.dependencies, ""), "\n")
	if m.python != "" && !pythonRule.MatchString(m.python) {
		return "", "", errors.New("requires-python is not a version")
	}
	return requirements, m.python, checkRequirements(requirements)
}

// metadata is what was read of a block, and the tokens that are left.
type metadata struct {
	tokens       []string
	dependencies []string // nil: not named yet
	python       string
}

func (m *metadata) next() (token string) {
	if len(m.tokens) > 0 {
		token, m.tokens = m.tokens[0], m.tokens[1:]
	}
	return token
}

// entry reads a key and its value. It reports false if they are not as they must be.
func (m *metadata) entry() bool {
	switch key := m.next(); {
	case m.next() != "=":
		return false
	case key == "requires-python" && m.python == "":
		m.python = unquoteTOML(m.next())
		return m.python != ""
	case key == "dependencies" && m.dependencies == nil:
		return m.list()
	}
	return false
}

func (m *metadata) list() bool {
	m.dependencies = []string{}
	if m.next() != "[" {
		return false
	}
	for token := m.next(); token != "]"; token = m.next() {
		one := unquoteTOML(token)
		if one == "" {
			return false
		}
		m.dependencies = append(m.dependencies, one)
		if token = m.next(); token == "]" {
			break
		} else if token != "," {
			return false
		}
	}
	return true
}

// unquoteTOML is the text of a token that is a string; empty: it is none.
func unquoteTOML(token string) string {
	switch {
	case len(token) < 2:
		return ""
	case token[0] == '\'':
		return token[1 : len(token)-1]
	case token[0] == '"':
		return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(token[1 : len(token)-1])
	}
	return ""
}
