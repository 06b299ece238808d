package pg

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/record"
)

func recordKey(t testing.TB) record.Key {
	t.Helper()
	k, err := record.NewKey(strings.Repeat("k", record.MinKey))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// appendEntries appends n entries, two by two.
func appendEntries(t testing.TB, s *Store, key record.Key, n int) {
	t.Helper()
	for i := 0; i < n; i += 2 {
		details := map[string]string{"é": "<\"\\>", "n": fmt.Sprint(i)}
		if _, err := s.AppendRecord(t.Context(), key, i%4 == 0, []*record.Entry{{Kind: record.Begun, Method: "Cancel", Namespace: "a", Task: "t", Count: 1, Details: details}, {Kind: record.Refused, Count: 7}}); err != nil {
			t.Fatal(err)
		}
	}
}

// recordFaults are the kinds of faults of the record.
func recordFaults(t testing.TB, s *Store, key record.Key, heads ...record.Head) (kinds []string) {
	t.Helper()
	check := record.NewChecker(record.Keys{key}, false, heads...)
	var faults []record.Fault
	for after := int64(0); ; {
		entries, err := s.RecordEntries(t.Context(), after, 3, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			faults = append(faults, check.Add(e)...)
			after = e.Seq
		}
	}
	for _, f := range append(faults, check.End()...) {
		kinds = append(kinds, f.Kind)
	}
	return kinds
}

// TestTamperingWithTheStoredRecordIsFound: by who may write Postgres; a healthy record has no faults, and neither has one that was trimmed.
func TestTamperingWithTheStoredRecordIsFound(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	key := recordKey(t)
	for _, tt := range []struct{ name, sql, want string }{
		{"nothing", "select 1", ""},
		{"an edit", "update audit_record set caller = 'other' where seq = 4", record.FaultEdited},
		{"an edited detail", `update audit_record set details = details || '{"n":"9"}' where seq = 3`, record.FaultEdited},
		{"an edited time", "update audit_record set at = at + interval '1 microsecond' where seq = 4", record.FaultEdited},
		{"a deletion", "delete from audit_record where seq = 4", record.FaultMissing},
		{"a deleted beginning", "delete from audit_record where seq < 4", record.FaultTrimmed},
		{"a cut end", "delete from audit_record where seq > 6", record.FaultHead},
		{"two entries changed round", "update audit_record set seq = case seq when 3 then -4 else -3 end where seq in (3, 4); update audit_record set seq = -seq where seq < 0", record.FaultEdited},
		{"an end without a key", "update audit_record set key = '', hash = sha256(prev) where seq >= 7", record.FaultKey},
	} {
		for _, statement := range []string{"truncate audit_record"} {
			if _, err := s.pool.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		appendEntries(t, s, key, 8)
		head, err := s.RecordHead(t.Context())
		if err != nil || head.Seq != 8 || head.Key != key.ID() {
			t.Fatalf("the head is %+v, %v", head, err)
		}
		for statement := range strings.SplitSeq(tt.sql, ";") {
			if _, err := s.pool.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		if got := recordFaults(t, s, key, head.Head); tt.want == "" && got != nil || tt.want != "" && !slices.Contains(got, tt.want) {
			t.Errorf("%s: found %v, want %q", tt.name, got, tt.want)
		}
	}
}

// TestTheTrimmedRecordHolds: what retention deletes is told of, batch by batch, and the rest can be checked, also when all of it is deleted.
func TestTheTrimmedRecordHolds(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	key := recordKey(t)
	appendEntries(t, s, key, 8)
	trim := func(before time.Time, limit int) int64 {
		gone, err := s.TrimRecord(t.Context(), key, before, limit, &record.Entry{Kind: record.Happened, Method: record.Trimmed, Count: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got := recordFaults(t, s, key); got != nil {
			t.Fatalf("found %v", got)
		}
		return gone
	}
	now := time.Now().Add(time.Hour)
	if got := []int64{trim(time.Now().Add(-time.Hour), 3), trim(now, 3), trim(now, 3), trim(now, 100)}; !slices.Equal(got, []int64{0, 3, 3, 4}) {
		t.Errorf("%v entries were deleted", got)
	}
	head, err := s.RecordHead(t.Context())
	if err != nil || head.Seq != 11 {
		t.Errorf("the head is %+v, %v", head, err)
	}
}

// TestTheKeyBegins: what has no key is followed by an entry that has, once.
func TestTheKeyBegins(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	key := recordKey(t)
	appendEntries(t, s, record.Key{}, 2)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := s.BeginKey(t.Context(), key, &record.Entry{Kind: record.Happened, Method: "Record.Key"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if head, err := s.RecordHead(t.Context()); err != nil || head.Seq != 3 || head.Key != key.ID() {
		t.Errorf("the head is %+v, %v", head, err)
	}
	if got := recordFaults(t, s, key); got != nil {
		t.Errorf("found %v", got)
	}
}

// TestTimesOfTheRecordGoOn: an entry is never before the one that it follows, whatever the clock does.
func TestTimesOfTheRecordGoOn(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	appendEntries(t, s, record.Key{}, 2)
	if _, err := s.pool.Exec(t.Context(), "update audit_record set at = at + interval '1 day'"); err != nil {
		t.Fatal(err)
	}
	appendEntries(t, s, record.Key{}, 2)
	entries, err := s.RecordEntries(t.Context(), 0, 10, nil)
	if err != nil || len(entries) != 4 || entries[3].At.Before(entries[0].At.Time) {
		t.Errorf("got %v, %v", entries, err)
	}
	at, err := s.RecordNumberAt(t.Context(), time.Now().Add(48*time.Hour))
	if err != nil || at != 4 {
		t.Errorf("the last entry is %d, %v", at, err)
	}
}
