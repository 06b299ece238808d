package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// AuditCaller is who made a call.
type AuditCaller struct {
	Kind    string // anonymous, user, key or machine
	Name    string
	User    string // the owner that it spoke for
	Issuer  string // of its token, certificate or key
	KeyID   string // of its API key
	From    string // the address that it came from
	Surface string // by which it came
}

// AuditEntry is one entry of the audit record. docs/audit.md describes its fields, and the hash over them.
type AuditEntry struct {
	Seq         int64 // from 1, without gaps
	At          time.Time
	Kind        string // begun, ended, refused or event
	Of          int64  // of an end: the entry that it ends
	Namespace   string // empty: of the cluster
	Method      string
	Permission  string
	Outcome     string // done, failed or refused; in a list also unknown
	Code        string
	Error       string
	Caller      AuditCaller
	Task        string
	Trace       string
	Count       int64 // how many calls it stands for
	Coordinator string
	Details     map[string]string
	Key         string   // the id of the key of the hash; empty: it has none
	Prev, Hash  [32]byte // the hash of the entry before, and its own
}

// AuditCall is a call or event of the record: Outcome, Code, Error and Details are as its end has them.
type AuditCall struct {
	AuditEntry
	EndedAt time.Time // zero: no entry says that it ended
}

// AuditFilter selects calls and events of the record; zero fields don't filter.
type AuditFilter struct {
	Namespace string // empty: that of the call; *: each, and what is the cluster's
	Caller    string // its name
	Method    string
	Outcome   string // done, failed, refused, unknown
	Task      string
	Since     time.Time
	Before    time.Time
	PageSize  int    // how many are asked for at a time; default 100, at most 1000
	Cursor    string // where to begin: Next of a page of a list with the same filter
}

