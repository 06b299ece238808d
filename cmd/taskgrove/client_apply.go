package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/applyfile"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// exitDrift: apply --dry-run: something would change.
const exitDrift = 8

// applyKind is a row of what files say of a cluster. A further kind is one more row here and one more in package applyfile.
type applyKind struct {
	name string
	// list is what the cluster has, each by the name that files give it.
	list func(ctx context.Context, s *session) ([]*applied, error)
	// whole reads what list leaves out of an object, if it leaves anything out.
	whole func(ctx context.Context, s *session, is *applied) error
	// needs is the name of the object of the same kind without which this one can't be, of a file or of the cluster; nil: there is no such kind of need.
	needs func(want *applyfile.Object, is *applied) string
	// want is what a file asks for beside what there is; is is nil: nothing is there.
	want func(s *session, o *applyfile.Object, is *applied) []applyField
	// hides reports whether a file says something that the cluster never shows.
	hides func(o *applyfile.Object, is *applied) bool
	// check finds what the cluster would refuse of what a file asks for, before anything is changed; nil: put does. beside are the names that the files have.
	check func(ctx context.Context, s *session, c *applyChange, beside []string) ([]treefile.Fault, error)
	// put makes what a file asks for of what there is, or makes it anew.
	put func(ctx context.Context, s *session, c *applyChange) (owner string, err error)
	// drop deletes what there is.
	drop func(ctx context.Context, s *session, is *applied) error
}

// applyKinds are all kinds, in the order in which what they need comes before them.
var applyKinds = []applyKind{limitKind, webhookKind, scheduleKind}

// applied is one object of the cluster.
type applied struct {
	name, owner string
	fields      []applyField
	object      any // *client.Limit, *client.WebhookInfo
}

// applyField is a part of an object as people see it; what is secret is in none.
type applyField struct {
	Name  string
	Value any // nil: as if it were not there
}

// applyDiff is a field that differs.
type applyDiff struct {
	Field    string
	From, To any // nil: none
}

// What becomes of an object.
const (
	applyMake   = "make"
	applyAlter  = "change"
	applyDelete = "delete"
)

// applyChange is what is to become of an object.
type applyChange struct {
	kind   *applyKind
	name   string
	action string
	fields []applyDiff
	done   bool

	want    *applyfile.Object // nil: it is to be deleted
	is      *applied          // nil: it is to be made
	owner   string
	adopts  bool
	secrets bool // what is secret is sent, too
	read    map[*applyfile.Source]string
}

// differs reports whether a field does.
func (c *applyChange) differs(field string) bool {
	return c.is == nil || slices.ContainsFunc(c.fields, func(d applyDiff) bool { return d.Field == field })
}

// applyRun is one run of the command.
type applyRun struct {
	*session
	folder        *applyfile.Folder
	owner         string
	prune, dry    bool
	adopt, resend bool

	changes   []*applyChange
	unchanged int
	left      int // objects of the owner that no file has, without prune
}

func applyCommand() *cobra.Command {
	var a applyRun
	var from, owner string
	cmd := clientCommand("apply -f FOLDER", "Bring limits, webhooks and schedules to what files say",
		"Reads all files of a folder (.yaml, .yml, .json, also of folders below it; names with a dot before them are left out), or one file, and makes, changes and, with\n"+
			"--prune, deletes limits, webhooks and schedules so that they are as the files say. It shows what differs. All faults of all files are told at once, by line and column,\n"+
			"and nothing is changed then. What it makes belongs to an owner, a name that the files or --owner say. What another has made or keeps stays as it is, and is\n"+
			"refused, unless --adopt is given. With --dry-run nothing is changed, and the exit code is 8 if something would be.", cobra.NoArgs, nil)
	f := cmd.Flags()
	f.StringVarP(&from, "filename", "f", "", "the folder, or one file")
	f.StringVar(&owner, "owner", "", "whom the objects belong to: 1 to 63 letters, digits, -, _, . and /; default: what the files say")
	f.BoolVar(&a.prune, "prune", false, "delete what belongs to the owner and is in no file")
	f.BoolVar(&a.dry, "dry-run", false, "change nothing, and say what would be changed")
	f.BoolVar(&a.adopt, "adopt", false, "take over objects that others have made or keep")
	f.BoolVar(&a.resend, "send-secrets", false, "send URLs, headers and secrets of webhooks again, as nobody can tell whether they differ")
	cmd.ValidArgsFunction = nil
	mustComplete(cmd, "filename", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault
	})
	run(cmd, func(ctx context.Context, s *session, _ []string) error {
		if from == "" {
			return usage("say -f FOLDER")
		}
		one := a
		one.session = s
		if err := one.load(from, owner); err != nil {
			return err
		}
		return one.apply(ctx)
	})
	return cmd
}

