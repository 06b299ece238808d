package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// namedTree is a document, and what it is called.
type namedTree struct {
	*treefile.File
	name string // "nightly.yaml", "nightly.yaml#2"
}

// readTrees reads every document of the files and directories. The error has the faults of all.
func (s *session) readTrees(ctx context.Context, paths []string, opts treefile.Options) (all []namedTree, err error) {
	faults := &treefile.Error{Passable: true}
	note := func(document *treefile.File, err error) error {
		refused, ok := errors.AsType[*treefile.Error](err)
		if !ok {
			return codedError{err, exitUsage}
		}
		if document != nil {
			_ = s.ruled(ctx, document, refused) // it adds to the faults
		}
		faults.Passable = faults.Passable && refused.Passable
		faults.More += refused.More
		for _, f := range refused.Faults {
			if len(faults.Faults) == maxFaults {
				faults.More++
				continue
			}
			faults.Faults = append(faults.Faults, f)
		}
		return nil
	}
	for _, path := range paths {
		names, err := filesOf(path)
		if err != nil {
			return nil, codedError{err, exitUsage}
		}
		for _, name := range names {
			documents, err := treefile.Open(name, opts.Stdin)
			if err != nil {
				if err := note(nil, err); err != nil {
					return nil, err
				}
				continue
			}
			for i, document := range documents {
				read, err := document.Read(opts)
				if err != nil {
					if err := note(document, err); err != nil {
						return nil, err
					}
					continue
				}
				one := namedTree{read, filepath.Base(name)}
				if i > 0 {
					one.name += "#" + strconv.Itoa(i+1)
				}
				all = append(all, one)
			}
		}
	}
	switch {
	case len(faults.Faults) > 0:
		return nil, codedError{faults, exitUsage}
	case len(all) > coordinator.MaxTogether:
		return nil, usage("there are %d trees, and at most %d are submitted together", len(all), coordinator.MaxTogether)
	}
	return all, nil
}

// hasExecutor reports whether the cluster has an executor. It is asked once, when there is a doubt; where it does not answer, its word at the submission counts.
func (s *session) hasExecutor(ctx context.Context) func(id string) bool {
	var ids map[string]bool
	unknown := false
	return func(id string) bool {
		if ids == nil {
			ids = map[string]bool{}
			for e, err := range s.Executors(ctx) {
				if unknown = err != nil; unknown {
					break
				}
				ids[e.ID] = true
			}
		}
		return unknown || ids[id]
	}
}

// maxFaults is how many faults of files are told; the rest is counted.
const maxFaults = 100

// filesOf are the files that a path means: itself, or those of a directory that may have trees.
func filesOf(path string) (names []string, err error) {
	info, err := os.Stat(path)
	if path == "-" || err == nil && !info.IsDir() {
		return []string{path}, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries { // which are sorted
		switch filepath.Ext(e.Name()) {
		case ".yaml", ".yml", ".json":
			if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				names = append(names, filepath.Join(path, e.Name()))
			}
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: has no .yaml, .yml or .json file", path)
	}
	return names, nil
}

// submitTrees submits several trees, all or none.
func (s *session) submitTrees(ctx context.Context, documents []namedTree, key string, options []client.SubmitOption) error {
	trees := make([]client.NewTree, len(documents))
	for i, d := range documents {
		trees[i] = client.NewTree{JSON: d.JSON}
		if key != "" {
			trees[i].IdempotencyKey = key + "/" + d.name
		}
	}
	out, err := s.SubmitTrees(ctx, trees, options...)
	if err != nil {
		return faultsInTrees(documents, err)
	}
	for i, one := range out {
		s.noteSubmitted(documents[i].File, one)
	}
	return s.print(out, func(w io.Writer) {
		for _, one := range out {
			fmt.Fprintln(w, one.TreeID)
		}
	})
}

// ofTree is how a server names a field of one of several trees.
var ofTree = regexp.MustCompile(`^trees\[(\d{1,4})\]\.?(.*)$`)

// faultsInTrees gives what a server says about trees the places of their files.
func faultsInTrees(documents []namedTree, err error) error {
	bad, ok := errors.AsType[*client.InvalidError](err)
	if !ok {
		return err
	}
	refused := &treefile.Error{More: bad.More}
	for _, one := range bad.Faults {
		m := ofTree.FindStringSubmatch(one.Field)
		index := len(documents)
		if m != nil {
			index, _ = strconv.Atoi(m[1]) // they are digits
		}
		if index >= len(documents) {
			refused.Faults = append(refused.Faults, treefile.Fault{Place: "trees", Text: one.Reason})
			continue
		}
		at := "trees[" + m[1] + "]: "
		refused.Faults = append(refused.Faults, faultIn(documents[index].File, client.Fault{Field: m[2], Reason: strings.TrimPrefix(one.Reason, at)}))
	}
	if len(refused.Faults) == 0 {
		return err
	}
	return codedError{refused, exitUsage}
}
