package hostile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/policy"
	"github.com/taskgrove/taskgrove/pg"
)

// about says whose what an operation asks for is.
type about uint8

const (
	aboutTree     about = iota // a task
	aboutHook                  // a webhook of a tree
	aboutAgent                 // a task of the A2A protocol
	aboutKey                   // an API key
	aboutSchedule              // a schedule
	aboutFlow                  // a registered flow
	aboutRun                   // a run of a flow
	aboutBundle                // a bundle
	aboutProfile               // a registered profile
	aboutUser                  // a user, who may be any
	aboutList                  // all that the caller may see, in a list of ids
	aboutOwn                   // what is or becomes the caller's own
	aboutWhole                 // what is the namespace's or the cluster's as a whole
	aboutAny                   // nothing that anybody owns
)

// naming are those that name something, so that the caller's own is one of several.
var naming = []about{aboutTree, aboutHook, aboutAgent, aboutKey, aboutSchedule, aboutFlow, aboutRun, aboutBundle, aboutProfile, aboutUser}

// operation is what a surface lets do.
type operation struct {
	name   string
	method string              // of [coordinator.Service], which says what permission it takes
	also   []policy.Permission // that a part of it takes, too
	takes  policy.Permission   // in the place of its method's; empty: that
	about  about
	fresh  bool // it ends what it names: who may is given one to end
	finds  bool // it looks first for what is meant, for which one must see trees
	blind  bool // its answers do not say what they found
	whole  bool // of what it names it says whether that is there
	call   func(o *owners, user, id string) string
}

// thing is something of a kind of owner, by the ids that operations name.
type thing struct {
	name  string
	whose policy.Whose // for the caller; None: it is not where the call is made
	in    string       // the namespace of the call
	user  string       // who owns it
	lives string       // the namespace that it is in
	ids   map[about]string
}

// caller is a user and the one role that it holds.
type caller struct {
	user string
	held []policy.Holding
	own  *thing
}

// matrix is a cluster with callers and things.
type matrix struct {
	*owners
	callers []*caller
	shared  []*thing // another's, nobody's, in another namespace, not there

	schedules *atomic.Int32 // that were made, and flows and runs
}

const elsewhere, nowhere = "team-b", "team-c" // where callers without a role in all namespaces hold none; the latter is not there

// callersOf are a user for each role that is held in default or in all namespaces, and one without.
func callersOf() (all []*caller, tokens map[string][]string) {
	tokens = map[string][]string{"stranger": {"developer"}, "root": {"admin"}}
	all = append(all, &caller{user: "stranger"})
	for _, role := range policy.Roles {
		for _, place := range []string{coordinator.DefaultNamespace, policy.AllNamespaces} {
			c := &caller{user: role.Name + map[string]string{policy.AllNamespaces: "-everywhere"}[place], held: []policy.Holding{{Role: role.Name, Namespace: place}}}
			all, tokens[c.user] = append(all, c), []string{place + ":" + role.Name}
		}
	}
	return all, tokens
}

