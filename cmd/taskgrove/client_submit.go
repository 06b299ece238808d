package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/treefile"
	"github.com/taskgrove/taskgrove/node"
)

// following says what a command does after it has started something.
type following struct{ wait, watch bool }

func (f *following) bind(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.wait, "wait", false, "wait for the end of the tree and print its root, or the task asked for; the exit code says how it ended")
	cmd.Flags().BoolVar(&f.watch, "watch", false, "as --wait, and show the tree while it runs")
}

// follow waits for a task's tree, if asked to, and prints the task.
func (f *following) follow(ctx context.Context, s *session, id string) error {
	if f.watch {
		return watchTree(ctx, s, id)
	}
	if !f.wait {
		return nil
	}
	stop := s.sayWhenStill(ctx, id, nil)
	end, err := s.Wait(ctx, id)
	stop()
	if errors.Is(err, client.ErrConflict) { // it is held, as its first submission asked
		return s.ended(ctx, id)
	}
	if err != nil {
		return err
	}
	task, err := s.Task(ctx, id)
	if err != nil {
		return err
	}
	if err := s.printEnd(task, end); err != nil {
		return err
	}
	return s.outcome(ctx, end, id)
}

func submitCommand() *cobra.Command {
	var f following
	var key, user string
	var hold, demo, noCache, allowUnknown, keepEnded bool
	var unique client.Unique
	var timeout time.Duration
	var retention, due string
	var llm llmKey
	var labels labelFlag
	var values valueFlags
	var hookURL string
	var hook hookFlags
	var keyGiven func() bool
	cmd := clientCommand("submit FILE|DIR|-...", "Submit a tree of tasks, or several",
		"Submits a tree, in JSON or YAML: a tree file, which begins with \"taskgrove: 1\", or a list of tasks, {\"tasks\": [...]}, or one task.\n"+
			"Prints the tree's id.\n"+
			"Nothing is stored unless the whole tree is valid.\n\n"+
			"Several files, a directory (its .yaml, .yml and .json files, by name), or YAML with several documents, are trees that are stored all or\n"+
			"not at all: at most 100, with 10000 tasks together. Each gets the values of --set and --values, and as idempotency key the one given, with\n"+
			"its file's name. Their ids are printed in order.",
		cobra.MinimumNArgs(1), func(ctx context.Context, s *session, args []string) error {
			if hold && (f.wait || f.watch) {
				return codedError{errors.New("--hold: a held tree does not run, so that --wait and --watch have nothing to wait for"), exitUsage}
			}
			if unique.Key == "" && (unique.For != 0 || unique.Return) {
				return usage("--unique-for and --unique-return come with --unique-key")
			}
			switch {
			case unique.Key == "" && keyGiven():
				return usage("--unique-key must not be empty: leave it out if the tree has none")
			case strings.Contains(unique.Key, "{{"):
				return usage("--unique-key is taken as it is: let the file say unique.key, where parameters are put in")
			}
			given, err := values.read()
			if err != nil {
				return err
			}
			documents, err := s.readTrees(ctx, args, treefile.Options{Stdin: s.in, AllowUnknown: allowUnknown, Translate: imported(keepEnded), Arguments: given, Executors: node.Known(), Inputs: node.InputKeys(), Has: s.hasExecutor(ctx)})
			if err != nil {
				return err
			}
			var options []client.SubmitOption
			if retention != "" {
				options = append(options, client.WithRetention(retention))
			}
			if due != "" {
				options = append(options, client.WithDue(due))
			}
			if user != "" {
				options = append(options, client.WithUser(user))
			}
			if demo {
				options = append(options, client.WithDemo())
			}
			if noCache {
				options = append(options, client.WithoutCache())
			}
			if labels.labels != nil {
				options = append(options, client.WithLabels(labels.labels))
			}
			secret, err := llm.read()
			if err != nil {
				return codedError{err, exitUsage}
			}
			if secret != "" {
				options = append(options, client.WithModelKey(secret))
			}
			to, err := hook.of(hookURL, s.in)
			if err != nil {
				return codedError{err, exitUsage}
			}
			if hold {
				options = append(options, client.Hold())
			}
			if timeout > 0 {
				options = append(options, client.WithTreeTimeout(timeout))
			}
			if len(documents) > 1 {
				switch {
				case f.wait || f.watch:
					return usage("--wait and --watch follow one tree, and there are %d", len(documents))
				case to != nil:
					return usage("--webhook is of one tree, and there are %d", len(documents))
				case unique.Key != "":
					return usage("--unique-key is of one tree, and there are %d", len(documents))
				}
				return s.submitTrees(ctx, documents, key, options)
			}
			document := documents[0].File
			if timeout == 0 && document.TreeTimeout > 0 {
				options = append(options, client.WithTreeTimeout(document.TreeTimeout))
			}
			if retention == "" && document.Retention != 0 {
				options = append(options, client.WithRetention(dag.RetentionText(document.Retention)))
			}
			if due == "" && document.Due != nil {
				options = append(options, client.WithDue(document.Due.String()))
			}
			if unique.Key != "" {
				options = append(options, client.WithUnique(unique))
			}
			if key != "" {
				options = append(options, client.WithIdempotencyKey(key))
			}
			if to != nil {
				options = append(options, client.WithWebhook(*to))
			}
			out, err := s.SubmitJSON(ctx, bytes.NewReader(document.JSON), options...)
			if err != nil {
				return faultsIn(document, err)
			}
			s.noteSubmitted(document, out)
			if !f.wait && !f.watch || s.forPeople() {
				if err := s.print(out, func(w io.Writer) { fmt.Fprintln(w, out.TreeID) }); err != nil {
					return err
				}
			}
			return f.follow(ctx, s, out.TreeID)
		})
	f.bind(cmd)
	cmd.ValidArgsFunction = completeTrees
	values.bind(cmd)
	cmd.Flags().StringVar(&key, "idempotency-key", "", "a repeated submission with the same key gets the first answer")
	keyGiven = func() bool { return cmd.Flags().Changed("unique-key") }
	cmd.Flags().StringVar(&unique.Key, "unique-key", "", "while the tree has this key, no other one with it is stored, of the same user; it wins over what the root says")
	cmd.Flags().DurationVar(&unique.For, "unique-for", 0, "with --unique-key: for so long, such as 1h, from when it is stored; 0: until it has ended")
	cmd.Flags().BoolVar(&unique.Return, "unique-return", false, "with --unique-key: if another tree has the key, print that one's id; otherwise it is refused")
	cmd.Flags().StringVar(&user, "user", "", "owner of tasks that name none")
	cmd.Flags().BoolVar(&allowUnknown, "allow-unknown", false, "submit a tree with keys that have no effect and are nearly one that has, too")
	cmd.Flags().BoolVar(&keepEnded, "keep-ended", false, "of a tree that \"tree -o json\" printed: tasks that have ended stay so, with their results, and the others run")
	cmd.Flags().BoolVar(&demo, "use-demo", false, demoHelp)
	cmd.Flags().BoolVar(&noCache, "no-cache", false, noCacheHelp)
	llm.bind(cmd)
	cmd.Flags().VarP(&labels, "label", "l", "give the tree a label, besides those of its root; may be repeated")
	cmd.Flags().StringVar(&hookURL, "webhook", "", "send what happens to this URL")
	hook.bind(cmd, "webhook-")
	cmd.MarkFlagsMutuallyExclusive("webhook", "webhook-url-env", "webhook-url-file")
	cmd.Flags().BoolVar(&hold, "hold", false, "store the tree without starting it; rerun starts it")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "cancel what is unfinished after so long, such as 10m; 0: what the root's tree_timeout says")
	cmd.Flags().StringVar(&due, "due", "", "the tree is late if it has not ended by then, which raises an event and cancels nothing: a time such as 2h from now on, of the day in UTC such as 06:00, or an instant with its zone; without: what its root says")
	cmd.Flags().StringVar(&retention, "retention", "", "keep the tree for so long once it has ended, such as 30d or 36h, or keep; without: what its root says, else as the operator does")
	return cmd
}

