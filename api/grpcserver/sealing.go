package grpcserver

import (
	"context"

	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) GetSealStatus(ctx context.Context, _ *pb.GetSealStatusRequest) (*pb.SealStatus, error) {
	s, err := h.on(ctx).SealStatus(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.SealStatus{
		Sealed: s.Sealed, Since: stamp(s.Since), Master: s.Master, Keys: convert(s.Keys, sealKey), Round: s.Round, UnderWay: s.UnderWay, Rows: s.Rows,
		Generation: int32(s.Generation),
	}, nil
}

func (h *handler) RotateDataKeys(ctx context.Context, r *pb.RotateDataKeysRequest) (*pb.RotateDataKeysResponse, error) {
	keys, err := h.on(ctx).RotateDataKeys(ctx, r.Namespace)
	if err != nil {
		return nil, err
	}
	return &pb.RotateDataKeysResponse{Keys: convert(keys, sealKey)}, nil
}

func (h *handler) RewrapDataKeys(ctx context.Context, _ *pb.RewrapDataKeysRequest) (*pb.RewrapDataKeysResponse, error) {
	n, err := h.on(ctx).RewrapDataKeys(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.RewrapDataKeysResponse{Keys: int32(n)}, nil
}

func (h *handler) RotateTokens(ctx context.Context, _ *pb.RotateTokensRequest) (*pb.RotateTokensResponse, error) {
	n, err := h.on(ctx).RotateTokens(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.RotateTokensResponse{Generation: int32(n)}, nil
}

func sealKey(k coordinator.SealKey) *pb.SealKey {
	return &pb.SealKey{Number: int32(k.Number), Namespace: k.Namespace, Master: k.Master, CreatedAt: stamp(k.Created), RetiredAt: stamp(k.Retired)}
}
