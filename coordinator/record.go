package coordinator

import (
	"context"
	"iter"
	"os"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/internal/record"
)

// Recorded shows the audit record: who asked for which change, who was refused what, and how it ended.
type Recorded interface {
	// Record lists calls and events, newest first, each with how it ended.
	Record(ctx context.Context, f RecordFilter) (Page[*RecordedCall], error)
	// ReadRecord gives entries as they are chained, oldest first, and with Follow those that come. It ends after an error.
	ReadRecord(ctx context.Context, r RecordRange) iter.Seq2[*RecordEntry, error]
	// VerifyRecord checks the chain of all entries, and that it has the heads given, which were noted elsewhere. It yields a report every so often;
	// that of the end is Done. It ends after an error.
	VerifyRecord(ctx context.Context, heads []RecordHead) iter.Seq2[*RecordReport, error]
}

// The form of the record, which surfaces and checkers share.
type (
	// RecordEntry is one entry of the record.
	RecordEntry = record.Entry
	// RecordHead is an entry and its hash.
	RecordHead = record.Head
	// RecordFault is what is wrong with the chain.
	RecordFault = record.Fault
	// RecordKeys are the keys of hashes.
	RecordKeys = record.Keys
	// RecordOutcome says how a call ended.
	RecordOutcome = record.Outcome
)

// ParseRecordKeys reads the keys of the record's hashes, one a line; the first one makes new hashes.
func ParseRecordKeys(text string) (RecordKeys, error) { return record.ParseKeys(text) }

// ParseRecordHead reads SEQ:HASH.
func ParseRecordHead(text string) (RecordHead, error) { return record.ParseHead(text) }

// RecordFilter selects calls and events of the record; zero fields don't filter.
type RecordFilter struct {
	Namespace string // empty: that of the call; [AllNamespaces]: each, and what is the cluster's
	Caller    string // its name
	Method    string
	Outcome   RecordOutcome
	Task      string
	Since     time.Time // at that time or later
	Before    time.Time // before it
	Limit     int       // default 100, at most 1000
	Cursor    string
}

// RecordedCall is a call or event of the record. Outcome, Code, Error and Details are as its end has them, if there is one.
type RecordedCall struct {
	RecordEntry
	EndedAt time.Time // zero: no entry says that it ended
}

// RecordRange selects entries of the record; zero fields don't.
type RecordRange struct {
	Namespace string // as in [RecordFilter]
	After     int64  // only entries with a greater number
	Since     time.Time
	Before    time.Time // not with Follow
	Follow    bool      // then also those that come, until the caller ends it
}

// RecordReport says how far a check of the record has come, and what it found since the report before.
type RecordReport struct {
	Entries   int64
	Unchecked int64      // of these: their hashes are by keys that this coordinator has not, so that only their links were checked
	Head      RecordHead // the last entry that was checked: to be noted
	Faults    []RecordFault
	Done      bool
}

// RecordConfig says what is recorded, and for how long.
type RecordConfig struct {
	On        bool
	Retention time.Duration // how long entries are kept; 0: for ever
	Keys      RecordKeys    // of the hashes; none: who can write Postgres can rewrite the record
	// Mirror is a file to which this coordinator appends the entries that it made, as lines of JSON, or "-" for standard output; empty: nowhere.
	Mirror string
}

func (g *guarded) Record(ctx context.Context, f RecordFilter) (Page[*RecordedCall], error) {
	return ask(ctx, g, Call{Method: "Record", Namespace: f.Namespace}, func() (Page[*RecordedCall], error) { return g.next.Record(ctx, f) })
}

func (g *guarded) ReadRecord(ctx context.Context, r RecordRange) iter.Seq2[*RecordEntry, error] {
	return follow(ctx, g, Call{Method: "ReadRecord", Namespace: r.Namespace}, func() iter.Seq2[*RecordEntry, error] { return g.next.ReadRecord(ctx, r) })
}

func (g *guarded) VerifyRecord(ctx context.Context, heads []RecordHead) iter.Seq2[*RecordReport, error] {
	return follow(ctx, g, Call{Method: "VerifyRecord"}, func() iter.Seq2[*RecordReport, error] { return g.next.VerifyRecord(ctx, heads) })
}

// Check says whether the record can be mirrored as configured.
func (cfg RecordConfig) Check() error {
	if !cfg.On || cfg.Mirror == "" || cfg.Mirror == "-" {
		return nil
	}
	f, err := os.OpenFile(cfg.Mirror, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// Changes are the methods of [Service] that may change something, sorted.
func Changes() (names []string) {
	for name, how := range methods {
		if how.changes {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
