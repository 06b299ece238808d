package apitest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag"
)

// Hold keeps a tree from being deleted.
func (s *Service) Hold(_ context.Context, spec coordinator.HoldSpec) (*coordinator.HoldInfo, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Hold"); err != nil {
		return nil, err
	}
	t, ok := s.tasks[spec.TreeID]
	if !ok {
		return nil, fmt.Errorf("hold %s: %w", spec.TreeID, coordinator.ErrNotFound)
	}
	if t.tree.status.Hold == nil {
		t.tree.status.Hold = &coordinator.HoldInfo{TreeID: t.tree.status.ID, SetBy: coordinator.AnonymousName, SetAt: time.Now().Truncate(time.Microsecond), Reason: spec.Reason}
		s.holds = append(s.holds, t.tree)
	}
	one := *t.tree.status.Hold
	return &one, nil
}

// Release ends the hold of a tree.
func (s *Service) Release(_ context.Context, treeOf string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Release"); err != nil {
		return err
	}
	t, ok := s.tasks[treeOf]
	if !ok || t.tree.status.Hold == nil {
		return fmt.Errorf("release %s: %w", treeOf, coordinator.ErrNotFound)
	}
	t.tree.status.Hold = nil
	s.holds = slices.DeleteFunc(s.holds, func(held *tree) bool { return held == t.tree })
	return nil
}

// Holds lists the trees that are held.
func (s *Service) Holds(_ context.Context, f coordinator.HoldFilter) (coordinator.Page[*coordinator.HoldInfo], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*coordinator.HoldInfo
	for _, held := range s.holds {
		if one := *held.status.Hold; f.UserID == "" || held.status.UserID == f.UserID {
			all = append(all, &one)
		}
	}
	return pageOf(all, f.Limit, f.Cursor)
}

// Erase notes an erasure, which is done at once. Nothing is erased here.
func (s *Service) Erase(_ context.Context, spec coordinator.EraseSpec) (*coordinator.ErasureInfo, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Erase"); err != nil {
		return nil, err
	}
	e := &coordinator.ErasureInfo{UserID: spec.UserID, Cancel: spec.Cancel, AskedBy: coordinator.AnonymousName, AskedAt: time.Now().Truncate(time.Microsecond), Step: "preview",
		Counts: map[string]int64{"trees": 0}}
	if !spec.Preview {
		e.ID, e.Step, e.MovedAt, e.FinishedAt = fmt.Sprint("erasure-", len(s.erasures)+1), "done", e.AskedAt, e.AskedAt
		s.erasures = append(s.erasures, e)
	}
	one := *e
	return &one, nil
}

// Erasure shows an erasure that was noted.
func (s *Service) Erasure(_ context.Context, id string) (*coordinator.ErasureInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.erasures {
		if e.ID == id {
			one := *e
			return &one, nil
		}
	}
	return nil, fmt.Errorf("erasure %s: %w", id, coordinator.ErrNotFound)
}

// Erasures lists those that were noted, the newest first.
func (s *Service) Erasures(_ context.Context, f coordinator.ErasureFilter) (coordinator.Page[*coordinator.ErasureInfo], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.erasures)
	slices.Reverse(all)
	return pageOf(all, f.Limit, f.Cursor)
}

// heldError is the error of whoever would delete or change something of a tree that is held.
func (tr *tree) heldError() error {
	h := tr.status.Hold
	if h == nil {
		return nil
	}
	return &coordinator.HeldError{TreeID: h.TreeID, Since: h.SetAt, Reason: h.Reason}
}

