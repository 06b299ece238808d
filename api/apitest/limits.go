package apitest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// errChanged is of who changes what is not as it was read any more.
var errChanged = fmt.Errorf("%w: it was changed meanwhile", coordinator.ErrConflict)

// SetLimit keeps a limit. Nothing is limited here.
func (s *Service) SetLimit(_ context.Context, spec coordinator.LimitSpec) (*coordinator.LimitInfo, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("SetLimit"); err != nil {
		return nil, err
	}
	was := coordinator.LimitInfo{}
	if i := slices.IndexFunc(s.limits, func(l *coordinator.LimitInfo) bool { return l.LimitTarget == spec.LimitTarget }); i >= 0 {
		was = *s.limits[i]
	}
	if spec.IfRevision != nil && *spec.IfRevision != was.Revision {
		return nil, errChanged
	}
	spec.IfRevision, spec.Owner = nil, ownerOf(spec.Owner, was.Owner)
	s.limits = slices.DeleteFunc(s.limits, func(l *coordinator.LimitInfo) bool { return l.LimitTarget == spec.LimitTarget })
	l := &coordinator.LimitInfo{LimitSpec: spec, SetBy: coordinator.AnonymousName, SetAt: time.Now().Truncate(time.Microsecond), Counted: true, Revision: was.Revision + 1}
	s.limits = append(s.limits, l)
	slices.SortFunc(s.limits, func(a, b *coordinator.LimitInfo) int { return cmp.Compare(orderOf(a), orderOf(b)) })
	one := *l
	return &one, nil
}

// judge has the builder tell which limits of tasks have no max anywhere, or cost more than it.
func (s *Service) judge(b *dag.Builder, given []*dag.Task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := map[string]int32{}
	for _, l := range s.limits {
		if l.Key != "" {
			most[l.Key] = *l.Max
		}
	}
	for i, t := range given {
		asked := t.ReadKeys().Of(b.IdentityOf(i))
		for _, place := range asked.Unbounded() {
			max, ruled := most[asked.Limits[place].Key]
			at := fmt.Sprintf("limits[%d].", place)
			if field, reason := asked.Limits[place].RuleFault(max, ruled); reason != "" && !b.Faulty(i, at+"key", at+"max", at+"cost") {
				b.Fault(i, at+field, reason)
			}
		}
	}
}

// orderOf is what limits are listed by.
func orderOf(l *coordinator.LimitInfo) string {
	kind := slices.IndexFunc([]string{l.Key, l.Rate, l.Pool, l.UserID}, func(s string) bool { return s != "" })
	return fmt.Sprint(kind, l.Key, l.Rate, l.Pool, l.UserID)
}

// Limits lists what was kept, and the users with a weight.
func (s *Service) Limits(_ context.Context, f coordinator.LimitFilter) (coordinator.Page[*coordinator.LimitInfo], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*coordinator.LimitInfo
	weights := map[string]float64{}
	for user, weight := range s.weights {
		weights[user] = weight
	}
	for _, l := range s.limits {
		one := *l
		if l.UserID != "" {
			one.Weight = cmp.Or(weights[l.UserID], 1)
			delete(weights, l.UserID)
		}
		all = append(all, &one)
	}
	for user, weight := range weights {
		if weight != 1 {
			all = append(all, &coordinator.LimitInfo{LimitSpec: coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{UserID: user}}, Weight: weight, Counted: true})
		}
	}
	slices.SortFunc(all, func(a, b *coordinator.LimitInfo) int { return cmp.Compare(orderOf(a), orderOf(b)) })
	return pageOf(all, f.Limit, f.Cursor)
}

// DeleteLimit forgets a limit.
func (s *Service) DeleteLimit(_ context.Context, target coordinator.LimitTarget, revision int32) error {
	if err := target.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.limits, func(l *coordinator.LimitInfo) bool {
		return l.LimitTarget == target && revision != 0 && l.Revision != revision
	}) {
		return errChanged
	}
	n := len(s.limits)
	if s.limits = slices.DeleteFunc(s.limits, func(l *coordinator.LimitInfo) bool { return l.LimitTarget == target }); len(s.limits) == n {
		return coordinator.ErrNotFound
	}
	return nil
}

// SetWeight keeps a weight.
func (s *Service) SetWeight(_ context.Context, user string, weight float64) error {
	if err := coordinator.CheckWeight(user, weight); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.weights == nil {
		s.weights = map[string]float64{}
	}
	s.weights[user] = weight
	return nil
}