func startMatrix(t *testing.T) *matrix {
	t.Helper()
	callers, tokens := callersOf()
	m := &matrix{callers: callers, schedules: &atomic.Int32{}, owners: startWith(t, tokens, func(c *config.Coordinator) {
		c.DefaultRole, c.SealKey = "none", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
		must(t, c.CallerRate.Decode("0"))
		must(t, c.WebhookAllow.Decode("127.0.0.0/8"))
	})}
	_, err := m.c.Coordinators[0].P.Store.CreateNamespace(t.Context(), elsewhere, "", pg.Quotas{})
	must(t, err)
	for _, c := range callers {
		c.own = m.thing("own", c.user, coordinator.DefaultNamespace)
		c.own.whose = policy.Own
	}
	others, nobodys := m.thing("another's", "amy", coordinator.DefaultNamespace), m.thing("nobody's", "", coordinator.DefaultNamespace)
	others.whose, nobodys.whose = policy.Others, policy.Ownerless
	far := m.thing("in another namespace", "amy", elsewhere)
	there := *far
	there.name, there.in, there.whose = "asked for in its namespace", elsewhere, policy.Others
	far.in = coordinator.DefaultNamespace
	absent := &thing{name: "not there", user: "nobody-there", in: coordinator.DefaultNamespace, ids: map[about]string{
		aboutTree: "of-nobody-there", aboutHook: "wh_nobody-there", aboutAgent: "agent-nobody-there", aboutKey: "nobodythere12345", aboutSchedule: "nightly-of-nobody-there", aboutFlow: "flow-of-nobody-there", aboutRun: "run-of-nobody-there", aboutBundle: "bundle-of-nobody-there", aboutProfile: "profile-of-nobody-there", aboutUser: "nobody-there"}}
	lost := *absent
	lost.name, lost.in = "in a namespace that is not there", nowhere
	m.shared = []*thing{others, nobodys, far, absent, &there, &lost}
	return m
}

// thing is a completed tree of a user with a webhook and an agent's task, and an API key.
func (m *matrix) thing(name, user, namespace string) *thing {
	m.t.Helper()
	id := "of-" + cmp.Or(user, "nobody") + "-in-" + namespace
	svc := m.c.Coordinators[0].P.In(namespace)
	_, err := svc.Submit(m.t.Context(), coordinator.SubmitOptions{UserID: user}, func(yield func(*dag.Task, error) bool) {
		yield(&dag.Task{ID: id, Name: id, Executor: "noop_executor"}, nil)
	})
	must(m.t, err)
	x := &thing{name: name, user: user, in: namespace, lives: namespace, ids: map[about]string{aboutTree: id, aboutAgent: "agent-" + id, aboutUser: user}}
	m.c.Eventually("tree "+id+" has completed", func() error {
		st, err := svc.Tree(m.t.Context(), id)
		if err == nil && st.Unfinished > 0 {
			err = fmt.Errorf("%+v", *st)
		}
		return err
	})
	x.ids[aboutHook] = m.renew(x, aboutHook)
	x.ids[aboutSchedule] = m.renew(x, aboutSchedule)
	x.ids[aboutFlow], x.ids[aboutRun], x.ids[aboutBundle] = m.renew(x, aboutFlow), m.renew(x, aboutRun), m.renew(x, aboutBundle)
	x.ids[aboutProfile] = m.renew(x, aboutProfile)
	must(m.t, svc.KeepAgentTask(m.t.Context(), coordinator.AgentTask{ID: "agent-" + id, Context: "talk", TaskID: id, History: json.RawMessage("[]")}))
	if user != "" {
		x.ids[aboutKey] = m.renew(x, aboutKey)
	}
	return x
}