// AuditPage asks for one page of the calls and events that the filter selects, newest first.
func (c *Client) AuditPage(ctx context.Context, f AuditFilter) (*Page[*AuditCall], error) {
	got, err := c.audit.ListAudit(ctx, &pb.ListAuditRequest{Namespace: f.Namespace, Caller: f.Caller, Method: f.Method, Outcome: f.Outcome, Task: f.Task,
		Since: stampOf(f.Since), Before: stampOf(f.Before), PageSize: int32(f.PageSize), Cursor: f.Cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list the audit record")
	}
	page := &Page[*AuditCall]{Next: got.NextCursor}
	for _, call := range got.Calls {
		page.Items = append(page.Items, &AuditCall{AuditEntry: *auditEntryOf(call.GetEntry()), EndedAt: at(call.EndedAt)})
	}
	return page, nil
}

// Audit yields all calls and events that the filter selects, newest first, asking for them page by page. It ends after an error.
func (c *Client) Audit(ctx context.Context, f AuditFilter) iter.Seq2[*AuditCall, error] {
	return all(func(cursor string) (*Page[*AuditCall], error) {
		f.Cursor = cursor
		return c.AuditPage(ctx, f)
	}, f.Cursor)
}

func auditEntryOf(e *pb.AuditEntry) *AuditEntry {
	c := e.GetCaller()
	out := &AuditEntry{Seq: e.GetSeq(), At: at(e.GetAt()), Kind: e.GetKind(), Of: e.GetOf(), Namespace: e.GetNamespace(), Method: e.GetMethod(), Permission: e.GetPermission(),
		Outcome: e.GetOutcome(), Code: e.GetCode(), Error: e.GetError(), Task: e.GetTask(), Trace: e.GetTrace(), Count: e.GetCount(), Coordinator: e.GetCoordinator(),
		Details: e.GetDetails(), Key: e.GetKey(),
		Caller: AuditCaller{Kind: c.GetKind(), Name: c.GetName(), User: c.GetUser(), Issuer: c.GetIssuer(), KeyID: c.GetKeyId(), From: c.GetFrom(), Surface: c.GetSurface()}}
	copy(out.Prev[:], e.GetPrev())
	copy(out.Hash[:], e.GetHash())
	return out
}

// AuditRange selects entries of the record; zero fields don't.
type AuditRange struct {
	Namespace string // as in [AuditFilter]
	After     int64  // only entries with a greater number
	Since     time.Time
	Before    time.Time // not with Follow
	Follow    bool      // then also those that come, until ctx ends
}

// AuditEntries yields entries as they are chained, oldest first. A lost connection is made again, and no entry is missed. It ends after an error.
func (c *Client) AuditEntries(ctx context.Context, r AuditRange) iter.Seq2[*AuditEntry, error] {
	return func(yield func(*AuditEntry, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends the stream
		for tries := 0; ; tries++ {
			err := c.auditEntries(ctx, &r, func(e *AuditEntry) bool { tries = 0; return yield(e, nil) })
			switch {
			case err == nil:
				return
			case !lost(err) || ctx.Err() != nil || !r.Follow && tries >= auditTries:
				yield(nil, wrap(ctx, err, "read the audit record"))
				return
			}
			if err := c.pause(ctx, tries, err); err != nil {
				yield(nil, wrap(ctx, err, "read the audit record"))
				return
			}
		}
	}
}

// auditTries is how often a lost connection is made again for entries that are there.
const auditTries = 5

// auditEntries yields entries until the stream ends, and notes in r how far it came. nil: it is complete, or the caller ended it.
func (c *Client) auditEntries(ctx context.Context, r *AuditRange, yield func(*AuditEntry) bool) error {
	stream, err := c.audit.ReadAudit(ctx, &pb.ReadAuditRequest{Namespace: r.Namespace, After: r.After, Since: stampOf(r.Since), Before: stampOf(r.Before), Follow: r.Follow})
	for err == nil {
		var got *pb.AuditEntry
		if got, err = stream.Recv(); err == nil {
			if !yield(auditEntryOf(got)) {
				return nil
			}
			r.After = got.Seq
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// AuditHead is an entry and its hash: who notes it elsewhere finds out later whether anything up to it was changed.
type AuditHead struct {
	Seq  int64
	Hash [32]byte
}

// AuditFault is what is wrong with the chain of the record.
type AuditFault struct {
	Seq  int64 // of the entry at which it was noticed
	Kind string
	Text string
}

// AuditReport says how far a check of the record has come, and what it found since the report before.
type AuditReport struct {
	Entries   int64
	Unchecked int64     // of these: their hashes are by keys that the coordinator has not
	Head      AuditHead // the last entry that was checked
	Faults    []AuditFault
	Done      bool
}

// VerifyAudit makes the cluster check the chain of its record, and that it has the heads given, which were noted elsewhere. It yields a report every so
// often; that of the end is Done. It ends after an error.
func (c *Client) VerifyAudit(ctx context.Context, heads ...AuditHead) iter.Seq2[*AuditReport, error] {
	return func(yield func(*AuditReport, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends the stream
		request := &pb.VerifyAuditRequest{}
		for _, h := range heads {
			request.Heads = append(request.Heads, &pb.AuditHead{Seq: h.Seq, Hash: h.Hash[:]})
		}
		stream, err := c.audit.VerifyAudit(ctx, request)
		for err == nil {
			var got *pb.VerifyAuditResponse
			if got, err = stream.Recv(); err == nil && !yield(auditReportOf(got), nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, wrap(ctx, err, "verify the audit record"))
		}
	}
}

func auditReportOf(r *pb.VerifyAuditResponse) *AuditReport {
	out := &AuditReport{Entries: r.Entries, Unchecked: r.Unchecked, Done: r.Done, Head: AuditHead{Seq: r.GetHead().GetSeq()}}
	copy(out.Head.Hash[:], r.GetHead().GetHash())
	for _, f := range r.Faults {
		out.Faults = append(out.Faults, AuditFault{f.Seq, f.Kind, f.Text})
	}
	return out
}
