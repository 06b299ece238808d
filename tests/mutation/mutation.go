// Package mutation builds bugs into the source on purpose, one small edit at a time, to show that a checker finds them. The go
// command builds the edited file in place of the real one (-overlay); the source tree is not changed.
//
// It owns the description of an edit, and its overlay. It must not know what is edited, or which checker looks for it.
package mutation

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Mutant is one bug.
type Mutant struct {
	Name string // "settle-takes-old-attempts"
	File string // from the module's root, with slashes
	Old  string // the text that the edit replaces; it must be in the file exactly once
	New  string
	What string // the rule that it breaks, for people
}

// Overlay writes the edited file into dir and returns the path of the overlay file there, for go build -overlay. root is
// the module's root. It fails when Old is not in the file exactly once: the source has moved on, and the edit must too.
func (m Mutant) Overlay(root, dir string) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	name := filepath.Join(root, filepath.FromSlash(m.File))
	text, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("mutant %s: %w", m.Name, err)
	}
	if n := strings.Count(string(text), m.Old); n != 1 {
		return "", fmt.Errorf("mutant %s: the text to replace is %d times in %s, not once", m.Name, n, m.File)
	}
	edited := filepath.Join(dir, m.Name+"-"+filepath.Base(m.File))
	if err := os.WriteFile(edited, []byte(strings.Replace(string(text), m.Old, m.New, 1)), 0o644); err != nil {
		return "", fmt.Errorf("mutant %s: %w", m.Name, err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {name: edited}})
	if err != nil {
		return "", fmt.Errorf("mutant %s: %w", m.Name, err)
	}
	out := filepath.Join(dir, m.Name+".json")
	if err := os.WriteFile(out, overlay, 0o644); err != nil {
		return "", fmt.Errorf("mutant %s: %w", m.Name, err)
	}
	return out, nil
}