// load reads the files, and finds out whose they are.
func (a *applyRun) load(from, owner string) (err error) {
	if owner != "" && dag.OwnerFault(owner) != "" {
		return usage("--owner: %s", dag.OwnerFault(owner))
	}
	if a.folder, err = applyfile.Read(from); err != nil {
		return codedError{err, exitUsage}
	}
	switch a.owner = cmp.Or(owner, a.folder.Owner); {
	case a.owner == "":
		return usage("nobody says whom the objects belong to: write owner: NAME into a file, or give --owner")
	case owner != "" && a.folder.Owner != "" && owner != a.folder.Owner:
		return usage("--owner is %s, and the files say that they are of %s", owner, a.folder.Owner)
	}
	return nil
}

// apply finds out what differs, and changes it.
func (a *applyRun) apply(ctx context.Context) error {
	if err := a.plan(ctx); err != nil {
		return err
	}
	if a.dry {
		if err := a.show(); err != nil || len(a.changes) == 0 {
			return err
		}
		return codedError{errors.New(""), exitDrift}
	}
	if err := a.readSecrets(); err != nil {
		return err
	}
	for i, c := range a.changes {
		if err := a.do(ctx, c); err != nil {
			return errors.Join(a.show(), a.failed(i, err))
		}
		c.done = true
	}
	return a.show()
}

// plan compares what files say with what is there. It reads nothing secret.
func (a *applyRun) plan(ctx context.Context) error {
	var refused []treefile.Fault
	var drops []*applyChange
	for i := range applyKinds {
		k := &applyKinds[i]
		wanted := slices.DeleteFunc(slices.Clone(a.folder.Objects), func(o *applyfile.Object) bool { return o.Kind != k.name })
		if len(wanted) == 0 && !a.prune {
			continue // who may not see them can do without
		}
		list, err := k.list(ctx, a.session)
		if err != nil {
			return err
		}
		named := map[string]bool{}
		var changes, gone []*applyChange
		for _, o := range wanted {
			named[o.Name] = true
			is, fault := a.find(k, list, o)
			if fault != "" {
				refused = append(refused, o.Fault("", fault))
				continue
			}
			if is != nil && k.whole != nil {
				if err := k.whole(ctx, a.session, is); err != nil {
					return err
				}
			}
			if c := a.compare(k, o, is); c != nil {
				changes = append(changes, c)
			} else {
				a.unchanged++
			}
		}
		for _, is := range list {
			switch {
			case is.owner != a.owner || named[is.name]:
			case a.prune:
				gone = append(gone, &applyChange{kind: k, name: is.name, action: applyDelete, is: is, owner: a.owner, fields: diffOf(is.fields, nil)})
			default:
				a.left++
			}
		}
		a.changes = append(a.changes, k.inOrder(changes)...)
		drops = append(drops, k.inOrder(gone)...)
	}
	if len(refused) > 0 {
		return &treefile.Error{Faults: refused}
	}
	if err := a.check(ctx); err != nil {
		return err
	}
	slices.Reverse(drops) // what needs others goes before them
	a.changes = append(a.changes, drops...)
	return nil
}

