package apitest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
)

// keptSchedule is a schedule in memory. It never fires by itself.
type keptSchedule struct {
	info coordinator.ScheduleInfo
	runs []*coordinator.ScheduleRun
	keys map[string]*coordinator.ScheduleRun // runs by the keys that they were triggered with
}

// schedule is the one of an id. The caller holds mu.
func (s *Service) schedule(id string) (*keptSchedule, error) {
	if of := s.schedules[id]; of != nil {
		return of, nil
	}
	return nil, coordinator.ErrNotFound
}

// CreateSchedule keeps a schedule.
func (s *Service) CreateSchedule(_ context.Context, spec scheduledoc.Spec) (*coordinator.ScheduleInfo, error) {
	now := time.Now().Truncate(time.Microsecond)
	if _, faults := spec.Check(now, now); len(faults) > 0 {
		return nil, &coordinator.ScheduleFaultsError{Faults: faults}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("CreateSchedule"); err != nil {
		return nil, err
	}
	if s.schedules[spec.ID] != nil {
		return nil, fmt.Errorf("%w: there is a schedule of that id", coordinator.ErrConflict)
	}
	if on := spec.On; on != nil && on.Schedule != "" && s.schedules[on.Schedule] == nil && !(spec.Preview && slices.Contains(spec.Beside, on.Schedule)) {
		return nil, &coordinator.ScheduleFaultsError{Faults: []scheduledoc.Fault{{Field: "on.schedule", Reason: fmt.Sprintf("there is no schedule %q", on.Schedule)}}}
	}
	if s.schedules == nil {
		s.schedules = map[string]*keptSchedule{}
	}
	of := &keptSchedule{keys: map[string]*coordinator.ScheduleRun{}, info: coordinator.ScheduleInfo{Spec: spec, Revision: 1, CreatedBy: coordinator.AnonymousName, CreatedAt: now,
		UpdatedBy: coordinator.AnonymousName, UpdatedAt: now}}
	of.info.Owner = ownerOf(spec.Owner, nil)
	of.info.Paused = new(spec.IsPaused())
	if *of.info.Paused {
		of.info.PausedBy, of.info.PausedAt = coordinator.AnonymousName, now
	}
	if spec.On != nil && spec.On.Webhook != nil {
		of.info.WebhookPath = coordinator.PathOfTrigger(coordinator.DefaultNamespace, spec.ID)
	}
	if spec.Preview {
		of.info.Revision = 0
		return of.show(), nil
	}
	s.schedules[spec.ID] = of
	return of.show(), nil
}

func (k *keptSchedule) show() *coordinator.ScheduleInfo {
	one := k.info
	if rules, err := one.Rules(one.CreatedAt); err == nil && !one.IsPaused() {
		one.Next = rules.Upcoming(time.Now())
	}
	return &one
}

// ownerOf is the owner of something that is changed; nil: nobody.
func ownerOf(given, was *string) *string {
	switch {
	case given == nil:
		return was
	case *given == "":
		return nil
	}
	return given
}

// GetSchedule shows a schedule.
func (s *Service) GetSchedule(_ context.Context, id string) (*coordinator.ScheduleInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.schedule(id)
	if err != nil {
		return nil, err
	}
	return of.show(), nil
}

// Schedules lists schedules.
func (s *Service) Schedules(_ context.Context, f coordinator.ScheduleFilter) (coordinator.Page[*coordinator.ScheduleInfo], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*coordinator.ScheduleInfo
	for _, of := range s.schedules {
		if f.UserID == "" || of.info.UserID == f.UserID {
			one := of.show()
			if one.Tree, one.Parameters = nil, nil; one.Flow != nil {
				flow := *one.Flow
				flow.Params, flow.Env, flow.JobOutputs = nil, nil, nil
				one.Flow = &flow
			}
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b *coordinator.ScheduleInfo) int { return cmp.Compare(a.ID, b.ID) })
	return pageOf(all, f.Limit, f.Cursor)
}

// changeSchedule changes a schedule.
func (s *Service) changeSchedule(id string, f func(of *keptSchedule) error) (*coordinator.ScheduleInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.schedule(id)
	if err != nil {
		return nil, err
	}
	if err := f(of); err != nil {
		return nil, err
	}
	of.info.Revision++
	of.info.UpdatedAt, of.info.UpdatedBy = time.Now().Truncate(time.Microsecond), coordinator.AnonymousName
	return of.show(), nil
}

// UpdateSchedule puts another schedule in the place of one.
func (s *Service) UpdateSchedule(_ context.Context, spec scheduledoc.Spec, revision int) (*coordinator.ScheduleInfo, error) {
	now := time.Now()
	is, err := s.changeSchedule(spec.ID, func(of *keptSchedule) error {
		if _, faults := spec.Check(of.info.CreatedAt, now); len(faults) > 0 {
			return &coordinator.ScheduleFaultsError{Faults: faults}
		}
		if revision != 0 && revision != of.info.Revision {
			return fmt.Errorf("%w: the schedule has revision %d", coordinator.ErrConflict, of.info.Revision)
		}
		if spec.Preview {
			return errPreview
		}
		user, owner, paused := of.info.UserID, of.info.Owner, of.info.Paused
		of.info.Spec = spec
		switch {
		case spec.Paused == nil:
			of.info.Paused = paused
		case !*spec.Paused:
			of.info.PausedBy, of.info.PausedAt, of.info.PauseReason = "", time.Time{}, ""
		case !*paused:
			of.info.PausedBy, of.info.PausedAt = coordinator.AnonymousName, now.Truncate(time.Microsecond)
		}
		of.info.UserID, of.info.Owner = user, ownerOf(spec.Owner, owner)
		return nil
	})
	if errors.Is(err, errPreview) {
		s.mu.Lock()
		defer s.mu.Unlock()
		of, err := s.schedule(spec.ID)
		if err != nil {
			return nil, err
		}
		one := *of
		one.info.Spec = spec
		one.info.Paused = cmp.Or(spec.Paused, of.info.Paused)
		return one.show(), nil
	}
	return is, err
}

// errPreview keeps a change from being made.
var errPreview = errors.New("a preview")

// PauseSchedule notes a pause.
func (s *Service) PauseSchedule(_ context.Context, id, reason string) (*coordinator.ScheduleInfo, error) {
	return s.changeSchedule(id, func(of *keptSchedule) error {
		if !of.info.IsPaused() {
			of.info.Paused, of.info.PausedBy, of.info.PausedAt, of.info.PauseReason = new(true), coordinator.AnonymousName, time.Now().Truncate(time.Microsecond), reason
		}
		return nil
	})
}

// ResumeSchedule takes a pause away.
func (s *Service) ResumeSchedule(_ context.Context, id string) (*coordinator.ScheduleInfo, error) {
	return s.changeSchedule(id, func(of *keptSchedule) error {
		of.info.Paused, of.info.PausedBy, of.info.PausedAt, of.info.PauseReason = new(false), "", time.Time{}, ""
		return nil
	})
}

// TriggerSchedule notes a run that is to start.
func (s *Service) TriggerSchedule(_ context.Context, t coordinator.ScheduleTrigger) (run *coordinator.ScheduleRun, err error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	_, err = s.changeSchedule(t.ID, func(of *keptSchedule) error {
		if run = of.keys[t.IdempotencyKey]; run != nil {
			return nil
		}
		now := time.Now().Truncate(time.Microsecond)
		run = &coordinator.ScheduleRun{Schedule: t.ID, Kind: "trigger", FireTime: now, Status: "due", Count: 1, DecidedAt: now, StartedAt: now}
		of.runs = append(of.runs, run)
		if t.IdempotencyKey != "" {
			of.keys[t.IdempotencyKey] = run
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	one := *run
	return &one, nil
}

// BackfillSchedule counts the instants of a range.
func (s *Service) BackfillSchedule(_ context.Context, b coordinator.ScheduleBackfill) (*coordinator.ScheduleBackfill, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	out := b
	_, err := s.changeSchedule(b.ID, func(of *keptSchedule) error {
		rules, err := of.info.Rules(of.info.CreatedAt)
		if err != nil {
			return err
		}
		out.Key, out.Instants, out.MaxConcurrent, out.Parameters = 1, b.Count(rules), max(1, b.MaxConcurrent), nil
		if out.Instants == 0 {
			return &coordinator.InvalidArgumentError{Field: "from", Reason: "the schedule has no instant from there up to to"}
		}
		return nil
	})
	return &out, err
}

// RenewScheduleSecret notes when a secret was made.
func (s *Service) RenewScheduleSecret(_ context.Context, r coordinator.SecretRenewal) (out *coordinator.ScheduleSecret, err error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.schedule(r.ID)
	if err != nil {
		return nil, err
	}
	if of.info.On == nil || of.info.On.Webhook == nil {
		return nil, fmt.Errorf("%w: the schedule has no webhook", coordinator.ErrConflict)
	}
	out = &coordinator.ScheduleSecret{Path: of.info.WebhookPath, At: time.Now().Truncate(time.Microsecond)}
	if r.Secret == "" {
		out.Secret = "whsec_" + strings.Repeat("AAAA", 8)
	}
	if r.Keep > 0 && !of.info.SecretAt.IsZero() {
		out.Until = out.At.Add(r.Keep)
	}
	of.info.SecretAt, of.info.SecretUntil = out.At, out.Until
	return out, nil
}

// TakeEvent takes nothing: no call is signed here.
func (s *Service) TakeEvent(_ context.Context, e coordinator.ScheduleEvent) (*coordinator.ScheduleRun, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	return nil, coordinator.ErrUnsigned
}

// DeleteSchedule forgets a schedule.
func (s *Service) DeleteSchedule(_ context.Context, id string, revision int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.schedule(id)
	if err != nil {
		return err
	}
	if revision != 0 && revision != of.info.Revision {
		return errChanged
	}
	for _, other := range s.schedules {
		if other.info.On != nil && other.info.On.Schedule == id {
			return fmt.Errorf("%w: the runs of %s begin with its ends", coordinator.ErrConflict, other.info.ID)
		}
	}
	delete(s.schedules, id)
	return nil
}

// ScheduleRuns lists what was triggered, the latest first.
func (s *Service) ScheduleRuns(_ context.Context, f coordinator.ScheduleRunFilter) (page coordinator.Page[*coordinator.ScheduleRun], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.schedule(f.ID)
	if err != nil {
		return page, err
	}
	runs := slices.Clone(of.runs)
	slices.Reverse(runs)
	return pageOf(runs, f.Limit, f.Cursor)
}

// AddRun has a schedule have a run, as if it had ended.
func (s *Service) AddRun(id string, run coordinator.ScheduleRun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	run.Schedule, run.TreeID = id, cmp.Or(run.TreeID, uuid.NewString())
	s.schedules[id].runs = append(s.schedules[id].runs, &run)
}

// sameJSON compares values, however they are written.
func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// yearly is a schedule of the site that fires on 1 January of each year.
func (s *site) yearly(name string) scheduledoc.Spec {
	return scheduledoc.Spec{ID: s.id(name), Cron: "0 2 1 1 *", Timezone: "Europe/Berlin", Tree: []byte(`[{"name":"report","schemas":{"method":"noop_executor"}}]`)}
}

// firing are the scenarios of [coordinator.Scheduler].
var firing = map[string]func(*site){
	"a schedule is shown as it was written": func(s *site) {
		s.has("CreateSchedule", "GetSchedule", "UpdateSchedule")
		spec := s.yearly("a")
		start, end, no := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2056, 1, 1, 0, 0, 0, 0, time.UTC), false
		spec.Description, spec.Overlap, spec.MisfireGrace, spec.Jitter, spec.Coalesce = "once a year", "queue_one", "1h", "90", &no
		spec.StartAt, spec.EndAt, spec.MaxRuns, spec.Due, spec.Parameters = &start, &end, 7, "06:00", []byte(`{"day":"{{schedule.local_date}}"}`)
		spec.Labels, spec.Retention = map[string]string{"of": "a"}, "30d"
		made, err := s.svc.CreateSchedule(s.Context(), spec)
		made = must(s, made, err)
		got, err := s.svc.GetSchedule(s.Context(), spec.ID)
		got = must(s, got, err)
		for _, one := range []*coordinator.ScheduleInfo{made, got} {
			text, want := one.Stored(), spec.Stored()
			if string(text) != string(want) || !sameJSON(one.Tree, spec.Tree) || !sameJSON(one.Parameters, spec.Parameters) || one.Labels["of"] != "a" || one.ID != spec.ID {
				s.Errorf("got %s %s %s %v, want %s", text, one.Tree, one.Parameters, one.Labels, want)
			}
			if one.Revision != 1 || one.CreatedAt.IsZero() || one.Next.IsZero() || one.Next.UTC().Format("01-02 15:04") != "01-01 01:00" || one.Runs != 0 || !one.PausedAt.IsZero() {
				s.Errorf("got revision %d of %v, next %v, %d runs, paused %v", one.Revision, one.CreatedAt, one.Next, one.Runs, one.PausedAt)
			}
		}
		spec.Every, spec.Cron, spec.Timezone, spec.AfterSuccess, spec.Overlap, spec.StartAt, spec.EndAt, spec.Coalesce = "1h30m", "", "", true, "", nil, nil, nil
		changed, err := s.svc.UpdateSchedule(s.Context(), spec, 1)
		if changed = must(s, changed, err); changed.Revision != 2 || changed.Every != "1h30m" || changed.Cron != "" || !changed.AfterSuccess || changed.StartAt != nil {
			s.Errorf("changed: %+v", changed.Spec)
		}
		_, err = s.svc.UpdateSchedule(s.Context(), spec, 1)
		s.wantFault("an old revision", err, api.Conflict)
		spec.ID = s.id("b")
		_, err = s.svc.UpdateSchedule(s.Context(), spec, 0)
		s.wantFault("one that is not there", err, api.NotFound)
	},
	"schedules are listed by id, and deleted": func(s *site) {
		s.has("CreateSchedule", "Schedules", "DeleteSchedule", "GetSchedule")
		user := s.id("user")
		for _, name := range []string{"c", "a", "b"} {
			spec := s.yearly(name)
			spec.UserID = user
			_, err := s.svc.CreateSchedule(s.Context(), spec)
			must(s, 0, err)
		}
		_, err := s.svc.CreateSchedule(s.Context(), s.yearly("a"))
		s.wantFault("an id that is there", err, api.Conflict)
		var got []string
		for f := (coordinator.ScheduleFilter{UserID: user, Limit: 2}); ; {
			page, err := s.svc.Schedules(s.Context(), f)
			for _, one := range must(s, page, err).Items {
				if got = append(got, one.ID); one.Tree != nil || one.UserID != user {
					s.Errorf("listed: %+v", one.Spec)
				}
			}
			if f.Cursor = page.Next; f.Cursor == "" {
				break
			}
		}
		if want := []string{s.id("a"), s.id("b"), s.id("c")}; !slices.Equal(got, want) {
			s.Errorf("got %q, want %q", got, want)
		}
		owner, nobody := "team/a", ""
		owned := s.yearly("owned")
		owned.Owner = &owner
		kept, err := s.svc.CreateSchedule(s.Context(), owned)
		if kept = must(s, kept, err); kept.Owner == nil || *kept.Owner != owner {
			s.Errorf("made with the owner %v", kept.Owner)
		}
		owned.Owner = nil
		kept, err = s.svc.UpdateSchedule(s.Context(), owned, 1)
		if kept = must(s, kept, err); kept.Owner == nil || *kept.Owner != owner {
			s.Errorf("changed: the owner is %v", kept.Owner)
		}
		s.wantFault("delete it as it was before", s.svc.DeleteSchedule(s.Context(), owned.ID, 1), api.Conflict)
		owned.Owner = &nobody
		kept, err = s.svc.UpdateSchedule(s.Context(), owned, 2)
		if kept = must(s, kept, err); kept.Owner != nil {
			s.Errorf("given up: the owner is %v", *kept.Owner)
		}
		must(s, 0, s.svc.DeleteSchedule(s.Context(), owned.ID, 3))
		must(s, 0, s.svc.DeleteSchedule(s.Context(), s.id("a"), 0))
		s.wantFault("delete it again", s.svc.DeleteSchedule(s.Context(), s.id("a"), 0), api.NotFound)
		_, err = s.svc.GetSchedule(s.Context(), s.id("a"))
		s.wantFault("get it", err, api.NotFound)
	},
	"all that is wrong with a schedule is told at once": func(s *site) {
		s.has("CreateSchedule", "GetSchedule")
		spec := s.yearly("bad")
		spec.Cron, spec.Timezone, spec.Overlap, spec.Due = "61 2 * * *", "Mars/Olympus", "maybe", "25:00"
		_, err := s.svc.CreateSchedule(s.Context(), spec)
		f := s.wantFault("a schedule with faults", err, api.Invalid)
		if f == nil {
			return
		}
		told := f.Text
		for _, p := range f.Problems {
			told += "\n" + p.Field + ": " + p.Reason
		}
		for _, part := range []string{`cron: minute "61"`, `timezone: "Mars/Olympus"`, "overlap: must be skip, queue_one, allow or cancel_other", "due: "} {
			if !strings.Contains(told, part) {
				s.Errorf("got %s, want %s", told, part)
			}
		}
		_, err = s.svc.GetSchedule(s.Context(), spec.ID)
		s.wantFault("get it", err, api.NotFound)
	},
	"a preview stores nothing": func(s *site) {
		s.has("CreateSchedule", "UpdateSchedule", "GetSchedule")
		first := s.yearly("first")
		then := s.yearly("then")
		then.Cron, then.Timezone, then.On, then.Preview = "", "", &scheduledoc.On{Schedule: first.ID}, true
		_, err := s.svc.CreateSchedule(s.Context(), then)
		if f := s.wantFault("without what it begins with", err, api.Invalid); f != nil && !strings.Contains(fmt.Sprint(f.Text, f.Problems), "there is no schedule") {
			s.Errorf("got %+v", f)
		}
		then.Beside = []string{"x", first.ID}
		shown, err := s.svc.CreateSchedule(s.Context(), then)
		if shown = must(s, shown, err); shown.ID != then.ID || shown.Revision != 0 || shown.IsPaused() {
			s.Errorf("got %+v", shown)
		}
		_, err = s.svc.GetSchedule(s.Context(), then.ID)
		s.wantFault("get it", err, api.NotFound)
		_, err = s.svc.CreateSchedule(s.Context(), first)
		must(s, 0, err)
		first.Preview, first.Description = true, "otherwise"
		_, err = s.svc.CreateSchedule(s.Context(), first)
		s.wantFault("an id that is there", err, api.Conflict)
		_, err = s.svc.UpdateSchedule(s.Context(), first, 7)
		s.wantFault("another revision", err, api.Conflict)
		shown, err = s.svc.UpdateSchedule(s.Context(), first, 1)
		if shown = must(s, shown, err); shown.Description != "otherwise" {
			s.Errorf("got %+v", shown)
		}
		got, err := s.svc.GetSchedule(s.Context(), first.ID)
		if got = must(s, got, err); got.Description != "" || got.Revision != 1 {
			s.Errorf("the preview has changed it: %+v", got)
		}
	},
	"a schedule is paused, triggered and resumed": func(s *site) {
		s.has("CreateSchedule", "UpdateSchedule", "PauseSchedule", "ResumeSchedule", "TriggerSchedule", "ScheduleRuns")
		spec := s.yearly("p")
		_, err := s.svc.CreateSchedule(s.Context(), spec)
		must(s, 0, err)
		paused, err := s.svc.PauseSchedule(s.Context(), spec.ID, "the year is over")
		if paused = must(s, paused, err); !paused.IsPaused() || paused.PausedAt.IsZero() || paused.PauseReason != "the year is over" || !paused.Next.IsZero() {
			s.Errorf("paused: %+v", paused)
		}
		spec.Description = "changed"
		changed, err := s.svc.UpdateSchedule(s.Context(), spec, 0)
		if changed = must(s, changed, err); !changed.IsPaused() || !changed.PausedAt.Equal(paused.PausedAt) || changed.PauseReason != paused.PauseReason || changed.Description != "changed" {
			s.Errorf("changed without a word of the pause: %+v", changed)
		}
		ask := coordinator.ScheduleTrigger{ID: spec.ID, Parameters: []byte(`{"day":"x"}`), IdempotencyKey: "k"}
		first, err := s.svc.TriggerSchedule(s.Context(), ask)
		first = must(s, first, err)
		again, err := s.svc.TriggerSchedule(s.Context(), ask)
		if again = must(s, again, err); !again.FireTime.Equal(first.FireTime) || first.Kind != "trigger" || first.Schedule != spec.ID || first.Count != 1 || first.DecidedAt.IsZero() {
			s.Errorf("triggered %+v, then %+v", first, again)
		}
		ask.IdempotencyKey = ""
		_, err = s.svc.TriggerSchedule(s.Context(), ask)
		must(s, 0, err)
		var n int
		for f := (coordinator.ScheduleRunFilter{ID: spec.ID, Limit: 1}); ; {
			page, err := s.svc.ScheduleRuns(s.Context(), f)
			n += len(must(s, page, err).Items)
			if f.Cursor = page.Next; f.Cursor == "" {
				break
			}
		}
		if n != 2 {
			s.Errorf("%d runs", n)
		}
		resumed, err := s.svc.ResumeSchedule(s.Context(), spec.ID)
		if resumed = must(s, resumed, err); resumed.IsPaused() || !resumed.PausedAt.IsZero() || resumed.PauseReason != "" || resumed.Next.IsZero() {
			s.Errorf("resumed: %+v", resumed)
		}
		for _, pause := range []bool{true, false} {
			spec.Paused = &pause
			changed, err := s.svc.UpdateSchedule(s.Context(), spec, 0)
			if changed = must(s, changed, err); changed.IsPaused() != pause || changed.PausedAt.IsZero() == pause || changed.Next.IsZero() != pause {
				s.Errorf("changed with paused: %t: %+v", pause, changed)
			}
		}
		ask.Overlap, ask.Parameters = "sometimes", []byte(`[1]`)
		_, err = s.svc.TriggerSchedule(s.Context(), ask)
		if f := s.wantFault("a trigger with faults", err, api.Invalid); f != nil && (!strings.Contains(f.Text, "overlap: must be") || !strings.Contains(f.Text, "parameters: must be an object")) {
			s.Errorf("got %s", f.Text)
		}
	},
	"a range of instants is run again": func(s *site) {
		s.has("CreateSchedule", "BackfillSchedule")
		spec := s.yearly("b")
		_, err := s.svc.CreateSchedule(s.Context(), spec)
		must(s, 0, err)
		ask := coordinator.ScheduleBackfill{ID: spec.ID, From: time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), MaxConcurrent: 3}
		done, err := s.svc.BackfillSchedule(s.Context(), ask)
		if done = must(s, done, err); done.Instants != 10 || done.Key == 0 {
			s.Errorf("got %+v", done)
		}
		ask.To = ask.From
		_, err = s.svc.BackfillSchedule(s.Context(), ask)
		s.wantFault("an empty range", err, api.Invalid)
		ask.ID, ask.To = s.id("nobodys"), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		_, err = s.svc.BackfillSchedule(s.Context(), ask)
		s.wantFault("one that is not there", err, api.NotFound)
	},
	"what begins with ends of another is shown so": func(s *site) {
		s.has("CreateSchedule", "DeleteSchedule")
		first := s.yearly("first")
		_, err := s.svc.CreateSchedule(s.Context(), first)
		must(s, 0, err)
		then := s.yearly("then")
		then.Cron, then.Timezone, then.On = "", "", &scheduledoc.On{Schedule: first.ID, Outcome: []string{"completed", "failed"}}
		made, err := s.svc.CreateSchedule(s.Context(), then)
		if made = must(s, made, err); made.On == nil || made.On.Schedule != first.ID || !slices.Equal(made.On.Outcome, then.On.Outcome) || !made.Next.IsZero() {
			s.Errorf("got %+v", made.Spec.On)
		}
		s.wantFault("delete what it begins with", s.svc.DeleteSchedule(s.Context(), first.ID, 0), api.Conflict)
	},
	"a schedule of a flow is shown as it was written": func(s *site) {
		s.has("CreateSchedule")
		spec := s.yearly("of-flow")
		spec.Tree, spec.Flow = nil, &scheduledoc.Flow{ID: spec.ID, Version: 3, Job: "a", Params: []byte(`{"day":"{{schedule.local_date}}"}`), Env: map[string]string{"REGION": "eu"}, Priority: new(1), Timeout: 90.5, NoDeps: true, JobOutputs: []string{"first.k=5"}}
		spec.Preview, spec.BesideFlows = true, []string{spec.ID} // the flow is to be there, too
		made, err := s.svc.CreateSchedule(s.Context(), spec)
		made = must(s, made, err)
		if f := made.Flow; f == nil || f.ID != spec.ID || f.Version != 3 || f.Job != "a" || !sameJSON(f.Params, spec.Flow.Params) || f.Env["REGION"] != "eu" || f.Priority == nil || *f.Priority != 1 || f.Timeout != 90.5 || !f.NoDeps || !slices.Equal(f.JobOutputs, spec.Flow.JobOutputs) || len(made.Tree) > 0 || len(made.Parameters) > 0 {
			s.Errorf("got %+v with the tree %s and parameters %s", made.Flow, made.Tree, made.Parameters)
		}
		spec.ID, spec.Flow = s.id("both"), &scheduledoc.Flow{Version: -1}
		_, err = s.svc.CreateSchedule(s.Context(), spec)
		s.wantFault("a flow without an id", err, api.Invalid)
	},
	"what begins by a webhook has secrets that are shown once": func(s *site) {
		s.has("CreateSchedule", "GetSchedule", "RenewScheduleSecret")
		spec := s.yearly("hooked")
		spec.Cron, spec.Timezone, spec.On = "", "", &scheduledoc.On{Webhook: scheduledoc.NewWebhook(map[string]string{"day": "report.day"}, "90")}
		made, err := s.svc.CreateSchedule(s.Context(), spec)
		made = must(s, made, err)
		if on := made.On; on == nil || on.Webhook == nil || on.Webhook.Parameters["day"] != "report.day" || on.Webhook.Tolerance != "90" || !strings.HasPrefix(made.WebhookPath, coordinator.TriggerPath) || !made.SecretAt.IsZero() {
			s.Errorf("got %+v, path %q, secret of %v", made.On, made.WebhookPath, made.SecretAt)
		}
		first, err := s.svc.RenewScheduleSecret(s.Context(), coordinator.SecretRenewal{ID: spec.ID, Keep: time.Hour})
		if first = must(s, first, err); !strings.HasPrefix(first.Secret, "whsec_") || first.Path != made.WebhookPath || first.At.IsZero() || !first.Until.IsZero() {
			s.Errorf("got a secret of %d bytes, path %q, made at %v, until %v", len(first.Secret), first.Path, first.At, first.Until)
		}
		second, err := s.svc.RenewScheduleSecret(s.Context(), coordinator.SecretRenewal{ID: spec.ID, Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Keep: time.Hour})
		if second = must(s, second, err); second.Secret != "" || second.Until.Sub(second.At).Round(time.Second) != time.Hour {
			s.Errorf("one that is given is shown again, or the first does not count for an hour: until %v", second.Until)
		}
		shown, err := s.svc.GetSchedule(s.Context(), spec.ID)
		if shown = must(s, shown, err); !shown.SecretAt.Equal(second.At) || !shown.SecretUntil.Equal(second.Until) {
			s.Errorf("shown: made at %v, until %v", shown.SecretAt, shown.SecretUntil)
		}
		_, err = s.svc.RenewScheduleSecret(s.Context(), coordinator.SecretRenewal{ID: spec.ID, Secret: "hunter2"})
		if f := s.wantFault("a bad secret", err, api.Invalid); f != nil && strings.Contains(f.Text, "hunter2") {
			s.Errorf("the secret is told: %s", f.Text)
		}
		other := s.yearly("timed")
		_, err = s.svc.CreateSchedule(s.Context(), other)
		must(s, 0, err)
		_, err = s.svc.RenewScheduleSecret(s.Context(), coordinator.SecretRenewal{ID: other.ID})
		s.wantFault("a schedule without a webhook", err, api.Conflict)
		_, err = s.svc.RenewScheduleSecret(s.Context(), coordinator.SecretRenewal{ID: s.id("nobodys")})
		s.wantFault("one that is not there", err, api.NotFound)
	},
}
