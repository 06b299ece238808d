package grpcserver

import (
	"context"

	"github.com/taskgrove/taskgrove/coordinator"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

func (h *handler) CreateNamespace(ctx context.Context, r *pb.CreateNamespaceRequest) (*pb.Namespace, error) {
	return shownNamespace(h.on(ctx).CreateNamespace(ctx, coordinator.NamespaceSpec{Name: r.Name, Description: r.Description, Quotas: quotasIn(r.Quotas)}))
}

func (h *handler) GetNamespace(ctx context.Context, r *pb.GetNamespaceRequest) (*pb.Namespace, error) {
	if r.Name == "" {
		return nil, missing("name")
	}
	return shownNamespace(h.on(ctx).GetNamespace(ctx, r.Name))
}

func (h *handler) ListNamespaces(ctx context.Context, r *pb.ListNamespacesRequest) (*pb.ListNamespacesResponse, error) {
	if err := checkLimit(r.Limit); err != nil {
		return nil, err
	}
	page, err := h.on(ctx).ListNamespaces(ctx, coordinator.NamespaceFilter{Limit: int(r.Limit), Cursor: r.Cursor})
	if err != nil {
		return nil, err
	}
	return &pb.ListNamespacesResponse{Namespaces: convert(page.Items, namespaceOf), NextCursor: page.Next}, nil
}

func (h *handler) UpdateNamespace(ctx context.Context, r *pb.UpdateNamespaceRequest) (*pb.Namespace, error) {
	if r.Name == "" {
		return nil, missing("name")
	}
	return shownNamespace(h.on(ctx).UpdateNamespace(ctx, r.Name, coordinator.NamespaceChange{Description: r.Description, Quotas: quotasIn(r.Quotas)}))
}

func (h *handler) DeleteNamespace(ctx context.Context, r *pb.DeleteNamespaceRequest) (*pb.DeleteNamespaceResponse, error) {
	if r.Name == "" {
		return nil, missing("name")
	}
	left, err := h.on(ctx).DeleteNamespace(ctx, r.Name, r.Force)
	if err != nil || left == nil {
		return &pb.DeleteNamespaceResponse{}, err
	}
	return &pb.DeleteNamespaceResponse{Left: namespaceOf(left)}, nil
}

func shownNamespace(n *coordinator.NamespaceInfo, err error) (*pb.Namespace, error) {
	if err != nil {
		return nil, err
	}
	return namespaceOf(n), nil
}

func namespaceOf(n *coordinator.NamespaceInfo) *pb.Namespace {
	out := &pb.Namespace{Name: n.Name, Description: n.Description, CreatedAt: stamp(n.CreatedAt), Deleting: n.Deleting}
	if q := n.Quotas; q != (coordinator.Quotas{}) {
		out.Quotas = &pb.Quotas{OpenTrees: q.OpenTrees, Trees: q.Trees, Tasks: q.Tasks, Bytes: q.Bytes}
	}
	if n.Trees != nil {
		out.Stored = &pb.Quotas{Trees: n.Trees, Tasks: n.Tasks, Bytes: n.Bytes}
	}
	return out
}

func quotasIn(q *pb.Quotas) (out coordinator.Quotas) {
	if q != nil {
		out = coordinator.Quotas{OpenTrees: q.OpenTrees, Trees: q.Trees, Tasks: q.Tasks, Bytes: q.Bytes}
	}
	return out
}
