package apitest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// Resolve finds tasks by id, by the beginning of an id, and by TREE/name.
func (s *Service) Resolve(_ context.Context, ref, owner string) (*coordinator.Matches, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Resolve"); err != nil {
		return nil, err
	}
	if t, ok := s.tasks[ref]; ok && t.visibleTo(owner) {
		return found(t), nil
	}
	var trees []*task // what TREE may stand for, if it is ambiguous
	if tree, name, ok := strings.Cut(ref, "/"); ok {
		begin := s.beginning(tree, owner)
		if named, one := namedIn(begin, name); len(named) > 0 {
			return found(named...), nil
		} else if !one {
			trees = begin
		}
	}
	for _, list := range [][]*task{s.beginning(ref, owner), trees} {
		if len(list) > 0 {
			return found(list...), nil
		}
	}
	return nil, fmt.Errorf("find %s: %w", ref, coordinator.ErrNotFound)
}

// namedIn are the tasks with the name in the tree that all of the given ones belong to, if it is one.
func namedIn(given []*task, name string) (named []*task, one bool) {
	for _, t := range given {
		if t.tree != given[0].tree {
			return nil, false
		}
	}
	if len(given) > 0 {
		for _, t := range given[0].tree.tasks {
			if t.Name == name || t.Ref == name {
				named = append(named, t)
			}
		}
	}
	return named, true
}

// beginning are the tasks whose ids begin with the text, only the one that has the id, if there is one. The caller holds mu.
// With an owner only that user's tasks count.
func (s *Service) beginning(prefix, owner string) (list []*task) {
	if t, ok := s.tasks[prefix]; ok && t.visibleTo(owner) {
		return []*task{t}
	}
	for id, t := range s.tasks {
		if strings.HasPrefix(id, prefix) && t.visibleTo(owner) {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b *task) int { return strings.Compare(a.ID, b.ID) })
	return list
}

func (t *task) visibleTo(owner string) bool {
	return owner == "" || t.UserID == owner
}

