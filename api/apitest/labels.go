package apitest

import (
	"fmt"
	"strings"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// labelling are the scenarios of labels of trees, and of own keys.
var labelling = map[string]func(*site){
	"trees are found by their labels, page by page": func(s *site) {
		s.has("labels")
		team := s.id("team")
		for _, tree := range []struct {
			name   string
			labels map[string]string
		}{
			{"none", nil}, {"one", map[string]string{"team": team}}, {"both", map[string]string{"team": team, "example.org/env": "prod"}},
			{"other", map[string]string{"team": team + "-2", "example.org/env": "prod"}}, {"last", map[string]string{"team": team, "example.org/env": "test"}},
		} {
			root := s.task(tree.name, "")
			root.Labels = tree.labels
			s.submit(coordinator.SubmitOptions{Hold: true}, root)
		}
		for _, tt := range []struct {
			labels map[string]string
			want   string
		}{
			{map[string]string{"team": team}, "last both one"},
			{map[string]string{"team": team, "example.org/env": "prod"}, "both"},
			{map[string]string{"team": team, "example.org/env": ""}, "last both"},
			{map[string]string{"team": team, "nope": ""}, ""},
			{map[string]string{"team": s.id("nobody")}, ""},
		} {
			if got := s.trees(coordinator.TreeFilter{Labels: tt.labels}); got != tt.want && !s.lacks("Trees") {
				s.Errorf("labels %v: got %q, want %q", tt.labels, got, tt.want)
			}
			if s.lacks("roots") {
				continue
			}
			if got := strings.Join(s.all(coordinator.TaskFilter{RootOnly: true, Labels: tt.labels}), " "); got != tt.want {
				s.Errorf("roots with labels %v: got %q, want %q", tt.labels, got, tt.want)
			}
		}
		root, err := s.svc.Task(s.Context(), s.id("both"))
		if got := must(s, root, err).Labels; len(got) != 2 || got["team"] != team || got["example.org/env"] != "prod" {
			s.Errorf("a root shows the labels %v", got)
		}
		if s.lacks("Trees") {
			return
		}
		if got := s.trees(coordinator.TreeFilter{Labels: map[string]string{"team": team}, Name: "both"}); got != "both" {
			s.Errorf("with labels and a name: got %q", got)
		}
		if got := s.trees(coordinator.TreeFilter{Labels: map[string]string{"team": team}, Running: true}); got != "" {
			s.Errorf("those with labels that run: got %q", got)
		}
		tree, err := s.svc.Tree(s.Context(), s.id("both"))
		if got := must(s, tree, err).Labels; len(got) != 2 || got["team"] != team {
			s.Errorf("its tree shows the labels %v", got)
		}
	},
	"labels of the submission win over those of its root": func(s *site) {
		s.has("Trees", "labels")
		root := s.task("root", "")
		root.Labels = map[string]string{"a": "root", "b": "root"}
		s.submit(coordinator.SubmitOptions{Hold: true, Labels: map[string]string{"a": "given", "c": "given"}}, root, s.task("child", "root"))
		tree, err := s.svc.Tree(s.Context(), s.id("root"))
		if got := fmt.Sprint(must(s, tree, err).Labels); got != "map[a:given b:root c:given]" {
			s.Errorf("got %s", got)
		}
	},
	"what can't be a label is refused, and named": func(s *site) {
		s.has("Trees", "labels")
		bad, child := s.task("bad", ""), s.task("child", "bad")
		bad.Labels, child.Labels = map[string]string{"a b": "x"}, map[string]string{"a": "x"}
		_, err := s.trySubmit(coordinator.SubmitOptions{Hold: true}, bad, child)
		fault := s.wantFault("labels with faults", err, api.Invalid)
		fields := ""
		for _, p := range fault.Problems {
			fields += p.Field + " "
		}
		if len(fault.Problems) > 0 && strings.Count(fields, "labels") != 2 {
			s.Errorf("got the fields %q, want labels twice", fields)
		}
		_, err = s.trySubmit(coordinator.SubmitOptions{Hold: true, Labels: map[string]string{"": "x"}}, s.task("bad", ""))
		s.wantFault("an empty key", err, api.Invalid)
		_, err = s.svc.Trees(s.Context(), coordinator.TreeFilter{Labels: map[string]string{"": "x"}})
		s.wantFault("a filter with an empty key", err, api.Invalid)
		if _, err = s.svc.Task(s.Context(), s.id("bad")); err == nil {
			s.Error("a tree with faults was stored")
		}
	},
	"tasks are found by keys of their own": func(s *site) {
		s.has("Tasks", "custom")
		mine := s.id("p")
		for _, t := range []struct{ name, custom string }{
			{"text", `{"project":"` + mine + `","n":7}`}, {"none", ""}, {"number", `{"project":"` + mine + `","n":"7"}`}, {"other", `{"project":"x","n":7}`},
		} {
			task := s.task(t.name, "")
			task.Custom = []byte(t.custom)
			if t.custom == "" {
				task.Custom = nil
			}
			s.submit(coordinator.SubmitOptions{Hold: true}, task)
		}
		for _, tt := range []struct {
			custom map[string]string
			want   string
		}{
			{map[string]string{"project": mine}, "number text"},
			{map[string]string{"project": mine, "n": "7"}, "number text"},
			{map[string]string{"project": mine, "m": "7"}, ""},
			{map[string]string{"project": mine + "x"}, ""},
		} {
			for _, rootOnly := range []bool{false, true} {
				if rootOnly && s.lacks("roots") {
					continue
				}
				if got := strings.Join(s.all(coordinator.TaskFilter{Custom: tt.custom, RootOnly: rootOnly}), " "); got != tt.want {
					s.Errorf("own keys %v, roots only %t: got %q, want %q", tt.custom, rootOnly, got, tt.want)
				}
			}
		}
	},
}

// trees are the names of the trees that the filter selects, read in pages of two.
func (s *site) trees(f coordinator.TreeFilter) string {
	s.Helper()
	if s.lacks("Trees") {
		return ""
	}
	var names []string
	for f.Limit = 2; ; {
		page, err := s.svc.Trees(s.Context(), f)
		for _, t := range must(s, page, err).Items {
			names = append(names, strings.TrimPrefix(t.ID, s.prefix))
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return strings.Join(names, " ")
		}
	}
}