// ruled adds to the faults of a file those of its limits that the cluster knows, as a file with faults is not sent there. Nothing is added where the caller
// may not ask, or nobody answers.
func (s *session) ruled(ctx context.Context, document *treefile.File, err error) error {
	refused, ok := errors.AsType[*treefile.Error](err)
	if !ok || len(refused.Unruled) == 0 {
		return err
	}
	most := map[string]int32{}
	for l, err := range s.Limits(ctx, client.LimitFilter{Limit: 1000}) {
		if err != nil {
			return refused
		}
		if l.Key == "" { // they come first
			break
		}
		if l.Max != nil {
			most[l.Key] = *l.Max
		}
	}
	refused.Rule(document, func(key string) (int32, bool) {
		max, ruled := most[key]
		return max, ruled
	})
	return refused
}

// demoHelp says what --use-demo does.
const demoHelp = "run nothing: workers make up results, which have demo_mode"

// noCacheHelp says what --no-cache does.
const noCacheHelp = "run all: no task is ended by an earlier success"

// noteSubmitted notes what a submitter may not expect.
func (s *session) noteSubmitted(document *treefile.File, out *client.Submitted) {
	var warnings []treefile.Fault
	for _, w := range out.Warnings {
		warnings = append(warnings, document.FaultOf(w.Field, w.Field+": "+w.Reason))
	}
	treefile.Sort(warnings)
	for _, w := range warnings {
		fmt.Fprintf(s.notes, "%s: warning: %s\n", w.Place, w.Text)
	}
	s.noteTaken(document, out.IDMap)
	if out.Replayed {
		fmt.Fprintln(s.notes, "the idempotency key was known: this is the tree of the first submission")
	}
	if out.Existing {
		fmt.Fprintln(s.notes, "this tree has the key: nothing was stored")
	}
}

