package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
)

func artifactsCommand() *cobra.Command {
	var f client.ArtifactFilter
	var q client.ArtifactQuery
	var out string
	cmd := clientCommand("artifacts TASK [NAME]", "List the files that a task made, or fetch one",
		"Lists the artifacts of a task; with --tree, those of all tasks of its tree. With a name it fetches that one: to standard output, or\n"+
			"with -f into a file, which is not in its place before it is whole.\n"+taskRefHelp,
		cobra.RangeArgs(1, 2), nil)
	cmd.Flags().BoolVar(&f.Tree, "tree", false, "those of the task's whole tree")
	cmd.Flags().IntVar(&q.Attempt, "attempt", 0, "of this attempt; 0: the last that made one of the name")
	cmd.Flags().StringVarP(&out, "file", "f", "", "write it into this file; a directory: under its own name")
	cmd.ValidArgsFunction = completeTasks(1)
	run(cmd, func(ctx context.Context, s *session, args []string) error {
		switch {
		case q.Attempt < 0:
			return usage("--attempt: takes a number from 1 on, or 0 for the last, not %d", q.Attempt)
		case len(args) == 1 && (out != "" || q.Attempt > 0):
			return usage("--file, --attempt: name the artifact, too")
		case len(args) == 2 && f.Tree:
			return usage("--tree: lists artifacts, and fetches none")
		}
		id, err := s.id(ctx, args[0])
		if err != nil {
			return err
		}
		if len(args) == 2 {
			return s.fetchArtifact(ctx, id, args[1], q, out)
		}
		list, err := s.Artifacts(ctx, id, f)
		if err != nil {
			return err
		}
		return s.printArtifacts(list)
	})
	return cmd
}

// printArtifacts prints a list of artifacts.
func (s *session) printArtifacts(list []*client.Artifact) error {
	return s.print(list, func(w io.Writer) {
		table(w, func(w io.Writer) {
			fmt.Fprintln(w, "NAME\tTASK\tATTEMPT\tKIND\tBYTES\tTYPE\tSHA256")
			for _, a := range list {
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%s\t%s\n", oneLine(a.Name), oneLine(called(a.TaskName, a.TaskID)), a.Attempt, a.Kind, a.Size, oneLine(a.MediaType), a.SHA256)
			}
		})
	})
}

// fetchArtifact writes an artifact to standard output, or into a file.
func (s *session) fetchArtifact(ctx context.Context, id, name string, q client.ArtifactQuery, out string) error {
	a, err := s.OpenArtifact(ctx, id, name, q)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	if out == "" {
		_, err := io.Copy(s.out, a)
		return err
	}
	if info, err := os.Stat(out); err == nil && info.IsDir() {
		out = filepath.Join(out, filepath.Base(filepath.FromSlash(a.Name)))
	}
	f, err := os.CreateTemp(filepath.Dir(out), ".taskgrove-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, a)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), out)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
