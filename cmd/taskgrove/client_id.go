package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/taskgrove/taskgrove/client"
)

// taskRefHelp says in a command's help what names a task.
const taskRefHelp = "A task is named by its id, by the beginning of its id if no other's begins so, or by TREE/name."

// id is the id of the task that a text on the command line stands for.
func (s *session) id(ctx context.Context, ref string) (string, error) {
	found, err := s.Resolve(ctx, ref)
	switch {
	case status.Code(err) == codes.Unimplemented: // a coordinator of 0.2.0: only ids
		return ref, nil
	case err != nil:
		return "", err
	case len(found.Tasks) == 1:
		return found.Tasks[0].ID, nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s stands for several tasks; give more of the id:\n", ref)
	table(&b, func(w io.Writer) {
		for _, m := range found.Tasks {
			tree := ""
			if m.TreeID != m.ID {
				tree = "of tree " + m.TreeID
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", oneLine(m.ID), oneLine(m.Name), m.Status, oneLine(tree))
		}
	})
	if found.More {
		b.WriteString("  … and others\n")
	}
	return "", usage("%s", strings.TrimSuffix(b.String(), "\n"))
}

// uuid is the form of the ids that the cluster gives. Others were chosen by people, and are shown as they are.
var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

const (
	uuidLength = 36
	shortest   = 8 // characters of a short id
)

// shortIDs gives each of the ids a short form: the beginning of those that the cluster gave, as long as it needs to differ from that of
// the others. Commands take it, as long as no other task of the cluster begins so.
func shortIDs(ids []string) map[string]string {
	short := make(map[string]string, len(ids))
	var long []string
	for _, id := range ids {
		short[id] = id
		if len(id) == uuidLength && uuid.MatchString(id) {
			long = append(long, id)
		}
	}
	slices.Sort(long)
	long = slices.Compact(long)
	same := func(i int) (n int) { // how much the i-th has in common with the one before
		if i <= 0 || i >= len(long) {
			return 0
		}
		for n < uuidLength && long[i-1][n] == long[i][n] {
			n++
		}
		return n
	}
	for i, id := range long {
		short[id] = id[:max(shortest, same(i)+1, same(i+1)+1)]
	}
	return short
}

// shortID is the short form of one id.
func shortID(id string) string { return shortIDs([]string{id})[id] }

// called is how a task is called: its name, and its short id where that says something else.
func called(name, id string) string {
	switch name {
	case "", id:
		return shortID(id)
	}
	return name + " (" + shortID(id) + ")"
}

// shortTaskIDs are the short ids of tasks.
func shortTaskIDs(tasks []*client.Task) map[string]string {
	ids := make([]string, len(tasks))
	for i, t := range tasks {
		ids[i] = t.ID
	}
	return shortIDs(ids)
}
