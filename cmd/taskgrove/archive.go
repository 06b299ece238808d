package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/archive"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	"github.com/taskgrove/taskgrove/node"
)

const archiveHelp = "Reads the store itself, with TASKGROVE_ARCHIVE_DIR or TASKGROVE_ARCHIVE_S3_… as coordinators have them; no cluster is needed."

// archiveCall is what both commands read.
type archiveCall struct {
	namespace, user, since, until string
}

func archiveCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "archive", Short: "Read trees that were archived before their deletion", GroupID: groupServe, Args: cobra.NoArgs,
		Long: "Reads trees that coordinators wrote into the archive before retention deleted them.\n" + archiveHelp, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(archiveListCommand(), archiveShowCommand())
	return cmd
}

func (a *archiveCall) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.namespace, "namespace", "default", "of the trees")
	cmd.Flags().StringVar(&a.user, "user", "", "only this owner's trees")
	cmd.Flags().StringVar(&a.since, "since", "", "only trees that were submitted on this day or later: 2026-11-30, UTC")
	cmd.Flags().StringVar(&a.until, "until", "", "only trees that were submitted on this day or before")
}

// open opens the archive, and checks the days.
func (a *archiveCall) open() (archive.Store, error) {
	for flag, day := range map[string]string{"since": a.since, "until": a.until} {
		if _, err := time.Parse(time.DateOnly, day); day != "" && err != nil {
			return nil, usage("--%s %s: takes a day, such as 2026-11-30", flag, day)
		}
	}
	if _, err := config.ReadEnvFiles(); err != nil {
		return nil, codedError{err, exitUsage}
	}
	var cfg config.Archive
	if err := config.LoadPart(&cfg); err != nil {
		return nil, codedError{err, exitUsage}
	}
	store, err := node.OpenArchive(&cfg)
	if err != nil {
		return nil, codedError{err, exitUsage}
	}
	if store == nil {
		return nil, usage("no archive is named: set TASKGROVE_ARCHIVE_DIR, or TASKGROVE_ARCHIVE_S3_ENDPOINT and TASKGROVE_ARCHIVE_S3_BUCKET, as for coordinators")
	}
	return store, nil
}

// errEnough ends a walk over an archive.
var errEnough = errors.New("enough")

// each tells the archived trees, the newest days first, until told gives an error.
func (a *archiveCall) each(ctx context.Context, store archive.Store, told func(archive.Name, archive.Object) error) error {
	days, err := store.ListFolders(ctx, archive.Folder(a.namespace))
	if err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	slices.Sort(days)
	for _, day := range slices.Backward(days) {
		if day < a.since || a.until != "" && day > a.until {
			continue
		}
		prefix := archive.Folder(a.namespace, day)
		if a.user != "" {
			prefix = archive.Folder(a.namespace, day, archive.OwnerOf(a.namespace, a.user))
		}
		var stop error
		err := store.ListObjects(ctx, prefix, func(o archive.Object) bool {
			if name, ok := archive.ParseKey(o.Key); ok {
				stop = told(name, o)
			}
			return stop == nil
		})
		if err = errors.Join(err, stop); err != nil {
			return err
		}
	}
	return nil
}

// archivedTree is an object as it is listed.
type archivedTree struct {
	Tree       string    `json:"tree"` // its beginning, with Cut
	Cut        bool      `json:"cut,omitempty"`
	Number     int64     `json:"number"`
	Day        string    `json:"day"`
	Bytes      int64     `json:"bytes"`
	ArchivedAt time.Time `json:"archived_at"`
	Key        string    `json:"key"`
}