// check finds what the cluster would refuse of the changes.
func (a *applyRun) check(ctx context.Context) error {
	var faults []treefile.Fault
	for _, c := range a.changes {
		if c.kind.check == nil {
			continue
		}
		var beside []string
		for _, o := range a.folder.Objects {
			if o.Kind == c.kind.name {
				beside = append(beside, o.Name)
			}
		}
		some, err := c.kind.check(ctx, a.session, c, beside)
		if err != nil {
			return fmt.Errorf("%s %s: %w", c.kind.name, oneLine(c.name), err)
		}
		faults = append(faults, some...)
	}
	circles, err := a.circles(ctx)
	if err != nil {
		return err
	}
	for _, one := range circles {
		if !slices.Contains(faults, one) {
			faults = append(faults, one)
		}
	}
	if len(faults) > 0 {
		return codedError{treefile.Refuse(faults, 0), exitUsage}
	}
	return nil
}

// inOrder puts changes of one kind behind those of what they need.
func (k *applyKind) inOrder(list []*applyChange) (out []*applyChange) {
	if k.needs == nil {
		return list
	}
	waits := map[string]bool{}
	for _, c := range list {
		waits[c.name] = true
	}
	for len(list) > 0 {
		rest := slices.DeleteFunc(slices.Clone(list), func(c *applyChange) bool {
			need := k.needs(c.want, c.is)
			if need != c.name && waits[need] {
				return false
			}
			out = append(out, c)
			return true
		})
		if len(rest) == len(list) { // they need one another, which the cluster refuses
			return append(out, rest...)
		}
		for _, c := range out {
			delete(waits, c.name)
		}
		list = rest
	}
	return out
}

// find is the object of the cluster that a file means; nil: there is none. fault says why the file can't have it.
func (a *applyRun) find(k *applyKind, list []*applied, o *applyfile.Object) (is *applied, fault string) {
	var others []*applied
	for _, one := range list {
		switch {
		case one.name != o.Name:
		case one.owner == a.owner:
			return one, ""
		default:
			others = append(others, one)
		}
	}
	switch {
	case len(others) == 0:
		return nil, ""
	case len(others) > 1:
		return nil, fmt.Sprintf("there are %d %s of the name %s, and none of them is of %s", len(others), plural(k.name), o.Name, a.owner)
	case a.adopt:
		return others[0], ""
	case others[0].owner == "":
		return nil, fmt.Sprintf("%s %s is there already, and is of nobody's files: --adopt takes it over", k.name, o.Name)
	}
	return nil, fmt.Sprintf("%s %s belongs to %s: --adopt takes it over", k.name, o.Name, others[0].owner)
}

// compare is what is to become of an object; nil: nothing.
func (a *applyRun) compare(k *applyKind, o *applyfile.Object, is *applied) *applyChange {
	c := &applyChange{kind: k, name: o.Name, action: applyMake, want: o, is: is, owner: a.owner}
	want := k.want(a.session, o, is)
	if is == nil {
		c.fields, c.secrets = diffOf(nil, want), k.hides(o, nil)
		return c
	}
	c.action, c.fields, c.adopts, c.secrets = applyAlter, diffOf(is.fields, want), is.owner != a.owner, a.resend
	if c.adopts {
		c.secrets = true
		c.fields = append(c.fields, applyDiff{"owner", orNil(is.owner), a.owner})
	}
	c.secrets = c.secrets && k.hides(o, is)
	if len(c.fields) == 0 && !c.secrets {
		return nil
	}
	return c
}

// orNil is a text that is there, or nil.
func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// diffOf is what differs between two lists of fields: those of the second in their order, then those that only the first has.
func diffOf(from, to []applyField) (out []applyDiff) {
	value := func(list []applyField, name string) any {
		for _, f := range list {
			if f.Name == name {
				return f.Value
			}
		}
		return nil
	}
	for _, f := range to {
		if was := value(from, f.Name); valueText(was) != valueText(f.Value) {
			out = append(out, applyDiff{f.Name, was, f.Value})
		}
	}
	for _, f := range from {
		if !slices.ContainsFunc(to, func(o applyField) bool { return o.Name == f.Name }) && f.Value != nil {
			out = append(out, applyDiff{f.Name, f.Value, nil})
		}
	}
	return out
}