// rootOf has a target name a tree by its root. The caller holds mu.
func (s *Service) rootOf(t coordinator.PauseTarget) (coordinator.PauseTarget, error) {
	t = coordinator.PauseTarget{TreeID: t.TreeID, Pool: t.Pool, Everything: t.Everything} // and not who asks
	if t.TreeID == "" {
		return t, nil
	}
	task := s.tasks[t.TreeID]
	if task == nil {
		return t, coordinator.ErrNotFound
	}
	t.TreeID = task.TreeID
	return t, nil
}

// Pause keeps a pause. Nothing is held back here.
func (s *Service) Pause(_ context.Context, target coordinator.PauseTarget, reason string) (*coordinator.PauseInfo, error) {
	if err := coordinator.CheckPause(target, reason); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Pause"); err != nil {
		return nil, err
	}
	target, err := s.rootOf(target)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.pauses, func(p *coordinator.PauseInfo) bool { return p.PauseTarget == target })
	if i < 0 {
		i = len(s.pauses)
		s.pauses = append(s.pauses, &coordinator.PauseInfo{PauseTarget: target, SetBy: coordinator.AnonymousName, SetAt: time.Now().Truncate(time.Microsecond), Reason: reason})
	}
	one := *s.pauses[i]
	return &one, nil
}

// Resume forgets a pause.
func (s *Service) Resume(_ context.Context, target coordinator.PauseTarget) error {
	if err := coordinator.CheckPause(target, ""); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	target, err := s.rootOf(target)
	if err != nil {
		return err
	}
	n := len(s.pauses)
	if s.pauses = slices.DeleteFunc(s.pauses, func(p *coordinator.PauseInfo) bool { return p.PauseTarget == target }); len(s.pauses) == n {
		return coordinator.ErrNotFound
	}
	return nil
}

// Pauses lists the pauses that were kept.
func (s *Service) Pauses(_ context.Context, f coordinator.PauseFilter) (coordinator.Page[*coordinator.PauseInfo], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*coordinator.PauseInfo
	for _, p := range s.pauses {
		one := *p
		all = append(all, &one)
	}
	return pageOf(all, f.Limit, f.Cursor)
}

// tell is a limit in one line, without what differs from one run to the next.
func (s *site) tell(l *coordinator.LimitInfo) string {
	name := strings.ReplaceAll(cmp.Or(l.Key, l.Rate, l.Pool, l.UserID), s.prefix, "")
	number := func(n *int32) string {
		if n == nil {
			return "-"
		}
		return fmt.Sprint(*n)
	}
	return fmt.Sprintf("%s max %s running %s waiting %s per %s burst %d weight %g reason %q by %q set %v counted %v", name, number(l.Max), number(l.Running), number(l.Waiting), l.Per, l.Burst,
		l.Weight, l.Reason, l.SetBy, !l.SetAt.IsZero(), l.Counted)
}

