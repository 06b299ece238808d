package client

import (
	"context"
	"iter"
	"time"

	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

// Quotas are how much there may be in a namespace; nil: any number.
type Quotas struct {
	OpenTrees *int64 // with an execution in progress
	Trees     *int64 // stored
	Tasks     *int64 // stored
	Bytes     *int64 // of inputs, params, schemas and custom keys, as they were submitted
}

// Namespace is a namespace as it is shown.
type Namespace struct {
	Name        string
	Description string
	CreatedAt   time.Time
	Quotas      Quotas
	Stored      Quotas // how much there is; counted from the first quota on, OpenTrees never
	Deleting    bool   // nothing can be stored in it any more
}

// NamespaceSpec is a namespace to be made.
type NamespaceSpec struct {
	Name        string // 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit
	Description string // at most 1000 characters
	Quotas      Quotas
}

// NamespaceChange changes a namespace; nil fields stay as they are. A negative quota takes it away.
type NamespaceChange struct {
	Description *string
	Quotas      Quotas
}

// CreateNamespace makes a namespace. [ErrInvalid], [ErrConflict]: the name is taken.
func (c *Client) CreateNamespace(ctx context.Context, spec NamespaceSpec) (*Namespace, error) {
	got, err := c.namespaces().CreateNamespace(ctx, &pb.CreateNamespaceRequest{Name: spec.Name, Description: spec.Description, Quotas: spec.Quotas.proto()})
	if err != nil {
		return nil, wrap(ctx, err, "create namespace %s", spec.Name)
	}
	return namespaceOf(got), nil
}

// namespaces are the calls about namespaces.
func (c *Client) namespaces() pb.NamespaceServiceClient { return pb.NewNamespaceServiceClient(c.conn) }

// Namespace shows a namespace. [ErrNotFound].
func (c *Client) Namespace(ctx context.Context, name string) (*Namespace, error) {
	got, err := c.namespaces().GetNamespace(ctx, &pb.GetNamespaceRequest{Name: name})
	if err != nil {
		return nil, wrap(ctx, err, "show namespace %s", name)
	}
	return namespaceOf(got), nil
}

// NamespacesPage asks for one page of namespaces, by name; limit 0: 100.
func (c *Client) NamespacesPage(ctx context.Context, cursor string, limit int) (*Page[*Namespace], error) {
	got, err := c.namespaces().ListNamespaces(ctx, &pb.ListNamespacesRequest{Limit: int32(limit), Cursor: cursor})
	if err != nil {
		return nil, wrap(ctx, err, "list namespaces")
	}
	page := &Page[*Namespace]{Next: got.NextCursor}
	for _, n := range got.Namespaces {
		page.Items = append(page.Items, namespaceOf(n))
	}
	return page, nil
}

// Namespaces lists namespaces by name, asking for pages as they are needed.
func (c *Client) Namespaces(ctx context.Context) iter.Seq2[*Namespace, error] {
	return all(func(cursor string) (*Page[*Namespace], error) { return c.NamespacesPage(ctx, cursor, 0) }, "")
}

// UpdateNamespace changes a namespace. [ErrNotFound].
func (c *Client) UpdateNamespace(ctx context.Context, name string, change NamespaceChange) (*Namespace, error) {
	got, err := c.namespaces().UpdateNamespace(ctx, &pb.UpdateNamespaceRequest{Name: name, Description: change.Description, Quotas: change.Quotas.proto()})
	if err != nil {
		return nil, wrap(ctx, err, "update namespace %s", name)
	}
	return namespaceOf(got), nil
}

// DeleteNamespace deletes a namespace, with force also one with trees: these are deleted one by one, and the namespace is given as long as some are
// left; nil: it is gone. [ErrNotFound], [ErrConflict].
func (c *Client) DeleteNamespace(ctx context.Context, name string, force bool) (left *Namespace, err error) {
	got, err := c.namespaces().DeleteNamespace(ctx, &pb.DeleteNamespaceRequest{Name: name, Force: force})
	if err != nil {
		return nil, wrap(ctx, err, "delete namespace %s", name)
	}
	if got.Left == nil {
		return nil, nil
	}
	return namespaceOf(got.Left), nil
}

func (q Quotas) proto() *pb.Quotas {
	if q == (Quotas{}) {
		return nil
	}
	return &pb.Quotas{OpenTrees: q.OpenTrees, Trees: q.Trees, Tasks: q.Tasks, Bytes: q.Bytes}
}

func namespaceOf(n *pb.Namespace) *Namespace {
	return &Namespace{Name: n.GetName(), Description: n.GetDescription(), CreatedAt: at(n.GetCreatedAt()), Quotas: quotasOf(n.GetQuotas()), Stored: quotasOf(n.GetStored()),
		Deleting: n.GetDeleting()}
}

func quotasOf(q *pb.Quotas) (out Quotas) {
	if q != nil {
		out = Quotas{OpenTrees: q.OpenTrees, Trees: q.Trees, Tasks: q.Tasks, Bytes: q.Bytes}
	}
	return out
}
