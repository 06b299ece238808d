package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/taskgrove/taskgrove/client"
)

// report submits the tree, follows it to its end, and shows what came of it.
func (s *showcase) report(ctx context.Context, c *cluster) error {
	s.say("== submitting %s", filepath.Join(filepath.Base(s.source), "tree.yaml"))
	text, err := s.tree(ctx, c)
	if err != nil {
		return err
	}
	submitted, err := c.SubmitJSON(ctx, strings.NewReader(text))
	if err != nil {
		return err
	}
	for _, warning := range submitted.Warnings {
		s.say("   %s: %s", warning.Field, warning.Reason)
	}
	s.say("== what its tasks say while they run")
	for line, err := range c.Logs(ctx, submitted.TreeID, client.LogFilter{Tree: true, Follow: true}) {
		if err != nil {
			return err
		}
		s.say("   %-26s %s", line.Name, line.Text)
	}
	tree, err := c.Wait(ctx, submitted.TreeID)
	if err != nil {
		return err
	}
	s.say("== who did what")
	if err := s.tasks(ctx, c, submitted.TreeID); err != nil {
		return err
	}
	if tree.Status != client.StatusCompleted {
		return fmt.Errorf("the tree is %s", tree.Status)
	}
	return s.arrived(ctx)
}

// tasks shows the tree's tasks in the order in which they began.
func (s *showcase) tasks(ctx context.Context, c *cluster, treeID string) error {
	var tasks []*client.Task
	for task, err := range c.Tasks(ctx, client.TaskFilter{TreeOf: treeID}) {
		if err != nil {
			return err
		}
		tasks = append(tasks, task)
	}
	slices.SortFunc(tasks, func(a, b *client.Task) int { return a.StartedAt.Compare(b.StartedAt) })
	table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, task := range tasks {
		s.used[task.Executor] = true
		outcome := string(task.Status)
		if task.Error != "" {
			outcome += ": " + task.Error
		}
		fmt.Fprintf(table, "   %s\t%s\t%s\t%s\n", task.Name, task.Executor, task.CompletedAt.Sub(task.StartedAt).Round(time.Millisecond), outcome)
	}
	return table.Flush()
}

// arrived looks at the services themselves: what is in the database, in the archive, on the board and in the file.
func (s *showcase) arrived(ctx context.Context) error {
	s.say("== what arrived")
	orders, err := s.services.warehouse.loaded(ctx)
	if err != nil {
		return err
	}
	s.say("   warehouse     %d orders", orders)
	files := filepath.Join(s.services.dir, "files")
	packed, err := os.Stat(filepath.Join(files, "report.zip"))
	if err != nil {
		return err
	}
	s.say("   report.zip    %d bytes", packed.Size())
	page, err := os.ReadFile(filepath.Join(files, "report", "page.md"))
	if err != nil {
		return err
	}
	if s.services.archive != nil {
		copied := s.services.archive.Read("reports/2030-01-02.md")
		if copied != string(page) {
			return errors.New("the archive has another page")
		}
		s.say("   archive       reports/2030-01-02.md, %d bytes, as it was saved", len(copied))
	}
	posted := s.services.posted()
	if len(posted) != 1 {
		return fmt.Errorf("the notice board has %d posts", len(posted))
	}
	s.say("   notice board  %q", posted[0])
	s.say("== the page\n%s", page)
	return nil
}