// limiting are the scenarios of [coordinator.Limiter].
var limiting = map[string]func(*site){
	"limits are set, listed, replaced and deleted": func(s *site) {
		s.has("SetLimit", "Limits", "DeleteLimit", "SetWeight")
		n := func(n int32) *int32 { return &n }
		key, rate, pool, user, weighty := s.id("key"), s.id("rate"), s.id("pool"), s.id("user"), s.id("weighty")
		for _, spec := range []coordinator.LimitSpec{
			{LimitTarget: coordinator.LimitTarget{Key: key}, Max: n(5)},
			{LimitTarget: coordinator.LimitTarget{Key: key}, Max: n(0), Reason: "the warehouse is down"},
			{LimitTarget: coordinator.LimitTarget{Rate: rate}, Max: n(100), Per: time.Minute, Burst: 10},
			{LimitTarget: coordinator.LimitTarget{Pool: pool}, Max: n(3)},
			{LimitTarget: coordinator.LimitTarget{UserID: user}, Running: n(2), Waiting: n(1000)},
		} {
			set, err := s.svc.SetLimit(s.Context(), spec)
			set = must(s, set, err)
			if set.LimitTarget != spec.LimitTarget || set.SetAt.IsZero() || set.Reason != spec.Reason || set.Per != spec.Per || set.Burst != spec.Burst {
				s.Errorf("set %+v: got %+v", spec, *set)
			}
		}
		must(s, 0, s.svc.SetWeight(s.Context(), weighty, 2.5))
		listed := func() (out []string) {
			s.Helper()
			f := coordinator.LimitFilter{Limit: 2}
			for {
				page, err := s.svc.Limits(s.Context(), f)
				for _, l := range must(s, page, err).Items {
					if strings.HasPrefix(cmp.Or(l.Key, l.Rate, l.Pool, l.UserID), s.prefix) {
						out = append(out, s.tell(l))
					}
				}
				if f.Cursor = page.Next; f.Cursor == "" {
					return out
				}
			}
		}
		want := []string{
			`key max 0 running - waiting - per 0s burst 0 weight 0 reason "the warehouse is down" by "anonymous" set true counted true`,
			`rate max 100 running - waiting - per 1m0s burst 10 weight 0 reason "" by "anonymous" set true counted true`,
			`pool max 3 running - waiting - per 0s burst 0 weight 0 reason "" by "anonymous" set true counted true`,
			`user max - running 2 waiting 1000 per 0s burst 0 weight 1 reason "" by "anonymous" set true counted true`,
			`weighty max - running - waiting - per 0s burst 0 weight 2.5 reason "" by "" set false counted true`,
		}
		if got := listed(); !slices.Equal(got, want) {
			s.Errorf("listed:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for _, target := range []coordinator.LimitTarget{{Key: key}, {Rate: rate}, {Pool: pool}, {UserID: user}} {
			must(s, 0, s.svc.DeleteLimit(s.Context(), target, 0))
			s.wantFault("delete it again", s.svc.DeleteLimit(s.Context(), target, 0), api.NotFound)
		}
		must(s, 0, s.svc.SetWeight(s.Context(), weighty, 1))
		if got := listed(); len(got) != 0 {
			s.Errorf("left: %q", got)
		}
	},
	"limits have owners, and are changed only as they were read": func(s *site) {
		s.has("SetLimit", "Limits", "DeleteLimit")
		n := func(n int32) *int32 { return &n }
		owner, nobody := "team/a", ""
		spec := coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{Key: s.id("owned")}, Max: n(5)}
		set := func(what string, owner *string, revision *int32, want string) {
			s.Helper()
			one := spec
			one.Owner, one.IfRevision = owner, revision
			got, err := s.svc.SetLimit(s.Context(), one)
			if want == "" {
				s.wantFault(what, err, api.Conflict)
				return
			}
			is := ""
			if got = must(s, got, err); got.Owner != nil {
				is = *got.Owner
			}
			if is = fmt.Sprint(is, " ", got.Revision); is != want {
				s.Errorf("%s: got %q, want %q", what, is, want)
			}
		}
		set("one that is not there, changed", nil, n(1), "")
		set("made", &owner, n(0), "team/a 1")
		set("made twice", &owner, n(0), "")
		set("changed by who does not look", nil, nil, "team/a 2")
		set("changed as it was before", &owner, n(1), "")
		set("given up", &nobody, n(2), " 3")
		set("taken again", &owner, n(3), "team/a 4")
		s.wantFault("deleted as it was before", s.svc.DeleteLimit(s.Context(), spec.LimitTarget, 3), api.Conflict)
		page, err := s.svc.Limits(s.Context(), coordinator.LimitFilter{Limit: 1000})
		for _, l := range must(s, page, err).Items {
			if l.Key == spec.Key && (l.Owner == nil || *l.Owner != owner || l.Revision != 4) {
				s.Errorf("listed as %+v", l)
			}
		}
		must(s, 0, s.svc.DeleteLimit(s.Context(), spec.LimitTarget, 4))
		s.wantFault("one that is not there, deleted", s.svc.DeleteLimit(s.Context(), spec.LimitTarget, 4), api.NotFound)
		owner = "no owner"
		_, err = s.svc.SetLimit(s.Context(), coordinator.LimitSpec{LimitTarget: spec.LimitTarget, Max: n(1), Owner: &owner})
		s.wantFault("an owner that can't be", err, api.Invalid)
	},
	"a limit that can't be is refused with all its faults": func(s *site) {
		s.has("SetLimit", "DeleteLimit", "SetWeight")
		n := func(n int32) *int32 { return &n }
		faulty := func(what string, err error, fields ...string) {
			s.Helper()
			f := s.wantFault(what, err, api.Invalid)
			if f == nil {
				return
			}
			told := f.Text
			for _, p := range f.Problems {
				told += " " + p.Field + " " + p.Reason
			}
			for _, want := range fields {
				if !strings.Contains(told, want) {
					s.Errorf("%s: got %q, want %s in it", what, told, want)
				}
			}
		}
		_, err := s.svc.SetLimit(s.Context(), coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{Key: "a\nb"}, Max: n(-1), Running: n(1), Waiting: n(1), Per: time.Hour, Burst: 3, Reason: strings.Repeat("x", 1001)})
		faulty("a key", err, "key: must not hold control characters", "max: must be 0 to 1000000", "running: ", "waiting: ", "per: ", "burst: ", "reason: must be at most 1000 bytes")
		_, err = s.svc.SetLimit(s.Context(), coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{Rate: "r"}})
		faulty("a rate", err, "max: is required", "per: must be second, minute or hour")
		_, err = s.svc.SetLimit(s.Context(), coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{Pool: "not a pool"}, Max: n(1_000_001)})
		faulty("a pool", err, "pool: must be", "max: must be 0 to 1000000")
		_, err = s.svc.SetLimit(s.Context(), coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{UserID: "u"}, Max: n(1)})
		faulty("a user", err, "max: does not go with a user", "running: is required")
		_, err = s.svc.SetLimit(s.Context(), coordinator.LimitSpec{Max: n(1)})
		faulty("nothing", err, "target: is required")
		faulty("delete nothing", s.svc.DeleteLimit(s.Context(), coordinator.LimitTarget{}, 0), "target: is required")
		faulty("a weight", s.svc.SetWeight(s.Context(), "", 1000), "user_id: ", "weight: must be 0.01 to 100")
	},
	"trees and pools are paused, listed and resumed": func(s *site) {
		s.has("Pause", "Resume", "Pauses")
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", ""), s.task("below", "root"))
		tree, pool := coordinator.PauseTarget{TreeID: s.id("root")}, coordinator.PauseTarget{Pool: s.id("pool")}
		paused, err := s.svc.Pause(s.Context(), coordinator.PauseTarget{TreeID: s.id("below")}, "its customer asked")
		if paused = must(s, paused, err); paused.PauseTarget != tree || paused.Reason != "its customer asked" || paused.SetBy != coordinator.AnonymousName || time.Since(paused.SetAt).Abs() > time.Minute {
			s.Errorf("got %+v", *paused)
		}
		again, err := s.svc.Pause(s.Context(), tree, "another reason")
		if again = must(s, again, err); again.Reason != paused.Reason || !again.SetAt.Equal(paused.SetAt) {
			s.Errorf("again: got %+v", *again)
		}
		_, err = s.svc.Pause(s.Context(), pool, "")
		must(s, 0, err)
		listed := func() (out []string) {
			s.Helper()
			f := coordinator.PauseFilter{Limit: 1}
			for {
				page, err := s.svc.Pauses(s.Context(), f)
				for _, p := range must(s, page, err).Items {
					if name := p.TreeID + p.Pool; strings.HasPrefix(name, s.prefix) {
						out = append(out, strings.TrimPrefix(name, s.prefix)+" "+p.SetBy+" "+p.Reason)
					}
				}
				if f.Cursor = page.Next; f.Cursor == "" {
					return out
				}
			}
		}
		if got := listed(); !slices.Equal(got, []string{"root anonymous its customer asked", "pool anonymous "}) {
			s.Errorf("listed: %q", got)
		}
		for _, target := range []coordinator.PauseTarget{{TreeID: s.id("below")}, pool} {
			must(s, 0, s.svc.Resume(s.Context(), target))
			s.wantFault("resume it again", s.svc.Resume(s.Context(), target), api.NotFound)
		}
		if got := listed(); len(got) != 0 {
			s.Errorf("left: %q", got)
		}
	},
	"a pause that can't be is refused": func(s *site) {
		s.has("Pause", "Resume")
		_, err := s.svc.Pause(s.Context(), coordinator.PauseTarget{}, "a\tb")
		if f := s.wantFault("nothing", err, api.Invalid); f != nil {
			told := f.Text
			for _, p := range f.Problems {
				told += " " + p.Field + " " + p.Reason
			}
			if !strings.Contains(told, "target: is required: one of tree_id, pool and everything") || !strings.Contains(told, "reason: must not hold control characters") {
				s.Errorf("got %q", told)
			}
		}
		_, err = s.svc.Pause(s.Context(), coordinator.PauseTarget{TreeID: s.id("none")}, "")
		s.wantFault("a tree that is not there", err, api.NotFound)
		s.wantFault("to be resumed", s.svc.Resume(s.Context(), coordinator.PauseTarget{TreeID: s.id("none")}), api.NotFound)
	},
}