// maxTaken is how many ids that were taken are told: of a tree that is submitted again all are.
const maxTaken = 20

// noteTaken notes ids that were taken, in the order of the document.
func (s *session) noteTaken(document *treefile.File, taken map[string]string) {
	n := 0
	for given := range document.IDs() {
		if n == min(len(taken), maxTaken) {
			break
		}
		if actual, ok := taken[given]; ok {
			fmt.Fprintf(s.notes, "id %s was taken: %s\n", given, actual)
			n++
		}
	}
	if more := len(taken) - n; more > 0 {
		fmt.Fprintf(s.notes, "… and %s, which id_map of -o json has\n", counted(more, "more id"))
	}
}

// faultsIn gives what a server says about a tree the places of its file.
func faultsIn(f *treefile.File, err error) error {
	bad, ok := errors.AsType[*client.InvalidError](err)
	if !ok {
		return err
	}
	var faults []treefile.Fault
	for _, one := range bad.Faults {
		faults = append(faults, faultIn(f, one))
	}
	if len(faults) == 0 {
		faults = []treefile.Fault{{Place: f.PlaceOf(""), Text: bad.Text}}
	}
	return codedError{treefile.Refuse(faults, bad.More), exitUsage}
}

// faultIn gives one of them its place.
func faultIn(f *treefile.File, one client.Fault) treefile.Fault {
	text := one.Reason
	if !strings.HasPrefix(one.Field, "tasks") && !strings.HasPrefix(text, one.Field) {
		text = one.Field + ": " + text
	}
	return f.FaultOf(one.Field, text)
}

