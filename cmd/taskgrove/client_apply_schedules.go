package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/internal/applyfile"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// circles tells of schedules of the files whose runs would begin with their own ends.
func (a *applyRun) circles(ctx context.Context) (faults []treefile.Fault, err error) {
	var all []*scheduledoc.Spec
	for _, o := range a.folder.Objects {
		if spec, ok := o.Spec.(*scheduledoc.Spec); ok {
			all = append(all, spec)
		}
	}
	told, err := a.session.circles(ctx, all)
	for _, o := range a.folder.Objects {
		if spec, ok := o.Spec.(*scheduledoc.Spec); ok && told[spec.ID] != "" {
			faults = append(faults, o.Fault("on.schedule", told[spec.ID]))
		}
	}
	return faults, err
}

// scheduleKind are schedules.
var scheduleKind = applyKind{
	name: "schedule",
	list: func(ctx context.Context, s *session) (out []*applied, err error) {
		for one, err := range s.Schedules(ctx, client.ScheduleFilter{Limit: 1000}) {
			if err != nil {
				return nil, err
			}
			is := &applied{name: one.ID, object: one, fields: scheduleFields(one.Schedule)}
			if one.Owner != nil {
				is.owner = *one.Owner
			}
			out = append(out, is)
		}
		return out, nil
	},
	whole: func(ctx context.Context, s *session, is *applied) error {
		one, err := s.Schedule(ctx, is.name) // with its tree
		if err != nil {
			return err
		}
		is.object, is.fields = one, scheduleFields(one.Schedule)
		return nil
	},
	needs: func(want *applyfile.Object, is *applied) string {
		switch {
		case want != nil:
			if on := want.Spec.(*scheduledoc.Spec).On; on != nil {
				return on.Schedule
			}
		case is.object.(*client.ScheduleInfo).On != nil:
			return is.object.(*client.ScheduleInfo).On.Schedule
		}
		return ""
	},
	want: func(_ *session, o *applyfile.Object, is *applied) []applyField {
		return scheduleFields(scheduleWant(o, is))
	},
	hides: func(*applyfile.Object, *applied) bool { return false },
	check: func(ctx context.Context, s *session, c *applyChange, beside []string) ([]treefile.Fault, error) {
		want := scheduleWant(c.want, c.is)
		want.Owner = &c.owner
		var is *client.ScheduleInfo
		if c.is != nil {
			if is = c.is.object.(*client.ScheduleInfo); want.UserID != is.UserID {
				return []treefile.Fault{c.want.Fault("user_id", fmt.Sprintf("the user of a schedule can't be changed, and is %q: delete it, and run apply again", is.UserID))}, nil
			}
		}
		if len(beside) > scheduledoc.MaxBeside { // the one that counts is enough
			beside = slices.DeleteFunc(beside, func(id string) bool { return want.On == nil || id != want.On.Schedule })
		}
		_, err := s.PreviewSchedule(ctx, want, is, beside)
		bad, ok := errors.AsType[*client.InvalidError](err)
		if !ok || len(bad.Faults) == 0 {
			return nil, err
		}
		var faults []treefile.Fault
		for _, one := range bad.Faults {
			faults = append(faults, c.want.Fault(one.Field, strings.TrimPrefix(one.Reason, one.Field+": ")))
		}
		return faults, nil
	},
	put: func(ctx context.Context, s *session, c *applyChange) (string, error) {
		want := scheduleWant(c.want, c.is)
		want.Owner = &c.owner
		var got *client.ScheduleInfo
		var err error
		if c.is == nil {
			got, err = s.CreateSchedule(ctx, want)
		} else {
			got, err = s.UpdateSchedule(ctx, want, c.is.object.(*client.ScheduleInfo).Revision)
		}
		if err != nil || got.Owner == nil {
			return "", err
		}
		return *got.Owner, nil
	},
	drop: func(ctx context.Context, s *session, is *applied) error {
		one := is.object.(*client.ScheduleInfo)
		return s.DeleteScheduleAt(ctx, one.ID, one.Revision)
	},
}

// scheduleWant is the schedule of a file. What it does not say of the pause and the user is as it is there.
func scheduleWant(o *applyfile.Object, is *applied) client.Schedule {
	want := scheduleToSend(o.Spec.(*scheduledoc.Spec))
	if is == nil {
		return want
	}
	there := is.object.(*client.ScheduleInfo)
	if want.Paused == nil {
		want.Paused = there.Paused
	}
	if want.UserID == "" {
		want.UserID = there.UserID
	}
	return want
}

// scheduleKeys are the keys of a schedule, in the order in which they are shown.
var scheduleKeys = []string{"description", "cron", "every", "on", "timezone", "overlap", "misfire_grace", "coalesce", "jitter", "start_at", "end_at", "max_runs", "after_success", "due", "paused",
	"user_id", "labels", "retention", "flow", "parameters", "tree"}

func scheduleFields(s client.Schedule) (out []applyField) {
	raw, err := json.Marshal(plainSchedule(s))
	var values map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(raw, &values)
	}
	if err != nil {
		panic(err) // it was read from JSON
	}
	for _, key := range scheduleKeys {
		out = append(out, applyField{key, plainJSON(values[key])})
	}
	return out
}
