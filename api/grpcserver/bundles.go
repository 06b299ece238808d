package grpcserver

import (
	"context"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/executors/bundle"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) ApplyBundle(ctx context.Context, r *pb.ApplyBundleRequest) (*pb.Bundle, error) {
	spec := coordinator.BundleSpec{ID: r.Id, Fingerprint: r.Fingerprint, Source: r.Source, UserID: r.UserId, BundleRules: coordinator.BundleRules{EntryFlow: r.EntryFlow, ProfilesFile: r.ProfilesFile,
		Enterprise: r.Enterprise, ZipDrivers: r.ZipDrivers, Secrets: r.Secrets, Public: r.PublicEnv, PluginsDir: r.PluginsDir}}
	for _, f := range r.Files {
		spec.Files = append(spec.Files, bundle.File{Path: f.GetPath(), SHA256: f.GetSha256(), Size: f.GetSize()})
	}
	b, err := h.on(ctx).ApplyBundle(ctx, spec)
	if err != nil {
		return nil, err
	}
	return bundleOf(b), nil
}

func bundleOf(b *coordinator.BundleInfo) *pb.Bundle {
	return &pb.Bundle{Id: b.ID, Fingerprint: b.Fingerprint, Digest: b.Digest, Source: b.Source, UserId: b.UserID, Files: int32(b.Files), Bytes: b.Bytes, CreatedBy: b.CreatedBy, CreatedAt: stamp(b.CreatedAt),
		AppliedAt: stamp(b.AppliedAt), Fresh: b.Fresh, Missing: b.Missing, EntryFlow: b.Rules.EntryFlow}
}

func (h *handler) PutBundleFile(ctx context.Context, r *pb.PutBundleFileRequest) (*pb.PutBundleFileResponse, error) {
	digest, err := h.on(ctx).PutBundleFile(ctx, coordinator.BundleFile{Data: r.Data})
	if err != nil {
		return nil, err
	}
	return &pb.PutBundleFileResponse{Sha256: digest}, nil
}

func (h *handler) ListBundles(ctx context.Context, r *pb.ListBundlesRequest) (*pb.ListBundlesResponse, error) {
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).Bundles(ctx, coordinator.BundleFilter{ID: r.Id, UserID: r.UserId, Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	return &pb.ListBundlesResponse{Bundles: convert(page.Items, bundleOf), Cursor: page.Next}, nil
}

func (h *handler) DeleteBundle(ctx context.Context, r *pb.DeleteBundleRequest) (*pb.DeleteBundleResponse, error) {
	if err := h.on(ctx).DeleteBundle(ctx, r.Id); err != nil {
		return nil, err
	}
	return &pb.DeleteBundleResponse{}, nil
}

// runBundle is the bundle that a run is to have; nil: none is said.
func runBundle(b *pb.RunBundle) *coordinator.RunBundle {
	if b == nil {
		return nil
	}
	return &coordinator.RunBundle{ID: b.Id, Fingerprint: b.Fingerprint, Digest: b.Digest, Stale: b.Stale, Flow: b.Flow}
}

func runBundleOf(b *coordinator.RunBundle) *pb.RunBundle {
	if b == nil {
		return nil
	}
	return &pb.RunBundle{Id: b.ID, Fingerprint: b.Fingerprint, Digest: b.Digest, Stale: b.Stale}
}
