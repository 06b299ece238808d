package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/flows/env"
)

// envFlags give a flow's environment its values.
type envFlags struct{ env, files []string }

func (e *envFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&e.env, "env", nil, "NAME=VALUE for the flow's environment, or NAME alone for this process's own value; goes before files; may be repeated, the last counts")
	cmd.Flags().StringArrayVar(&e.files, "env-file", nil, "file with values for the flow's environment, of which those count that the flow uses: lines NAME=VALUE, a JSON object (.json), or a directory with a file for each name; may be repeated, the last counts")
}

// envGiven are the values that flags give.
type envGiven struct{ files, named env.Values }

// read reads the values that the flags give, and tells names of files that have no effect.
func (e *envFlags) read(notes io.Writer) (*envGiven, error) {
	var sources []env.Source
	for _, path := range e.files {
		if path == "" {
			return nil, usage("--env-file: want a path")
		}
		sources = append(sources, env.Source{Path: filepath.ToSlash(path)})
	}
	given := &envGiven{named: env.Values{}}
	var useless env.Faults
	var err error
	if given.files, useless, err = env.Read(hostFiles{}, sources); err != nil {
		return nil, codedError{fmt.Errorf("--env-file: %w", err), exitUsage}
	}
	for _, note := range useless {
		_, _ = fmt.Fprintln(notes, note)
	}
	for _, one := range e.env {
		name, value, is := strings.Cut(one, "=")
		if name == "" {
			return nil, usage("--env: want NAME=VALUE or NAME, got %q", one)
		}
		if !template.Identifier(name) {
			return nil, usage("--env: %q can't be a name: want letters, digits and _, with no digit first", name)
		}
		if !is {
			if value, is = os.LookupEnv(name); !is {
				return nil, usage("--env: %s is not set here", name)
			}
		}
		given.named[name] = env.Value{Text: value}
	}
	return given, nil
}

// envUse is what a template names of the environment.
var envUse = regexp.MustCompile(`\benv\.([A-Za-z_][A-Za-z0-9_]*)`)

// of are the values for a flow: of files, those that its text, or that of its profiles, names.
func (g *envGiven) of(texts ...[]byte) map[string]string {
	used := map[string]bool{}
	for _, text := range texts {
		for _, found := range envUse.FindAllSubmatch(text, -1) {
			used[string(found[1])] = true
		}
	}
	return env.Merge(g.files.Only(func(name string) bool { return used[name] }), g.named).Texts()
}

// hostFiles are the files of this host, by paths as people write them.
type hostFiles struct{}

// Open implements [fs.FS].
func (hostFiles) Open(name string) (fs.File, error) {
	f, err := os.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err // not a nil pointer in an interface
	}
	return f, nil
}

// Stat implements [fs.StatFS], so that nobody opens a pipe to look at it.
func (hostFiles) Stat(name string) (fs.FileInfo, error) {
	info, err := os.Stat(filepath.FromSlash(name))
	if errors.Is(err, os.ErrInvalid) {
		err = fs.ErrNotExist
	}
	return info, err
}
