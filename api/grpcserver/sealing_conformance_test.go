package grpcserver_test

import (
	"context"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

func (r *remote) SealStatus(ctx context.Context) (*coordinator.SealStatus, error) {
	s, err := r.c.SealStatus(ctx)
	if err != nil {
		return nil, err
	}
	return &coordinator.SealStatus{Sealed: s.Sealed, Since: s.Since, Master: s.Master, Keys: sealKeys(s.Keys), Round: s.Round, UnderWay: s.UnderWay, Rows: s.Rows,
		Generation: s.Generation}, nil
}

func (r *remote) RotateDataKeys(ctx context.Context, namespace string) ([]coordinator.SealKey, error) {
	keys, err := r.c.RotateDataKeys(ctx, namespace)
	return sealKeys(keys), err
}

func (r *remote) RewrapDataKeys(ctx context.Context) (int, error) { return r.c.RewrapDataKeys(ctx) }

func (r *remote) RotateTokens(ctx context.Context) (int, error) { return r.c.RotateTokens(ctx) }

func sealKeys(keys []client.SealKey) (out []coordinator.SealKey) {
	for _, k := range keys {
		out = append(out, coordinator.SealKey(k))
	}
	return out
}