// keeping are the scenarios of [coordinator.TreeKeeper], and of retentions.
var keeping = map[string]func(*site){
	"trees are held, listed and released, and nothing of them is deleted meanwhile": func(s *site) {
		s.has("Hold", "Release", "Holds")
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("root", ""), s.task("below", "root"))
		s.submit(coordinator.SubmitOptions{Hold: true}, s.task("other", ""))
		held, err := s.svc.Hold(s.Context(), coordinator.HoldSpec{TreeID: s.id("below"), Reason: "case 7"})
		if held = must(s, held, err); held.TreeID != s.id("root") || held.Reason != "case 7" || held.SetBy != coordinator.AnonymousName || time.Since(held.SetAt).Abs() > time.Hour {
			s.Errorf("got %+v", *held)
		}
		again, err := s.svc.Hold(s.Context(), coordinator.HoldSpec{TreeID: s.id("root"), Reason: "case 8"})
		if again = must(s, again, err); again.Reason != held.Reason || !again.SetAt.Equal(held.SetAt) {
			s.Errorf("again: got %+v", *again)
		}
		must(s, 0, errOf(s.svc.Hold(s.Context(), coordinator.HoldSpec{TreeID: s.id("other"), Reason: "case 9"})))
		tree, err := s.svc.Tree(s.Context(), s.id("below"))
		if tree = must(s, tree, err); tree.Hold == nil || tree.Hold.TreeID != held.TreeID || tree.Hold.Reason != held.Reason || !tree.Hold.SetAt.Equal(held.SetAt) {
			s.Errorf("its tree: got %+v", tree.Hold)
		}
		if !s.lacks("Delete") {
			_, err := s.svc.Delete(s.Context(), s.id("root"), coordinator.DeleteOptions{Force: true})
			if f := s.wantFault("delete a held tree", err, api.Conflict); f != nil && !strings.Contains(f.Text, "is held") {
				s.Errorf("delete a held tree: got %q", f.Text)
			}
		}
		listed := func() (out []string) {
			s.Helper()
			f := coordinator.HoldFilter{Limit: 1}
			for {
				page, err := s.svc.Holds(s.Context(), f)
				for _, h := range must(s, page, err).Items {
					if strings.HasPrefix(h.TreeID, s.prefix) {
						out = append(out, strings.TrimPrefix(h.TreeID, s.prefix)+" "+h.SetBy+" "+h.Reason)
					}
				}
				if f.Cursor = page.Next; f.Cursor == "" {
					return out
				}
			}
		}
		if got := listed(); !slices.Equal(got, []string{"root anonymous case 7", "other anonymous case 9"}) {
			s.Errorf("listed: %q", got)
		}
		for _, id := range []string{"below", "other"} {
			must(s, 0, s.svc.Release(s.Context(), s.id(id)))
			s.wantFault("release it again", s.svc.Release(s.Context(), s.id(id)), api.NotFound)
		}
		if got := listed(); len(got) != 0 {
			s.Errorf("left: %q", got)
		}
	},
	"a hold that can't be is refused": func(s *site) {
		s.has("Hold")
		_, err := s.svc.Hold(s.Context(), coordinator.HoldSpec{})
		if f := s.wantFault("nothing", err, api.Invalid); f != nil && (!strings.Contains(f.Text, "tree_id: is required") || !strings.Contains(f.Text, "reason: is required")) {
			s.Errorf("got %q", f.Text)
		}
		_, err = s.svc.Hold(s.Context(), coordinator.HoldSpec{TreeID: s.id("none"), Reason: "case 7"})
		s.wantFault("a tree that is not there", err, api.NotFound)
	},
	"what there is of a user is erased, and the receipt says what": func(s *site) {
		s.has("Erase", "Erasure", "Erasures")
		user := s.id("user")
		preview, err := s.svc.Erase(s.Context(), coordinator.EraseSpec{UserID: user, Preview: true})
		if preview = must(s, preview, err); preview.ID != "" || preview.Step != "preview" || preview.UserID != user || !preview.FinishedAt.IsZero() {
			s.Errorf("preview: got %+v", *preview)
		}
		begun, err := s.svc.Erase(s.Context(), coordinator.EraseSpec{UserID: user, Cancel: true})
		if begun = must(s, begun, err); begun.ID == "" || begun.UserID != user || !begun.Cancel || begun.AskedBy != coordinator.AnonymousName || begun.AskedAt.IsZero() {
			s.Fatalf("begun: got %+v", *begun)
		}
		receipt := begun
		for receipt.FinishedAt.IsZero() {
			time.Sleep(20 * time.Millisecond)
			if s.Context().Err() != nil {
				s.Fatal("it is never done")
			}
			next, err := s.svc.Erasure(s.Context(), begun.ID)
			receipt = must(s, next, err)
		}
		if receipt.Step != "done" || receipt.Counts["trees"] != 0 || receipt.MovedAt.IsZero() {
			s.Errorf("receipt: got %+v", *receipt)
		}
		page, err := s.svc.Erasures(s.Context(), coordinator.ErasureFilter{Limit: 1})
		if list := must(s, page, err).Items; len(list) != 1 {
			s.Errorf("listed: got %d", len(list))
		}
		_, err = s.svc.Erasure(s.Context(), s.id("none"))
		s.wantFault("an erasure that is not there", err, api.NotFound)
		_, err = s.svc.Erase(s.Context(), coordinator.EraseSpec{})
		s.wantFault("nobody's", err, api.Invalid)
		_, err = s.svc.Erase(s.Context(), coordinator.EraseSpec{UserID: s.id(strings.Repeat("ü", 200)), Preview: true}) // may have trees
		must(s, preview, err)
		_, err = s.svc.Erase(s.Context(), coordinator.EraseSpec{UserID: strings.Repeat("u", 256), Preview: true})
		s.wantFault("a user of 256 characters", err, api.Invalid)
	},
	"a tree shows how long it is kept": func(s *site) {
		for name, retention := range map[string]time.Duration{"month": 30 * 24 * time.Hour, "plain": 0} {
			root := s.task(name, "")
			root.Retention = retention
			s.submit(coordinator.SubmitOptions{Hold: true}, root)
			tree, err := s.svc.Tree(s.Context(), s.id(name))
			if tree = must(s, tree, err); tree.Retention != retention {
				s.Errorf("%s: got %v", name, tree.Retention)
			}
		}
	},
	"a tree shows the key that it has": func(s *site) {
		for name, u := range map[string]*dag.Unique{"keyed": {Key: s.id("key of it")}, "free": nil} {
			root := s.task(name, "")
			root.Unique = u
			s.submit(coordinator.SubmitOptions{Hold: true}, root)
			tree, err := s.svc.Tree(s.Context(), s.id(name))
			if tree = must(s, tree, err); (u == nil) != (tree.Unique == nil) || u != nil && (tree.Unique.Key != u.Key || !tree.Unique.Until.IsZero()) {
				s.Errorf("%s: got %+v", name, tree.Unique)
			}
		}
	},
	"a tree shows by when it is due": func(s *site) {
		at := time.Date(2300, 1, 2, 3, 4, 5, 0, time.UTC)
		for name, due := range map[string]*dag.Due{"day": {At: at}, "plain": nil} {
			root := s.task(name, "")
			root.Due = due
			s.submit(coordinator.SubmitOptions{Hold: true}, root)
			tree, err := s.svc.Tree(s.Context(), s.id(name))
			if tree = must(s, tree, err); due == nil && !tree.Due.IsZero() || due != nil && !tree.Due.Equal(at) || !tree.Late.IsZero() {
				s.Errorf("%s: got %v, %v", name, tree.Due, tree.Late)
			}
		}
	},
	"a time that a tree can't be due at is refused": func(s *site) {
		root := s.task("root", "")
		root.Due = &dag.Due{After: time.Millisecond}
		_, err := s.trySubmit(coordinator.SubmitOptions{Hold: true}, root)
		s.wantFault("a millisecond", err, api.Invalid)
	},
	"a retention that can't be is refused": func(s *site) {
		root := s.task("root", "")
		root.Retention = time.Second
		_, err := s.trySubmit(coordinator.SubmitOptions{Hold: true}, root)
		s.wantFault("a second", err, api.Invalid)
	},
}

// errOf is the error of a call whose answer does not matter.
func errOf[T any](_ T, err error) error { return err }