// renew makes one more of what an operation may end, and is its id.
func (m *matrix) renew(x *thing, kind about) string {
	svc := m.c.Coordinators[0].P.In(x.lives)
	switch kind {
	case aboutHook:
		w, err := svc.Attach(m.t.Context(), x.ids[aboutTree], coordinator.Attachment{Webhook: coordinator.Webhook{URL: "http://127.0.0.1:1/"}})
		must(m.t, err)
		return w.ID
	case aboutSchedule:
		s, err := svc.CreateSchedule(m.t.Context(), scheduledoc.Spec{ID: fmt.Sprintf("nightly-%d-%s", m.schedules.Add(1), x.ids[aboutTree]), UserID: x.user, Cron: "@daily", Tree: []byte(oneTask)})
		must(m.t, err)
		return s.ID
	case aboutFlow:
		f, err := svc.ApplyFlow(m.t.Context(), coordinator.FlowSpec{UserID: x.user, Text: fmt.Appendf(nil, "flow: {id: flow-%d}\njobs: []\n", m.schedules.Add(1))})
		must(m.t, err)
		return f.ID
	case aboutBundle:
		digest, err := svc.PutBundleFile(m.t.Context(), coordinator.BundleFile{Data: []byte("{}")})
		must(m.t, err)
		b, err := svc.ApplyBundle(m.t.Context(), coordinator.BundleSpec{UserID: x.user, ID: fmt.Sprintf("bundle-%d", m.schedules.Add(1)), Fingerprint: digest, Files: []bundle.File{{Path: "f", SHA256: digest, Size: 2}},
			BundleRules: coordinator.BundleRules{EntryFlow: "f", ProfilesFile: "f"}})
		must(m.t, err)
		return b.ID
	case aboutProfile:
		applied, err := svc.ApplyProfiles(m.t.Context(), coordinator.ProfilesSpec{UserID: x.user, Text: fmt.Appendf(nil, "profile-%d: {config: {host: h}}\n", m.schedules.Add(1))})
		must(m.t, err)
		return applied.Profiles[0].Name
	case aboutRun:
		r, err := svc.RunFlow(m.t.Context(), coordinator.FlowRunSpec{UserID: x.user, RunID: fmt.Sprintf("run-%d", m.schedules.Add(1)), Text: []byte("flow: {id: f}\njobs: []\n")})
		must(m.t, err)
		return r.RunID
	case aboutKey:
		k, err := svc.CreateAPIKey(m.t.Context(), coordinator.APIKeySpec{Name: "k", UserID: x.user, Roles: []string{"worker"}})
		must(m.t, err)
		return k.ID
	}
	return x.ids[kind]
}

// verdict is what the policy says of a call.
type verdict uint8

const (
	allowed verdict = iota
	missing         // it is not there, which the caller may know
	refused         // as the caller may do so with its own
	barred          // as the caller may do so with nothing
)

// judge reads the policy's table: what comes of an operation on a thing, and the permission that is missing.
func (op *operation) judge(held []policy.Holding, x *thing) (verdict, policy.Permission) {
	permission := cmp.Or(op.takes, coordinator.MethodPermissions()[op.method])
	sees := policy.Reach(held, nil, x.in, policy.TreesRead) == policy.All
	parts := append([]policy.Permission{permission}, op.also...)
	if op.finds {
		parts = append([]policy.Permission{policy.TreesRead}, parts...)
	}
	for i, p := range parts {
		if p == "" { // whoever has said who it is may
			continue
		}
		reach, whose := policy.Reach(held, nil, x.in, p), x.whose
		if p == policy.ApprovalsAnswer { // of a task that names nobody; the others are in TestNamedApproversAnswerAndNobodyElse of package coordinator
			reach |= policy.Reach(held, nil, x.in, policy.TreesExecute)
		}
		switch op.about {
		case aboutUser: // whoever is not the caller is another
			if whose = policy.Others; x.name == "own" {
				whose = policy.Own
			}
		case aboutList, aboutOwn:
			whose = policy.Own
		case aboutWhole:
			whose = policy.Ownerless
		case aboutAny:
			if whose = reach; reach == policy.None {
				return barred, p
			}
		}
		switch {
		case op.finds && i == 0:
			if reach == policy.None {
				return barred, p
			}
			continue
		case whose == policy.None && reach != policy.None && (reach == policy.All || sees):
			return missing, ""
		case whose != policy.None && reach.Has(whose):
			continue
		case reach.Has(policy.Own) && !(op.about == aboutWhole && p == permission && !op.whole):
			return refused, p
		}
		return barred, p
	}
	return allowed, ""
}

// refusal is how a refusal for a user looks, before and after the words for the operation.
func (v verdict) refusal(user string, x *thing, p policy.Permission) (before, after string) {
	after = "missing permission: " + string(p)
	if v == refused {
		return "Permission denied: User " + user + " can only ", " their own resources; " + after
	}
	return (&coordinator.DeniedError{User: user, Permission: p, Namespace: x.in}).Error(), ""
}