// valueText is a value in one line; empty: there is none.
func valueText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// sourcesOf are where the values are that the change sends; of a header, its name goes with it.
func sourcesOf(o *applyfile.Object, c *applyChange) (out map[string]*applyfile.Source) {
	w, ok := o.Spec.(*applyfile.Webhook)
	if !ok {
		return nil
	}
	out = map[string]*applyfile.Source{}
	if w.URLFrom != nil && (c.secrets || c.differs("url")) {
		out["url_from"] = w.URLFrom
	}
	if w.SecretFrom != nil && (c.secrets || c.differs("secret")) {
		out["secret_from"] = w.SecretFrom
	}
	for name, h := range w.Headers {
		if h.From != nil && (c.secrets || c.differs("headers")) {
			out["headers."+name] = h.From
		}
	}
	return out
}

// readSecrets reads what is to be sent and is in no file, before anything is changed. All that can't be read is told.
func (a *applyRun) readSecrets() error {
	var faults []treefile.Fault
	for _, c := range a.changes {
		if c.want == nil {
			continue
		}
		c.read = map[*applyfile.Source]string{}
		sources := sourcesOf(c.want, c)
		for _, field := range slices.Sorted(maps.Keys(sources)) {
			from := sources[field]
			text, err := readSource(c.want, from)
			switch {
			case err != nil:
				faults = append(faults, c.want.Fault(field, err.Error()))
			case text == "":
				faults = append(faults, c.want.Fault(field, "the "+from.String()+" is empty"))
			}
			c.read[from] = text
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return codedError{&treefile.Error{Faults: faults}, exitUsage}
}

// readSource is a value that a file says the place of.
func readSource(o *applyfile.Object, from *applyfile.Source) (string, error) {
	path := ""
	if from.File != "" {
		path = o.Path(from.File)
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // to open a pipe waits for whoever writes to it
			return "", fmt.Errorf("%s is no regular file", path)
		}
	}
	text, err := secretText("", from.Env, path)
	if err != nil {
		_, reason, _ := strings.Cut(err.Error(), ": ") // the flag
		return "", errors.New(reason)
	}
	return text, nil
}

// do changes one object.
func (a *applyRun) do(ctx context.Context, c *applyChange) error {
	if c.want == nil {
		err := c.kind.drop(ctx, a.session, c.is)
		if errors.Is(err, client.ErrNotFound) { // somebody has deleted it meanwhile
			return nil
		}
		return a.told(c, err)
	}
	owner, err := c.kind.put(ctx, a.session, c)
	if err == nil && owner != a.owner {
		return fmt.Errorf("%s %s: the coordinator that answered is of an older version, and knows no owners: run apply again when all are upgraded", c.kind.name, c.name)
	}
	return a.told(c, err)
}

// told gives what a server says the place of the file, and says what to do about a conflict.
func (a *applyRun) told(c *applyChange, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, client.ErrConflict) {
		return fmt.Errorf("%s %s: %w\nrun apply again: it looks at what is there now", c.kind.name, c.name, err)
	}
	if bad, ok := errors.AsType[*client.InvalidError](err); ok && c.want != nil && len(bad.Faults) > 0 {
		var faults []treefile.Fault
		for _, f := range bad.Faults {
			field := strings.TrimPrefix(f.Field, c.kind.name+".")
			faults = append(faults, c.want.Fault(field, strings.TrimPrefix(f.Reason, f.Field+": ")))
		}
		return &treefile.Error{Faults: faults, More: bad.More}
	}
	if c.want != nil {
		return fmt.Errorf("%s: %w", c.want.Place(), err)
	}
	return fmt.Errorf("%s %s: %w", c.kind.name, c.name, err)
}

