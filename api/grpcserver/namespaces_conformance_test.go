package grpcserver_test

import (
	"context"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/coordinator"
)

func (r *remote) CreateNamespace(ctx context.Context, spec coordinator.NamespaceSpec) (*coordinator.NamespaceInfo, error) {
	return namespaceInfo(r.c.CreateNamespace(ctx, client.NamespaceSpec{Name: spec.Name, Description: spec.Description, Quotas: client.Quotas(spec.Quotas)}))
}

func (r *remote) GetNamespace(ctx context.Context, name string) (*coordinator.NamespaceInfo, error) {
	return namespaceInfo(r.c.Namespace(ctx, name))
}

func (r *remote) ListNamespaces(ctx context.Context, f coordinator.NamespaceFilter) (page coordinator.Page[*coordinator.NamespaceInfo], err error) {
	got, err := r.c.NamespacesPage(ctx, f.Cursor, f.Limit)
	if err != nil {
		return page, err
	}
	page.Next = got.Next
	for _, n := range got.Items {
		one, _ := namespaceInfo(n, nil)
		page.Items = append(page.Items, one)
	}
	return page, nil
}

func (r *remote) UpdateNamespace(ctx context.Context, name string, change coordinator.NamespaceChange) (*coordinator.NamespaceInfo, error) {
	return namespaceInfo(r.c.UpdateNamespace(ctx, name, client.NamespaceChange{Description: change.Description, Quotas: client.Quotas(change.Quotas)}))
}

func (r *remote) DeleteNamespace(ctx context.Context, name string, force bool) (*coordinator.NamespaceInfo, error) {
	return namespaceInfo(r.c.DeleteNamespace(ctx, name, force))
}

func namespaceInfo(n *client.Namespace, err error) (*coordinator.NamespaceInfo, error) {
	if err != nil || n == nil {
		return nil, err
	}
	return &coordinator.NamespaceInfo{Name: n.Name, Description: n.Description, CreatedAt: n.CreatedAt, Quotas: coordinator.Quotas(n.Quotas), Trees: n.Stored.Trees,
		Tasks: n.Stored.Tasks, Bytes: n.Stored.Bytes, Deleting: n.Deleting}, nil
}
