package apitest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// Use makes the attempt that runs use a model. It counts once the attempt has ended.
func (s *Service) Use(id string, used dag.Used) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.must(id)
	t.using = append(t.using, used)
}

// spend books what the attempt used that ends now. The caller holds mu.
func (t *task) spend(e *coordinator.Event) {
	if len(t.using) == 0 {
		return
	}
	t.used = append(t.used, t.using...)
	e.Usage, t.attemptUsage = coordinator.UsageOf(t.using, true), coordinator.UsageOf(t.using, true)
	t.Usage = coordinator.UsageOf(t.used, true)
	t.using = nil
}

// used is what all tasks of a tree used. The caller holds mu.
func (tr *tree) used() (all []dag.Used) {
	for _, t := range tr.tasks {
		all = append(all, t.used...)
	}
	return all
}

// Usage sums up what ended tasks used; all of it today. Its cursor is the number of groups before.
func (s *Service) Usage(_ context.Context, f coordinator.UsageFilter) (page coordinator.Page[coordinator.UsageGroup], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Usage"); err != nil {
		return page, err
	}
	if f.TreeOf != "" && s.tasks[f.TreeOf] == nil {
		return page, fmt.Errorf("usage of %s: %w", f.TreeOf, coordinator.ErrNotFound)
	}
	key := map[coordinator.UsageBy]func(*tree, dag.Used) string{
		"":                       func(*tree, dag.Used) string { return time.Now().UTC().Format(time.DateOnly) },
		coordinator.UsageByDay:   func(*tree, dag.Used) string { return time.Now().UTC().Format(time.DateOnly) },
		coordinator.UsageByUser:  func(tr *tree, _ dag.Used) string { return tr.status.UserID },
		coordinator.UsageByTree:  func(tr *tree, _ dag.Used) string { return tr.status.ID },
		coordinator.UsageByModel: func(_ *tree, u dag.Used) string { return u.Model },
	}[f.By]
	if key == nil {
		return page, &coordinator.InvalidArgumentError{Field: "by", Reason: "must be user, tree, model or day"}
	}
	groups := map[string][]dag.Used{}
	for _, tr := range s.trees {
		for _, u := range tr.used() {
			if (f.TreeOf == "" || s.tasks[f.TreeOf].tree == tr) && (f.UserID == "" || tr.status.UserID == f.UserID) && (f.Model == "" || u.Model == f.Model) &&
				within(time.Now(), f.Since, f.Before) {
				groups[key(tr, u)] = append(groups[key(tr, u)], u)
			}
		}
	}
	var all []coordinator.UsageGroup
	for _, k := range slices.Sorted(maps.Keys(groups)) {
		all = append(all, coordinator.UsageGroup{Key: k, Usage: *coordinator.UsageOf(groups[k], false)})
	}
	page.Items, page.Next, err = cut(all, f.Limit, 0, f.Cursor)
	return page, err
}

// What the scenarios' attempts use.
var (
	usedPriced   = dag.Used{Model: "m-large", Currency: "USD", Calls: 2, Prompt: 100, Completion: 20, Cached: 50, CostNanos: 1_500_000}
	usedUnpriced = dag.Used{Model: "m-local", Calls: 1, Prompt: 7, Completion: 3, Unpriced: 1}
)

// shownUsage is usage as a text, without what not every surface tells: how many calls have no price.
func shownUsage(u *coordinator.Usage) string {
	if u == nil {
		return "none"
	}
	one := *u
	one.Unpriced = min(one.Unpriced, 1)
	one.Models = slices.Clone(one.Models)
	for i := range one.Models {
		one.Models[i].Unpriced = min(one.Models[i].Unpriced, 1)
	}
	text, _ := json.Marshal(one)
	return string(text)
}

func (s *site) wantUsage(what string, got *coordinator.Usage, used ...dag.Used) {
	s.Helper()
	if got, want := shownUsage(got), shownUsage(coordinator.UsageOf(used, true)); got != want {
		s.Errorf("%s: got  %s\nwant %s", what, got, want)
	}
}

// use runs a task to its end that uses the models of the scenarios.
func (s *site) use(id string) {
	s.Helper()
	s.backend.Start(id)
	s.backend.Use(id, usedPriced)
	s.backend.Use(id, usedUnpriced)
	s.backend.Complete(id, `{}`)
}

// groups are the keys of sums, and their tokens, page by page.
func (s *site) groups(f coordinator.UsageFilter) string {
	s.Helper()
	var out []string
	for {
		page, err := s.svc.Usage(s.Context(), f)
		page = must(s, page, err)
		for _, g := range page.Items {
			out = append(out, fmt.Sprintf("%s %d+%d", g.Key, g.Prompt, g.Completion))
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return strings.Join(out, ", ")
		}
	}
}