// OwnerOf is whose something is.
func (s *Service) OwnerOf(ctx context.Context, _ string, call coordinator.Call) (string, error) {
	id := call.ID
	switch {
	case call.Webhook != "":
		info, err := s.GetWebhook(ctx, call.Webhook)
		if err != nil {
			return "", err
		}
		id = info.TreeID
	case call.APIKey != "":
		s.mu.Lock()
		defer s.mu.Unlock()
		k, err := s.apiKey(call.APIKey)
		if err != nil {
			return "", err
		}
		return k.UserID, nil
	case call.AgentTask != "":
		t, err := s.AgentTask(ctx, call.AgentTask)
		if err != nil {
			return "", err
		}
		id = t.Tree.ID
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == "" {
		return "", nil
	}
	if t, ok := s.tasks[id]; ok {
		return t.UserID, nil
	}
	return "", coordinator.ErrNotFound
}

func found(tasks ...*task) *coordinator.Matches {
	m := &coordinator.Matches{More: len(tasks) > coordinator.MaxMatches}
	for _, t := range tasks[:min(len(tasks), coordinator.MaxMatches)] {
		m.Tasks = append(m.Tasks, coordinator.Match{ID: t.ID, TreeID: t.TreeID, Name: t.Name, Status: t.State.Status()})
	}
	return m
}

// finding are the scenarios of what is looked for.
var finding = map[string]func(*site){
	"a text stands for tasks by id, by its beginning, and by tree and name": func(s *site) {
		s.has("Resolve")
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("night", ""), s.task("night.fetch", "night"), s.task("night.feed", "night"))
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("day", ""), s.task("day.fetch", "day"))
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("daylight", ""))
		for _, tt := range []struct{ ref, want, fact string }{
			{"night", "night", "an id, though others begin with it"},
			{"night.fet", "night.fetch", "the beginning of an id"},
			{"night.f", "night.feed night.fetch", "the beginning of several"},
			{"da", "day day.fetch daylight", "of several trees, too"},
			{"night/night.fetch", "night.fetch", "a tree and a name"},
			{"nig/night.fetch", "night.fetch", "the beginning of a tree's id"},
			{"night.fetch/night", "night", "any task of the tree"},
			{"da/day", "day day.fetch daylight", "a tree that is not one: what it may be"},
			{"night/nope", "", "a name that is not there"},
			{"nope", "", "nothing"},
		} {
			got, err := s.svc.Resolve(s.Context(), s.id(tt.ref), "")
			if tt.want == "" {
				s.wantFault(tt.fact, err, api.NotFound)
				continue
			}
			var ids []string
			for _, m := range must(s, got, err).Tasks {
				ids = append(ids, strings.TrimPrefix(m.ID, s.prefix))
			}
			if strings.Join(ids, " ") != tt.want {
				s.Errorf("%s: %s: got %q, want %q", tt.fact, tt.ref, ids, tt.want)
			}
		}
	},
	"more tasks than are named are told": func(s *site) {
		s.has("Resolve")
		tasks := []*dag.Task{s.task("many", "")}
		for i := range 12 {
			t := s.task(fmt.Sprintf("many.%02d", i), "many")
			t.Name = "same"
			tasks = append(tasks, t)
		}
		s.submit(coordinator.SubmitOptions{Hold: true}, tasks...)
		for _, ref := range []string{"many.", "many/same"} {
			got, err := s.svc.Resolve(s.Context(), s.id(ref), "")
			if got = must(s, got, err); len(got.Tasks) != coordinator.MaxMatches || !got.More || got.Tasks[0].TreeID != s.id("many") ||
				got.Tasks[9].Name != "same" || got.Tasks[9].Status != dag.StatusPending {
				s.Errorf("%s: got %+v", ref, got)
			}
		}
	},
	"lists are filtered by name, state, executor and time": func(s *site) {
		s.has("Tasks")
		user := s.id("user")
		other := s.task("b", "old")
		other.Name, other.Executor, other.Schemas = s.id("odd"), "other_executor", []byte(`{"method":"other_executor"}`)
		s.submit(coordinator.SubmitOptions{Hold: true, UserID: user}, s.task("old", ""), other)
		time.Sleep(2 * time.Millisecond) // trees are told apart by their times
		middle := time.Now()
		time.Sleep(2 * time.Millisecond)
		s.submit(coordinator.SubmitOptions{UserID: user}, s.task("new", ""))
		for _, tt := range []struct {
			f    coordinator.TaskFilter
			want string
		}{
			{coordinator.TaskFilter{UserID: user}, "new old b"},
			{coordinator.TaskFilter{UserID: user, Name: s.id("odd")}, "b"},
			{coordinator.TaskFilter{UserID: user, Executor: "other_executor"}, "b"},
			{coordinator.TaskFilter{UserID: user, States: dag.Held.Set()}, "old b"},
			{coordinator.TaskFilter{UserID: user, States: dag.Held.Set(), Status: dag.StatusFailed}, ""},
			{coordinator.TaskFilter{UserID: user, Since: middle}, "new"},
			{coordinator.TaskFilter{UserID: user, Before: middle}, "old b"},
			{coordinator.TaskFilter{UserID: user, Since: middle, Before: middle}, ""},
			{coordinator.TaskFilter{TreeOf: s.id("old"), Executor: "other_executor"}, "b"},
			{coordinator.TaskFilter{ParentID: s.id("old"), Executor: "other_executor"}, "b"},
			{coordinator.TaskFilter{ParentID: s.id("old"), Executor: "nope"}, ""},
			{coordinator.TaskFilter{ParentID: s.id("old"), Name: s.id("odd")}, "b"},
			{coordinator.TaskFilter{ParentID: s.id("old"), Name: "nope"}, ""},
			{coordinator.TaskFilter{RootOnly: true, UserID: user}, "new old"},
			{coordinator.TaskFilter{RootOnly: true, UserID: user, Name: "new"}, "new"},
			{coordinator.TaskFilter{RootOnly: true, UserID: user, Executor: "other_executor"}, ""},
			{coordinator.TaskFilter{RootOnly: true, UserID: user, States: dag.Held.Set()}, "old"},
			{coordinator.TaskFilter{RootOnly: true, UserID: user, Since: middle}, "new"},
			{coordinator.TaskFilter{RootOnly: true, UserID: user, Before: middle}, "old"},
			{coordinator.TaskFilter{RootOnly: true, UserID: user, Since: middle, Before: middle}, ""},
		} {
			if tt.f.RootOnly && s.lacks("roots") {
				continue
			}
			got := strings.Fields(strings.Join(s.all(tt.f), " "))
			if slices.Sort(got); strings.Join(got, " ") != sorted(tt.want) {
				s.Errorf("%+v: got %q, want %q", tt.f, got, tt.want)
			}
		}
		for _, f := range []coordinator.TaskFilter{{TreeOf: s.id("old"), Since: middle}, {ParentID: s.id("old"), Before: middle}} {
			_, err := s.svc.Tasks(s.Context(), f)
			s.wantFault("a time, where one tree is asked for", err, api.Invalid)
		}
		if s.lacks("Trees") {
			return
		}
		for _, tt := range []struct {
			f    coordinator.TreeFilter
			want string
		}{
			{coordinator.TreeFilter{}, "[new old]"},
			{coordinator.TreeFilter{Since: middle}, "[new]"},
			{coordinator.TreeFilter{Before: middle}, "[old]"},
			{coordinator.TreeFilter{Since: middle, Before: middle}, "[]"},
			{coordinator.TreeFilter{Name: "old"}, "[old]"},
			{coordinator.TreeFilter{Part: "L"}, "[old]"},
			{coordinator.TreeFilter{Part: "ew", Name: "new"}, "[new]"},
			{coordinator.TreeFilter{Part: "%"}, "[]"},
		} {
			tt.f.UserID = user
			page, err := s.svc.Trees(s.Context(), tt.f)
			var got []string
			for _, t := range must(s, page, err).Items {
				got = append(got, strings.TrimPrefix(t.ID, s.prefix))
			}
			if fmt.Sprint(got) != tt.want {
				s.Errorf("trees %+v: got %q, want %s", tt.f, got, tt.want)
			}
		}
	},
	"what a task was submitted with is told on demand": func(s *site) {
		s.has("Tasks", "as submitted")
		t := s.task("root", "")
		t.Retry = dag.RetryPolicy{MaxAttempts: 3, Backoff: dag.Fixed, InitialDelay: time.Second, MaxDelay: time.Minute}
		t.Timeout, t.ScheduleToStart, t.OnLost = time.Minute, time.Hour, dag.FailLost
		t.NotBefore = time.Date(2040, 1, 2, 3, 4, 5, 0, time.UTC)
		s.submit(coordinator.SubmitOptions{Hold: true}, t)
		for _, asSubmitted := range []bool{true, false} {
			page, err := s.svc.Tasks(s.Context(), coordinator.TaskFilter{TreeOf: s.id("root"), AsSubmitted: asSubmitted})
			page = must(s, page, err)
			got := page.Items[0].Options
			got.NotBefore = got.NotBefore.UTC()
			var want coordinator.TaskOptions
			if asSubmitted {
				want.Policy = dag.Policy{Executor: got.Executor, Retry: t.Retry, OnLost: t.OnLost, Timeout: t.Timeout, ScheduleToStart: t.ScheduleToStart,
					NotBefore: t.NotBefore}
			}
			if want.NotBefore = want.NotBefore.UTC(); !reflect.DeepEqual(got, want) {
				s.Errorf("as submitted %t: got %+v, want %+v", asSubmitted, got, want)
			}
		}
	},
}

func sorted(words string) string {
	list := strings.Fields(words)
	slices.Sort(list)
	return strings.Join(list, " ")
}
