package grpcserver

import (
	"context"

	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) ApplyProfiles(ctx context.Context, r *pb.ApplyProfilesRequest) (*pb.ApplyProfilesResponse, error) {
	got, err := h.on(ctx).ApplyProfiles(ctx, coordinator.ProfilesSpec{Name: r.Name, Text: []byte(r.Text), UserID: r.UserId, Preview: r.Preview})
	if err != nil {
		return nil, err
	}
	return &pb.ApplyProfilesResponse{Profiles: convert(got.Profiles, profileOf)}, nil
}

func (h *handler) GetProfile(ctx context.Context, r *pb.GetProfileRequest) (*pb.Profile, error) {
	p, err := h.on(ctx).Profile(ctx, r.Name, int(r.Version))
	if err != nil {
		return nil, err
	}
	return profileOf(p), nil
}

func (h *handler) ListProfiles(ctx context.Context, r *pb.ListProfilesRequest) (*pb.ListProfilesResponse, error) {
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).Profiles(ctx, coordinator.ProfileFilter{UserID: r.UserId, Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	return &pb.ListProfilesResponse{Profiles: convert(page.Items, profileOf), Cursor: page.Next}, nil
}

func (h *handler) DeleteProfile(ctx context.Context, r *pb.DeleteProfileRequest) (*pb.DeleteProfileResponse, error) {
	if err := h.on(ctx).DeleteProfile(ctx, r.Name); err != nil {
		return nil, err
	}
	return &pb.DeleteProfileResponse{}, nil
}

func profileOf(p *coordinator.ProfileInfo) *pb.Profile {
	return &pb.Profile{Name: p.Name, Version: int32(p.Version), Sha256: p.SHA256, Body: p.Body, UserId: p.UserID, CreatedBy: p.CreatedBy, CreatedAt: stamp(p.CreatedAt), Fresh: p.Fresh,
		Versions: int32(p.Versions)}
}