func rerunCommand() *cobra.Command {
	var f following
	var force, cancelled, dependencies, keep, demo, noCache bool
	var llm llmKey
	all := bulk{verb: "rerun", past: "rerun"}
	cmd := clientCommand("rerun TASK", "Start a held tree, or run again what failed",
		"Runs again what failed in a tree, and what depends on it; starts what is held. With the id of a task that is no\n"+
			"root, only that task and what it depends on.\n"+taskRefHelp+"\n\n"+bulkHelp,
		cobra.ExactArgs(1), func(ctx context.Context, s *session, args []string) error {
			var options []client.ExecuteOption
			if force {
				options = append(options, client.Force())
			}
			if cancelled {
				options = append(options, client.RerunCancelled())
			}
			if demo {
				options = append(options, client.Demo())
			}
			if noCache {
				options = append(options, client.NoCache())
			}
			if dependencies {
				options = append(options, client.RerunDependencies())
			}
			if keep {
				options = append(options, client.KeepCompleted())
			}
			secret, err := llm.read()
			if err != nil {
				return codedError{err, exitUsage}
			}
			if secret != "" {
				options = append(options, client.ModelKey(secret))
			}
			if len(args) == 0 {
				if f.wait || f.watch {
					return usage("--wait and --watch follow one tree, which is named")
				}
				return all.run(ctx, s, func(ctx context.Context, id string) (string, error) {
					out, err := s.Execute(ctx, id, options...)
					if err != nil {
						return "", err
					}
					return rerunWords[out.Status], nil
				})
			}
			id, err := s.id(ctx, args[0])
			if err != nil {
				return err
			}
			out, err := s.Execute(ctx, id, options...)
			if err != nil {
				return err
			}
			if s.forPeople() || !f.wait && !f.watch {
				text := out.Status + ", " + counted(out.Tasks, "task")
				switch out.Status {
				case "already_running":
					text = "already running"
				case "completed":
					if text, err = s.nothingToRun(ctx, id); err != nil {
						return err
					}
				case "cancelled":
					text = "nothing to run"
				}
				if err := s.print(out, func(w io.Writer) { fmt.Fprintf(w, "%s: %s\n", oneLine(out.TreeID), oneLine(text)) }); err != nil {
					return err
				}
			}
			if out.Status == "cancelled" {
				return codedError{fmt.Errorf("%s was cancelled; --cancelled runs it again", out.CancelledID), exitTreeCancelled}
			}
			return f.follow(ctx, s, id)
		})
	f.bind(cmd)
	all.bind(cmd)
	cmd.ValidArgsFunction = completeTasks(1)
	cmd.Flags().BoolVar(&force, "force", false, "also if it has completed or was cancelled; of a root, all tasks of its tree")
	cmd.Flags().BoolVar(&cancelled, "cancelled", false, "cancelled tasks, too: also those that the task depends on")
	cmd.Flags().BoolVar(&demo, "use-demo", false, demoHelp)
	cmd.Flags().BoolVar(&noCache, "no-cache", false, noCacheHelp)
	llm.bind(cmd)
	cmd.Flags().BoolVar(&dependencies, "rerun-dependencies", false, "completed dependencies of what runs again, too")
	cmd.Flags().BoolVar(&keep, "keep-completed", false, "leave completed tasks, and those that skipped themselves, as they are, even where what they depend on runs again")
	return cmd
}

// rerunWords say what became of each of many that were run again.
var rerunWords = map[string]string{"started": "started", "already_running": "ran already", "completed": "had nothing to run", "cancelled": "were cancelled and stay so"}

// nothingToRun says why a re-run of a task, or of its tree if it is the root, ran nothing.
func (s *session) nothingToRun(ctx context.Context, id string) (string, error) {
	task, err := s.Task(ctx, id)
	if err != nil {
		return "", err
	}
	ended, total := string(task.Status), 1
	if task.ParentID == "" {
		tree, err := s.Tree(ctx, id)
		if err != nil {
			return "", err
		}
		total = tree.Tasks
		var counts []string
		for _, c := range []struct {
			n      int
			status client.Status
		}{{tree.Completed, client.StatusCompleted}, {tree.Cancelled, client.StatusCancelled}} {
			if c.n > 0 {
				counts = append(counts, fmt.Sprintf("%d %s", c.n, c.status))
			}
		}
		ended = strings.Join(counts, ", ")
	}
	them := "them"
	if total == 1 {
		them = "it"
	}
	if strings.Contains(ended, string(client.StatusCancelled)) {
		return fmt.Sprintf("nothing to run: %s; --cancelled runs the cancelled again, --force all", ended), nil
	}
	return fmt.Sprintf("nothing to run: %s; --force runs %s again", ended, them), nil
}