// asker is a task that asks for something before it starts.
func (s *site) asker(name, parent string, l *dag.Limiting, after ...string) *dag.Task {
	t := s.task(name, parent, after...)
	t.Schemas, t.Limiting = fmt.Appendf(nil, `{"method":%q}`, HandExecutor), l // surfaces that take documents know the executor by these
	return t
}

// asking are scenarios of tasks that ask for something before they start.
var asking = map[string]func(*site){
	"limits, a lock and rates are shown with their keys": func(s *site) {
		root := s.asker("root", "", &dag.Limiting{Limits: []dag.Limit{{Key: "c-{{inputs.customer}}", Max: 5}, {Key: "all", Max: 9, Cost: 2}},
			Lock:  &dag.Lock{Key: "{{task.id}}", OnContention: dag.SkipOnContention},
			Rates: []dag.Rate{{Key: "api", Per: time.Hour, Max: 100, Burst: 7}}}, "waits")
		root.Inputs = []byte(`{"customer":"acme"}`)
		plain := s.task("plain", "root")
		waits := s.asker("waits", "root", &dag.Limiting{Lock: &dag.Lock{Key: "k", WaitTimeout: 1500 * time.Millisecond, Hold: dag.HoldParent}})
		s.submit(coordinator.SubmitOptions{Hold: true}, root, plain, waits)
		for name, want := range map[string]string{
			"root": fmt.Sprintf(`{"limits":[{"key":"c-acme","max":5},{"key":"all","max":9,"cost":2}],"lock":{"key":%q,"on_contention":2},"rates":[{"key":"api","per":3600000000000,"max":100,"burst":7}]}`,
				s.id("root")),
			"plain": "",
			"waits": `{"lock":{"key":"k","hold":1,"wait_timeout":1500000000}}`,
		} {
			got, err := s.svc.Task(s.Context(), s.id(name))
			shown := must(s, got, err).Limiting.Clone()
			if shown != nil { // surfaces show what the keys were rendered from only where that is asked for
				for i := range shown.Limits {
					shown.Limits[i].From = ""
				}
				if shown.Lock != nil {
					shown.Lock.From = ""
				}
			}
			if text := string(shown.Stored()); text != want {
				s.Errorf("%s: got %s, want %s", name, text, want)
			}
		}
	},
	"all that is wrong with them is told at once": func(s *site) {
		tasks := []*dag.Task{
			s.asker("root", "", &dag.Limiting{Limits: []dag.Limit{{Key: "nobody has set one"}}}),
			s.asker("a", "root", &dag.Limiting{Limits: []dag.Limit{{Key: "{{inputs.x}}", Max: 1}, {Key: "k", Max: 2, Cost: 3}}}),
			s.asker("b", "root", &dag.Limiting{Lock: &dag.Lock{Key: strings.Repeat("k", 256)}, Rates: []dag.Rate{{Key: "k", Per: time.Second, Max: 1}, {Key: "k", Per: time.Hour, Max: 1}}}, "nowhere"),
		}
		_, err := s.trySubmit(coordinator.SubmitOptions{}, tasks...)
		fault := s.wantFault("a tree with six faults", err, api.Invalid)
		for _, path := range []string{"tasks[0].limits[0].max", "tasks[1].limits[0].key", "tasks[1].limits[1].cost", "tasks[2].lock.key", "tasks[2].rates[1].key", "nowhere"} {
			s.wantName(fault, path)
		}
		_, err = s.svc.Task(s.Context(), s.id("root"))
		s.wantFault("a task of a refused tree", err, api.NotFound)
	},
	"an operator's max takes the place of one that is left out": func(s *site) {
		s.has("SetLimit")
		key, max := s.id("key"), int32(2)
		_, err := s.svc.SetLimit(s.Context(), coordinator.LimitSpec{LimitTarget: coordinator.LimitTarget{Key: key}, Max: &max})
		must(s, 0, err)
		dear := s.asker("dear", "", &dag.Limiting{Limits: []dag.Limit{{Key: key, Cost: 3}}})
		_, err = s.trySubmit(coordinator.SubmitOptions{}, dear)
		s.wantName(s.wantFault("a cost above the operator's max", err, api.Invalid), "tasks[0].limits[0].cost")
		dear.Limiting.Limits[0].Cost = 2
		s.submit(coordinator.SubmitOptions{Hold: true}, dear)
	},
}