// TestMatrix: each role, held in a namespace or in all, and none × own, another's, nobody's, another namespace's and not there × each operation of each
// surface. What comes of it is what the table of the policy says. Whoever may not see all of a namespace gets the same bytes for all that it may not
// touch.
func TestMatrix(t *testing.T) {
	t.Parallel()
	m := startMatrix(t)
	ops := operations()
	m.complete(ops)
	t.Run("references", m.leads)
	t.Run("escalation", m.climbs)
	began, cells := time.Now(), 0
	var count sync.Mutex
	t.Run("callers", func(t *testing.T) {
		for _, c := range m.callers {
			t.Run(c.user, func(t *testing.T) {
				t.Parallel()
				n := m.play(t, c, ops)
				count.Lock()
				defer count.Unlock()
				cells += n
			})
		}
	})
	t.Logf("%d operations, %d calls in %s", len(ops), cells, time.Since(began).Round(time.Millisecond))
}

// thingsFor are the things that a caller asks for by an operation.
func (m *matrix) thingsFor(c *caller, op *operation) (all []*thing) {
	everywhere := len(c.held) > 0 && c.held[0].Namespace == policy.AllNamespaces
	for _, x := range append([]*thing{c.own}, m.shared...) {
		switch {
		case everywhere && x != c.own && x.in == coordinator.DefaultNamespace: // as with the same role in default
		case !slices.Contains(naming, op.about) && (x.name != "own" && x.in == coordinator.DefaultNamespace): // names none of them
		case (op.about == aboutKey || op.about == aboutUser) && x.user == "": // has always an owner
		case everywhere && x.in == nowhere: // whoever may know what is not there sees that
		default:
			all = append(all, x)
		}
	}
	return all
}