// failed says what was done and what was not when the i-th change was refused.
func (a *applyRun) failed(i int, err error) error {
	var left []string
	for _, c := range a.changes[i+1:] {
		left = append(left, fmt.Sprintf("%s %s", c.kind.name, c.name))
	}
	text := fmt.Sprintf("\n%d of %d changes are done; what is missing, a second run does", i, len(a.changes))
	if len(left) > 0 {
		const most = 20
		more := ""
		if len(left) > most {
			left, more = left[:most], fmt.Sprintf(" and %d more", len(left)-most)
		}
		text += ": not tried: " + strings.Join(left, ", ") + more
	}
	return fmt.Errorf("%w%s", err, text)
}

// show prints what was changed, or would be.
func (a *applyRun) show() error {
	count := map[string]int{}
	for _, c := range a.changes {
		count[c.action]++
	}
	if !a.forPeople() {
		list := []map[string]any{}
		for _, c := range a.changes {
			fields := []map[string]any{}
			for _, d := range c.fields {
				fields = append(fields, map[string]any{"field": d.Field, "from": d.From, "to": d.To})
			}
			list = append(list, map[string]any{"kind": c.kind.name, "name": c.name, "action": c.action, "fields": fields, "secrets_sent": c.secrets, "done": c.done})
		}
		return a.format.write(a.out, map[string]any{"owner": a.owner, "dry_run": a.dry, "changes": list, "unchanged": a.unchanged, "left": a.left})
	}
	if err := a.print(nil, func(w io.Writer) {
		for _, c := range a.changes {
			c.write(w, a.dry)
		}
		verbs := []string{"made", "changed", "deleted"}
		if a.dry {
			verbs = []string{"to make", "to change", "to delete"}
		}
		fmt.Fprintf(w, "%s: %d %s, %d %s, %d %s, %d as they are\n", a.owner, a.counted(applyMake, count), verbs[0], a.counted(applyAlter, count), verbs[1],
			a.counted(applyDelete, count), verbs[2], a.unchanged)
	}); err != nil || a.left == 0 {
		return err
	}
	return a.note("%s of %s in no file: --prune deletes", isOrAre(a.left), a.owner)
}

func isOrAre(n int) string {
	if n == 1 {
		return "1 object is"
	}
	return fmt.Sprintf("%d objects are", n)
}

// counted is how many changes of a kind there would be, or are done.
func (a *applyRun) counted(action string, all map[string]int) int {
	if a.dry {
		return all[action]
	}
	n := 0
	for _, c := range a.changes {
		if c.action == action && c.done {
			n++
		}
	}
	return n
}

// shortValue is a value in a line for people, which shows the beginning of a long one.
func shortValue(v any) string {
	const most = 200
	text := []rune(oneLine(valueText(v)))
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}

// write writes what differs: + what comes, - what goes, ~ what changes.
func (c *applyChange) write(w io.Writer, dry bool) {
	sign := map[string]string{applyMake: "+", applyAlter: "~", applyDelete: "-"}[c.action]
	state := ""
	if !dry && !c.done {
		state = " (not done)"
	}
	fmt.Fprintf(w, "%s %s %s%s\n", sign, c.kind.name, oneLine(c.name), state)
	if c.action == applyDelete {
		return
	}
	for _, d := range c.fields {
		from, to := shortValue(d.From), shortValue(d.To)
		switch {
		case d.From == nil:
			fmt.Fprintf(w, "    + %s: %s\n", d.Field, to)
		case d.To == nil:
			fmt.Fprintf(w, "    - %s: %s\n", d.Field, from)
		default:
			fmt.Fprintf(w, "    ~ %s: %s -> %s\n", d.Field, from, to)
		}
	}
	if c.is != nil && c.secrets {
		fmt.Fprintln(w, "    ~ secrets: sent again")
	}
}