func archiveListCommand() *cobra.Command {
	a, limit := &archiveCall{}, 0
	var output *formatFlag
	cmd := &cobra.Command{Use: "list", Short: "List archived trees", Args: cobra.NoArgs,
		Long:    "Lists archived trees, those that were submitted on the newest days first. Long ids of trees are cut, which ends them with +; KEY is the object.\n" + archiveHelp,
		Example: "  taskgrove archive list --since 2026-11-01 --user amy",
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := a.open()
			if err != nil {
				return err
			}
			if limit < 1 {
				return usage("--limit %d: takes a number from 1", limit)
			}
			list := []archivedTree{}
			err = a.each(cmd.Context(), store, func(n archive.Name, o archive.Object) error {
				list = append(list, archivedTree{n.Tree, n.Cut, n.Number, n.Day, o.Size, o.StoredAt, o.Key})
				if len(list) == limit {
					return errEnough
				}
				return nil
			})
			if err != nil && !errors.Is(err, errEnough) {
				return err
			}
			if output.format != formatText {
				return output.format.write(cmd.OutOrStdout(), list)
			}
			table(cmd.OutOrStdout(), func(w io.Writer) {
				fmt.Fprintln(w, "TREE\tDAY\tBYTES\tARCHIVED\tKEY")
				for _, t := range list {
					id := t.Tree
					if t.Cut {
						id += "+"
					}
					fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", oneLine(id), t.Day, t.Bytes, shownTime(t.ArchivedAt), oneLine(t.Key))
				}
			})
			return nil
		}}
	a.flags(cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "the most trees that are listed")
	output = outputFlag(cmd, formatText, formatJSON, formatYAML)
	return cmd
}

func archiveShowCommand() *cobra.Command {
	a := &archiveCall{}
	cmd := &cobra.Command{Use: "show TREE", Short: "Print an archived tree", Args: cobra.ExactArgs(1),
		Long: "Prints the lines of an archived tree, each a JSON object: the tree, its tasks, attempts, usage, files, logs and events. TREE is the id of the root, or a KEY that \"archive list\"\n" +
			"prints. Of several trees of one id the one that was submitted last is printed. Looking for an id reads the names of all objects of the days; --since, --until and --user narrow it.\n" +
			archiveHelp + "\nAn object that is cut is an error, after what is left of it.",
		Example: "  taskgrove archive show report | jq -r 'select(.task) | .task.id'",
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := a.open()
			if err != nil {
				return err
			}
			return a.show(cmd.Context(), store, args[0], cmd.OutOrStdout())
		}}
	a.flags(cmd)
	return cmd
}

// show prints an archived tree.
func (a *archiveCall) show(ctx context.Context, store archive.Store, tree string, out io.Writer) error {
	key := tree
	if _, is := archive.ParseKey(tree); !is {
		var err error
		if key, err = a.find(ctx, store, tree); err != nil {
			return err
		}
	}
	object, err := store.OpenObject(ctx, key)
	if errors.Is(err, archive.ErrNotFound) {
		return fmt.Errorf("the archive has no object %s", oneLine(key))
	}
	if err != nil {
		return err
	}
	defer func() { _ = object.Close() }()
	w := bufio.NewWriter(out)
	err = archive.Read(object, func(raw json.RawMessage, _ *archive.Line) error {
		_, err := w.Write(append(rawjson.Harmless(raw), '\n'))
		return err
	})
	return errors.Join(err, w.Flush())
}

// find is the key of the tree with an id: of the newest one, by its number.
func (a *archiveCall) find(ctx context.Context, store archive.Store, id string) (string, error) {
	type named struct {
		archive.Name
		key string // as it is stored: that of a cut name can't be made again
	}
	var found []named
	err := a.each(ctx, store, func(n archive.Name, o archive.Object) error {
		if n.IsOf(id) {
			found = append(found, named{n, o.Key})
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	slices.SortFunc(found, func(x, y named) int { return int(min(max(y.Number-x.Number, -1), 1)) })
	for _, n := range found {
		if !n.Cut {
			return n.key, nil
		}
		of, err := rootOf(ctx, store, n.key)
		if err != nil {
			return "", err
		}
		if of == id {
			return n.key, nil
		}
	}
	return "", fmt.Errorf("no tree %s is in the archive of namespace %s", oneLine(id), oneLine(a.namespace))
}

// rootOf is the id of the root of an archived tree.
func rootOf(ctx context.Context, store archive.Store, key string) (id string, err error) {
	object, err := store.OpenObject(ctx, key)
	if err != nil {
		return "", err
	}
	defer func() { _ = object.Close() }()
	err = archive.Read(object, func(_ json.RawMessage, l *archive.Line) error {
		if l.Tree == nil {
			return nil
		}
		id = l.Tree.ID
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return id, err
}
