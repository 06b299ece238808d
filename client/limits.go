package client

import (
	"context"
	"iter"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// LimitTarget is what a limit is for: one of these. Keys and users are those of the client's namespace.
type LimitTarget struct {
	Key    string // of limits of tasks
	Rate   string // of rates of tasks
	Pool   string // its tasks that run, in the whole cluster
	UserID string // whose tasks run and wait
	Lock   string // of locks of tasks: as listed; operators set no limit for one
}

// LimitSpec is a limit to be set. Nil fields set none.
type LimitSpec struct {
	LimitTarget
	Max     *int32  // of key, rate and pool; 0 lets nothing start
	Running *int32  // of a user
	Waiting *int32  // of a user: submissions that go above are refused
	Per     string  // of a rate: second, minute or hour
	Burst   int32   // of a rate; 0: as Max
	Reason  string  // at most 1000 bytes
	Owner   *string // who keeps it in files: 1 to 63 letters, digits, -, _, . and /; empty: nobody, nil: as it is, or as it was shown: nobody
}

// Limit is a limit as it is shown.
type Limit struct {
	LimitSpec
	SetBy   string    // empty: nobody was asked
	SetAt   time.Time // zero: no operator has set one; the key is held or waited for, or the user has a weight
	Counted bool      // all that runs is counted

	Revision int32 // raised each time that it is set; 0: no operator has set one
	// As things stood when it was listed.
	Held    int64   // sum of costs, counted up to 100000
	Waiters int64   // tasks that wait for it, likewise
	Weight  float64 // of a user: see [Client.SetWeight]; else 0
}

// LimitFilter selects limits.
type LimitFilter struct {
	All    bool // keys too that tasks hold or wait for and that no operator has set a limit for
	Limit  int  // of one page; default 100, at most 1000
	Cursor string
}

// PauseTarget is what is paused: one of these.
type PauseTarget struct {
	TreeID     string // of the root, or of any task of the tree
	Pool       string
	Everything bool
}

// Pause is a pause as it is shown.
type Pause struct {
	PauseTarget
	SetBy  string // empty: nobody was asked
	SetAt  time.Time
	Reason string
}

// limits are the calls about limits and pauses.
func (c *Client) limits() pb.LimitServiceClient { return pb.NewLimitServiceClient(c.conn) }

// SetLimit sets a limit in the place of the one that its target has, and answers once all that runs is counted. [ErrInvalid]; [ErrConflict]: a live process
// knows no limits, or there are too many.
func (c *Client) SetLimit(ctx context.Context, spec LimitSpec) (*Limit, error) {
	return c.setLimit(ctx, spec, nil)
}

// SetLimitAt is [Client.SetLimit] if the limit that is there has the revision; 0: if there is none. [ErrConflict]: that is not so.
func (c *Client) SetLimitAt(ctx context.Context, spec LimitSpec, revision int32) (*Limit, error) {
	return c.setLimit(ctx, spec, &revision)
}

func (c *Client) setLimit(ctx context.Context, spec LimitSpec, revision *int32) (*Limit, error) {
	target, err := spec.LimitTarget.proto()
	if err != nil {
		return nil, wrap(ctx, err, "set the limit of %s", spec.name())
	}
	got, err := c.limits().SetLimit(ctx, &pb.SetLimitRequest{Target: target, Max: spec.Max, Running: spec.Running, Waiting: spec.Waiting, Per: spec.Per,
		Burst: spec.Burst, Reason: spec.Reason, Owner: spec.Owner, Revision: revision})
	if err != nil {
		return nil, wrap(ctx, err, "set the limit of %s", spec.name())
	}
	return limitOf(got), nil
}

// LimitsPage asks for one page of limits.
func (c *Client) LimitsPage(ctx context.Context, f LimitFilter) (*Page[*Limit], error) {
	got, err := c.limits().ListLimits(ctx, &pb.ListLimitsRequest{All: f.All, Limit: int32(f.Limit), Cursor: f.Cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list limits")
	}
	page := &Page[*Limit]{Next: got.Cursor}
	for _, l := range got.Limits {
		page.Items = append(page.Items, limitOf(l))
	}
	return page, nil
}

// Limits lists limits, of keys, rates, pools and users, each by name, asking for pages as they are needed.
func (c *Client) Limits(ctx context.Context, f LimitFilter) iter.Seq2[*Limit, error] {
	return all(func(cursor string) (*Page[*Limit], error) {
		f.Cursor = cursor
		return c.LimitsPage(ctx, f)
	}, f.Cursor)
}

// DeleteLimit takes a limit away. [ErrNotFound].
func (c *Client) DeleteLimit(ctx context.Context, target LimitTarget) error {
	return c.DeleteLimitAt(ctx, target, 0)
}

// DeleteLimitAt takes a limit away if it has the revision; 0: whatever it has. [ErrNotFound]; [ErrConflict]: it has another one.
func (c *Client) DeleteLimitAt(ctx context.Context, target LimitTarget, revision int32) error {
	of, err := target.proto()
	if err == nil {
		_, err = c.limits().DeleteLimit(ctx, &pb.DeleteLimitRequest{Target: of, Revision: revision})
	}
	return wrap(ctx, err, "delete the limit of %s", target.name())
}

// SetWeight says how many slots a user gets beside others that wait in the same pool: twice as many with twice the weight, which is 0.01 to 100, and 1 unless it
// is set. [ErrInvalid], [ErrConflict].
func (c *Client) SetWeight(ctx context.Context, user string, weight float64) error {
	_, err := c.limits().SetWeight(ctx, &pb.SetWeightRequest{UserId: user, Weight: weight})
	return wrap(ctx, err, "set the weight of %s", user)
}

// Pause stops the start of tasks: once it has answered, nothing new starts. What runs goes on. What is paused already stays so, by who paused it first.
// [ErrInvalid], [ErrNotFound], [ErrConflict].
func (c *Client) Pause(ctx context.Context, target PauseTarget, reason string) (*Pause, error) {
	of, err := target.proto()
	if err != nil {
		return nil, wrap(ctx, err, "pause %s", target.name())
	}
	got, err := c.limits().Pause(ctx, &pb.PauseRequest{Target: of, Reason: reason})
	if err != nil {
		return nil, wrap(ctx, err, "pause %s", target.name())
	}
	return pauseOf(got), nil
}

// Resume takes a pause away. [ErrNotFound].
func (c *Client) Resume(ctx context.Context, target PauseTarget) error {
	of, err := target.proto()
	if err == nil {
		_, err = c.limits().Resume(ctx, &pb.ResumeRequest{Target: of})
	}
	return wrap(ctx, err, "resume %s", target.name())
}

// PausesPage asks for one page of pauses; limit 0: 100.
func (c *Client) PausesPage(ctx context.Context, cursor string, limit int) (*Page[*Pause], error) {
	got, err := c.limits().ListPauses(ctx, &pb.ListPausesRequest{Limit: int32(limit), Cursor: cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list pauses")
	}
	page := &Page[*Pause]{Next: got.Cursor}
	for _, p := range got.Pauses {
		page.Items = append(page.Items, pauseOf(p))
	}
	return page, nil
}

// Pauses lists what is paused, the oldest first, asking for pages as they are needed.
func (c *Client) Pauses(ctx context.Context) iter.Seq2[*Pause, error] {
	return all(func(cursor string) (*Page[*Pause], error) { return c.PausesPage(ctx, cursor, 0) }, "")
}

// name is what errors call it.
func (t LimitTarget) name() string {
	for _, one := range [][2]string{{"key", t.Key}, {"rate", t.Rate}, {"pool", t.Pool}, {"user", t.UserID}, {"lock", t.Lock}} {
		if one[1] != "" {
			return one[0] + " " + one[1]
		}
	}
	return "nothing"
}

// name is what errors call it.
func (t PauseTarget) name() string {
	switch {
	case t.Everything:
		return "everything"
	case t.Pool != "":
		return "pool " + t.Pool
	case t.TreeID != "":
		return "tree " + t.TreeID
	}
	return "nothing"
}

// textOrNil is a text that is there, or nil.
func textOrNil(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// proto is the target on the wire, which has room for one only. None is for the server to refuse.
func (t LimitTarget) proto() (*pb.LimitTarget, error) {
	var given []*pb.LimitTarget
	if t.Key != "" {
		given = append(given, &pb.LimitTarget{Of: &pb.LimitTarget_Key{Key: t.Key}})
	}
	if t.Rate != "" {
		given = append(given, &pb.LimitTarget{Of: &pb.LimitTarget_Rate{Rate: t.Rate}})
	}
	if t.Pool != "" {
		given = append(given, &pb.LimitTarget{Of: &pb.LimitTarget_Pool{Pool: t.Pool}})
	}
	if t.UserID != "" {
		given = append(given, &pb.LimitTarget{Of: &pb.LimitTarget_UserId{UserId: t.UserID}})
	}
	if t.Lock != "" {
		given = append(given, &pb.LimitTarget{Of: &pb.LimitTarget_Lock{Lock: t.Lock}})
	}
	return theOne(given)
}

func (t PauseTarget) proto() (*pb.PauseTarget, error) {
	var given []*pb.PauseTarget
	if t.TreeID != "" {
		given = append(given, &pb.PauseTarget{Of: &pb.PauseTarget_TreeId{TreeId: t.TreeID}})
	}
	if t.Pool != "" {
		given = append(given, &pb.PauseTarget{Of: &pb.PauseTarget_Pool{Pool: t.Pool}})
	}
	if t.Everything {
		given = append(given, &pb.PauseTarget{Of: &pb.PauseTarget_Everything{Everything: true}})
	}
	return theOne(given)
}

// theOne is the target that is given; nil: none is.
func theOne[T any](given []*T) (*T, error) {
	switch len(given) {
	case 0:
		return nil, nil
	case 1:
		return given[0], nil
	}
	return nil, status.Error(codes.InvalidArgument, "target: must be one, not several")
}

func limitOf(l *pb.LimitRule) *Limit {
	t := l.GetTarget()
	return &Limit{LimitSpec: LimitSpec{LimitTarget: LimitTarget{Key: t.GetKey(), Rate: t.GetRate(), Pool: t.GetPool(), UserID: t.GetUserId(), Lock: t.GetLock()},
		Max: l.Max, Running: l.Running, Waiting: l.Waiting, Per: l.GetPer(), Burst: l.GetBurst(), Reason: l.GetReason(), Owner: textOrNil(l.GetOwner())}, Revision: l.GetRevision(),
		SetBy: l.GetSetBy(), SetAt: at(l.GetSetAt()), Counted: l.GetCounted(), Held: l.GetHeld(), Waiters: l.GetWaiters(), Weight: l.GetWeight()}
}

func pauseOf(p *pb.PauseInfo) *Pause {
	t := p.GetTarget()
	return &Pause{PauseTarget: PauseTarget{TreeID: t.GetTreeId(), Pool: t.GetPool(), Everything: t.GetEverything()}, SetBy: p.GetSetBy(), SetAt: at(p.GetSetAt()), Reason: p.GetReason()}
}