// using are the scenarios of what is used of models.
var using = map[string]func(*site){
	"usage is shown with the task and its tree": func(s *site) {
		id := s.start("root")
		s.use(id)
		got, err := s.svc.Task(s.Context(), id)
		s.wantUsage("task", must(s, got, err).Usage, usedPriced, usedUnpriced)
		tree, err := s.svc.Tree(s.Context(), id)
		s.wantUsage("tree", must(s, tree, err).Usage, usedPriced, usedUnpriced)
		if !s.lacks("Attempts") {
			attempts, err := s.svc.Attempts(s.Context(), id)
			s.wantUsage("attempt", must(s, attempts, err)[0].Usage, usedPriced, usedUnpriced)
		}
	},
	"events tell usage": func(s *site) {
		id := s.start("root")
		s.use(id)
		for e, err := range s.svc.Watch(s.Context(), id, 0) {
			if err != nil {
				s.Fatal(err)
			}
			switch e.Type {
			case coordinator.EventCompleted, coordinator.EventFinal:
				s.wantUsage(e.Type.String(), e.Usage, usedPriced, usedUnpriced)
			default:
				s.wantUsage(e.Type.String(), e.Usage)
			}
		}
	},
	"who uses no models has no usage": func(s *site) {
		id := s.start("root")
		s.backend.Complete(id, `{}`)
		got, err := s.svc.Task(s.Context(), id)
		s.wantUsage("task", must(s, got, err).Usage)
		tree, err := s.svc.Tree(s.Context(), id)
		s.wantUsage("tree", must(s, tree, err).Usage)
	},
	"usage is summed up": func(s *site) {
		s.has("Usage")
		user := s.id("user")
		for _, name := range []string{"a", "b"} {
			s.submit(coordinator.SubmitOptions{UserID: user}, s.task(name, ""))
			s.use(s.id(name))
		}
		day := time.Now().UTC().Format(time.DateOnly)
		for _, tt := range []struct {
			f    coordinator.UsageFilter
			want string
		}{
			{coordinator.UsageFilter{By: coordinator.UsageByUser, UserID: user}, user + " 214+46"},
			{coordinator.UsageFilter{UserID: user}, day + " 214+46"},
			{coordinator.UsageFilter{By: coordinator.UsageByDay, TreeOf: s.id("a")}, day + " 107+23"},
			{coordinator.UsageFilter{By: coordinator.UsageByModel, UserID: user}, "m-large 200+40, m-local 14+6"},
			{coordinator.UsageFilter{By: coordinator.UsageByModel, UserID: user, Limit: 1}, "m-large 200+40, m-local 14+6"},
			{coordinator.UsageFilter{By: coordinator.UsageByTree, UserID: user, Model: "m-local", TreeOf: s.id("b")}, s.id("b") + " 7+3"},
			{coordinator.UsageFilter{By: coordinator.UsageByUser, UserID: user, Since: time.Now().Add(-time.Hour), Before: time.Now().Add(time.Hour)}, user + " 214+46"},
			{coordinator.UsageFilter{By: coordinator.UsageByUser, UserID: user, Since: time.Now().Add(time.Hour)}, ""},
			{coordinator.UsageFilter{By: coordinator.UsageByUser, UserID: user, Before: time.Now().Add(-time.Hour)}, ""},
		} {
			if got := s.groups(tt.f); got != tt.want {
				s.Errorf("%+v: got %q, want %q", tt.f, got, tt.want)
			}
		}
		page, err := s.svc.Usage(s.Context(), coordinator.UsageFilter{By: coordinator.UsageByUser, UserID: user})
		sum := must(s, page, err).Items[0].Usage
		want := coordinator.UsageOf([]dag.Used{usedPriced, usedUnpriced, usedPriced, usedUnpriced}, false)
		if got, want := shownUsage(&sum), shownUsage(want); got != want {
			s.Errorf("got  %s\nwant %s", got, want)
		}
	},
	"usage of nothing and by nothing": func(s *site) {
		s.has("Usage")
		_, err := s.svc.Usage(s.Context(), coordinator.UsageFilter{By: "hour"})
		s.wantName(s.wantFault("by", err, api.Invalid), "by")
		_, err = s.svc.Usage(s.Context(), coordinator.UsageFilter{Cursor: "x"})
		s.wantName(s.wantFault("cursor", err, api.Invalid), "cursor")
		_, err = s.svc.Usage(s.Context(), coordinator.UsageFilter{Limit: 1001})
		s.wantName(s.wantFault("limit", err, api.Invalid), "limit")
		_, err = s.svc.Usage(s.Context(), coordinator.UsageFilter{TreeOf: s.id("nobody")})
		s.wantFault("a tree that is not there", err, api.NotFound)
		if got := s.groups(coordinator.UsageFilter{By: coordinator.UsageByModel, UserID: s.id("nobody")}); got != "" {
			s.Errorf("nobody used %q", got)
		}
	},
}
