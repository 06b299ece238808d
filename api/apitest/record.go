package apitest

import (
	"context"
	"iter"
	"reflect"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
)

// entries are the audit record of a [Service]: a call, its end, and a refusal.
func entries() []coordinator.RecordEntry {
	all := []coordinator.RecordEntry{
		{Kind: "begun", Namespace: "default", Method: "Cancel", Permission: "trees.cancel", Task: "t", Trace: "0af7651916cd43dd8448eb211c80319c", Details: map[string]string{"cascade": "true"}},
		{Kind: "ended", Of: 1, Namespace: "default", Method: "Cancel", Outcome: "failed", Code: "not_found", Error: "it is not there"},
		{Kind: "refused", Namespace: "default", Method: "Delete", Permission: "trees.delete", Outcome: "refused", Code: "denied", Task: "u", Key: "k"},
	}
	for i := range all {
		e := &all[i]
		e.Seq, e.Count, e.Coordinator = int64(i+1), int64(i+1), "c1"
		e.At.Time = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
		e.Caller.Kind, e.Caller.Name, e.Caller.User, e.Caller.Issuer, e.Caller.KeyID, e.Caller.From, e.Caller.Surface = "user", "ann", "a", "i", "k", "10.0.0.1", "grpc"
		e.Prev[0], e.Hash[31] = byte(i), byte(i+1)
	}
	return all
}

// Record shows the calls of a fixed record.
func (s *Service) Record(_ context.Context, f coordinator.RecordFilter) (page coordinator.Page[*coordinator.RecordedCall], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("Record"); err != nil {
		return page, err
	}
	all := entries()
	call := &coordinator.RecordedCall{RecordEntry: all[0], EndedAt: all[1].At.Time}
	call.Outcome, call.Code, call.Error = all[1].Outcome, all[1].Code, all[1].Error
	for _, c := range []*coordinator.RecordedCall{{RecordEntry: all[2]}, call} {
		if f.Task == "" || f.Task == c.Task {
			page.Items = append(page.Items, c)
		}
	}
	return page, nil
}

// ReadRecord gives the entries of the same record.
func (s *Service) ReadRecord(_ context.Context, r coordinator.RecordRange) iter.Seq2[*coordinator.RecordEntry, error] {
	return func(yield func(*coordinator.RecordEntry, error) bool) {
		for _, e := range entries() {
			if e.Seq > r.After && !yield(&e, nil) {
				return
			}
		}
	}
}

// VerifyRecord finds a fault in it.
func (s *Service) VerifyRecord(_ context.Context, heads []coordinator.RecordHead) iter.Seq2[*coordinator.RecordReport, error] {
	return func(yield func(*coordinator.RecordReport, error) bool) {
		report := &coordinator.RecordReport{Entries: 3, Unchecked: 1, Done: true, Faults: []coordinator.RecordFault{{Seq: 2, Kind: "edited", Text: "it was edited"}}}
		report.Head.Seq, report.Head.Hash[0] = 3, 1
		for _, h := range heads {
			report.Faults = append(report.Faults, coordinator.RecordFault{Seq: h.Seq, Kind: "head", Text: h.Hash.String()})
		}
		yield(report, nil)
	}
}

// recording are the scenarios of [coordinator.Recorded].
var recording = map[string]func(*site){
	"the record is shown": func(s *site) {
		s.has("Record")
		want, err := s.backend.Record(s.Context(), coordinator.RecordFilter{Namespace: coordinator.AllNamespaces, Task: "t"})
		want = must(s, want, err)
		got, err := s.svc.Record(s.Context(), coordinator.RecordFilter{Namespace: coordinator.AllNamespaces, Task: "t"})
		if got = must(s, got, err); !reflect.DeepEqual(got, want) {
			s.Errorf("got %+v, want %+v", got.Items, want.Items)
		}
	},
	"entries of the record are read in order": func(s *site) {
		s.has("ReadRecord")
		read := func(svc coordinator.Service) (all []coordinator.RecordEntry) {
			for e, err := range svc.ReadRecord(s.Context(), coordinator.RecordRange{Namespace: coordinator.AllNamespaces, After: 1}) {
				all = append(all, *must(s, e, err))
				if len(all) == 2 {
					break
				}
			}
			return all
		}
		if got, want := read(s.svc), read(s.backend); !reflect.DeepEqual(got, want) || !slices.IsSortedFunc(got, func(a, b coordinator.RecordEntry) int { return int(a.Seq - b.Seq) }) {
			s.Errorf("got %+v, want %+v", got, want)
		}
	},
	"the record is verified": func(s *site) {
		s.has("VerifyRecord")
		last := func(svc coordinator.Service) (out *coordinator.RecordReport) {
			for report, err := range svc.VerifyRecord(s.Context(), []coordinator.RecordHead{{Seq: 1 << 40}}) {
				out = must(s, report, err)
			}
			return out
		}
		got, want := last(s.svc), last(s.backend)
		if got == nil || !got.Done || len(got.Faults) == 0 || !reflect.DeepEqual(got.Faults, want.Faults) {
			s.Errorf("got %+v, want %+v", got, want)
		}
	},
}