// varies is what differs between answers to the same: ids that are made for them, and times.
var varies = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-][0-9:]+)`)

// play makes the calls of a caller, and returns how many.
func (m *matrix) play(t *testing.T, c *caller, ops []*operation) (calls int) {
	mine := *m
	o := *m.owners
	o.t, mine.owners = t, &o
	for _, op := range ops {
		told := map[string]string{} // by verdict and namespace
		for _, x := range mine.thingsFor(c, op) {
			o.in = x.in
			if x.in == coordinator.DefaultNamespace && calls%2 == 0 {
				o.in = "" // which means the same
			}
			want, lacks := op.judge(c.held, x)
			id := x.ids[op.about]
			if op.fresh && want == allowed {
				id = mine.renew(x, op.about)
			}
			got := op.call(&o, c.user, id)
			calls++
			mine.check(t, c, op, x, want, lacks, got)
			if want == allowed || op.about == aboutUser && x == c.own { // whom the question itself names otherwise
				continue
			}
			group := fmt.Sprint(want, lacks, x.in)
			same := varies.ReplaceAllString(got, "…")
			if id != "" && id != c.user {
				same = strings.ReplaceAll(same, id, "ID")
			}
			if want >= refused && x.in == nowhere { // looks as a namespace where one holds nothing
				group = fmt.Sprint(want, lacks, elsewhere)
				same = strings.ReplaceAll(same, nowhere, elsewhere)
			}
			if before, ok := told[group]; ok && before != same {
				t.Errorf("%s of what is %s tells more than it may:\n%s\nand of others\n%s", op.name, x.name, same, before)
			}
			told[group] = same
		}
	}
	return calls
}

// gone are the words of surfaces for what is not there.
var gone = regexp.MustCompile(`(?i)not[ _]found|"id":1,"result":null|"text":"null"|"protocol":"a2a","result":null|-32001`)

// check compares an answer with what the policy says.
func (m *matrix) check(t *testing.T, c *caller, op *operation, x *thing, want verdict, lacks policy.Permission, got string) {
	t.Helper()
	denied := strings.Contains(got, "Permission denied")
	if op.method == "Record" { // which may hold what others were refused
		denied = denied && !strings.HasPrefix(got, "OK ") && !strings.HasPrefix(got, "200 ")
	}
	if want >= refused {
		before, after := want.refusal(c.user, x, lacks)
		if op.method == "ModelKeys" && strings.HasPrefix(op.name, "JSON-RPC") { // has no errors (spec 5.8): it shows none
			if !strings.Contains(got, `"has_key":false`) {
				t.Errorf("%s of what is %s: got %.400s", op.name, x.name, got)
			}
			return
		}
		if !strings.Contains(got, before) || !strings.Contains(got, after) || !coded(op.name, got) {
			t.Errorf("%s of what is %s: got %.400s\nwant %s…%s", op.name, x.name, got, before, after)
		}
		return
	}
	absent := gone.MatchString(got)
	switch {
	case denied || strings.HasPrefix(got, "401"):
		t.Errorf("%s of what is %s is refused: %.400s", op.name, x.name, got)
	case want == missing && !absent, want == allowed && absent && !op.blind:
		t.Errorf("%s of what is %s: got %.400s, there is %v", op.name, x.name, got, want == allowed)
	}
	if op.about == aboutList && !op.blind {
		reach := policy.Reach(c.held, nil, x.in, coordinator.MethodPermissions()[op.method])
		for _, one := range append([]*thing{c.own}, m.shared[:3]...) {
			whose := one.whose
			if one.lives == elsewhere {
				whose = policy.Others
			}
			if shown, may := strings.Contains(got, one.ids[aboutTree]), one.lives == x.in && reach.Has(whose); shown != may {
				t.Errorf("%s in %s: what is %s is shown: %v, want %v: %.600s", op.name, x.in, one.name, shown, may, got)
			}
		}
	}
}

// inBand are the methods that answer for each of several tasks, with a refusal instead of what is asked for (spec 5.2).
var inBand = regexp.MustCompile(`tasks\.cancel|tasks\.running\.(cancel|status)`)

// coded reports whether a refusal has the code of its surface.
func coded(surface, got string) bool {
	if inBand.MatchString(surface) {
		return true
	}
	surface, _, _ = strings.Cut(surface, " ")
	for _, code := range map[string][]string{
		"JSON-RPC": {"403 ", "-32001"}, "GET": {"403 "}, "SSE": {"403 "}, "Connect": {"permission_denied"}, "gRPC": {"PermissionDenied", `"permission"`},
	}[surface] {
		if !strings.Contains(got, code) {
			return false
		}
	}
	return true
}

// untouched are the methods of the service that no operation makes a call of by itself, and why.
var untouched = map[string]string{
	"LinkedApproval": "needs a token that nobody can guess; package approvals tests it",
	"ApproveByLink":  "the same",
	"TakeEvent":      "needs a signature that nobody can make; package coordinator tests it",
	"Ready":          "is asked by processes, of nobody's things",
	"Demand":         "is asked over KEDA's protocol, whose messages name pools only; package keda tests who may",
	"WatchDemand":    "the same, as a stream",
	"DropAgentTask":  "takes back what the same message has kept, when its tree could not be stored",
}

// complete finds by reflection what no operation calls.
func (m *matrix) complete(ops []*operation) {
	called := map[string]bool{}
	for name := range methodsOfParts {
		called[name] = true
	}
	names := map[string]bool{}
	for _, op := range ops {
		called[op.method] = true
		if names[op.name] {
			m.t.Errorf("%s is there twice", op.name)
		}
		names[op.name] = true
		if _, known := coordinator.MethodPermissions()[op.method]; !known {
			m.t.Errorf("%s: the service has no method %s", op.name, op.method)
		}
	}
	service := reflect.TypeFor[coordinator.Service]()
	for i := range service.NumMethod() {
		name := service.Method(i).Name
		if _, left := untouched[name]; called[name] == left {
			m.t.Errorf("%s is called by an operation: %v; left out: %v", name, called[name], left)
		}
	}
	for _, want := range m.offered() {
		if !names[want] {
			m.t.Errorf("no row of the matrix is about %s", want)
		}
	}
}
