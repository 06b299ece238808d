package client

import (
	"context"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// SealStatus is how values are sealed. It has no secret.
type SealStatus struct {
	Sealed     bool      // new values are
	Since      time.Time // zero: never changed
	Master     string    // name of the master key; empty: there is none
	Keys       []SealKey // by number
	Round      int64     // of sealing stored values anew, the latest; 0: none
	UnderWay   bool      // it is
	Rows       int64     // that it wrote anew, or has to write in the next
	Generation int       // of the secret of attempts' tokens
}

// SealKey is a data key. It shows nothing of the key itself.
type SealKey struct {
	Number    int
	Namespace string // empty: of the cluster itself
	Master    string // name of the master key that wraps it
	Created   time.Time
	Retired   time.Time // zero: values are sealed with it
}

// SealStatus tells how values are sealed, with which keys, and how far sealing them anew has come.
func (c *Client) SealStatus(ctx context.Context) (*SealStatus, error) {
	s, err := c.seal().GetSealStatus(ctx, &pb.GetSealStatusRequest{})
	if err != nil {
		return nil, wrap(ctx, err, "read how values are sealed")
	}
	return &SealStatus{
		Sealed: s.Sealed, Since: at(s.Since), Master: s.Master, Keys: sealKeys(s.Keys), Round: s.Round, UnderWay: s.UnderWay, Rows: s.Rows,
		Generation: int(s.Generation),
	}, nil
}

// RotateDataKeys makes new data keys: of a namespace, or, if that is empty, of all that have one and of the cluster. Stored values are sealed anew in
// the background; then the old keys are deleted. It returns the new ones. [ErrNotFound]; [ErrConflict]: there is no master key.
func (c *Client) RotateDataKeys(ctx context.Context, namespace string) ([]SealKey, error) {
	got, err := c.seal().RotateDataKeys(ctx, &pb.RotateDataKeysRequest{Namespace: namespace})
	if err != nil {
		return nil, wrap(ctx, err, "rotate data keys")
	}
	return sealKeys(got.Keys), nil
}

// RewrapDataKeys wraps with the current master key the data keys that others wrap, and returns how many. [ErrConflict]: there is no master key.
func (c *Client) RewrapDataKeys(ctx context.Context) (int, error) {
	got, err := c.seal().RewrapDataKeys(ctx, &pb.RewrapDataKeysRequest{})
	if err != nil {
		return 0, wrap(ctx, err, "wrap data keys anew")
	}
	return int(got.Keys), nil
}

// RotateTokens begins another generation of the secret of attempts' tokens, and returns its number.
func (c *Client) RotateTokens(ctx context.Context) (int, error) {
	got, err := c.seal().RotateTokens(ctx, &pb.RotateTokensRequest{})
	if err != nil {
		return 0, wrap(ctx, err, "rotate the secret of tokens")
	}
	return int(got.Generation), nil
}

func sealKeys(list []*pb.SealKey) []SealKey {
	out := make([]SealKey, len(list))
	for i, k := range list {
		out[i] = SealKey{Number: int(k.Number), Namespace: k.Namespace, Master: k.Master, Created: at(k.CreatedAt), Retired: at(k.RetiredAt)}
	}
	return out
}

// seal are the calls about the keys that values are sealed with.
func (c *Client) seal() pb.SealServiceClient { return pb.NewSealServiceClient(c.conn) }
