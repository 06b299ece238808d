package coordinator

import "github.com/taskgrove/taskgrove/internal/policy"

// Surface is one way to reach the service.
type Surface string

// The surfaces.
const (
	SurfaceGRPC    Surface = "grpc"
	SurfaceConnect Surface = "connect" // Connect and gRPC-Web
	SurfaceJSONRPC Surface = "jsonrpc"
	SurfaceA2A     Surface = "a2a"
	SurfaceMCP     Surface = "mcp"
	SurfaceKEDA    Surface = "keda"
	SurfaceHTTP    Surface = "http" // any of those above HTTP, before it is known which
)

// DefaultNamespace is that of callers that name none.
const DefaultNamespace = "default"

// AllNamespaces stands for every namespace, and the cluster itself, where a role is given.
const AllNamespaces = policy.AllNamespaces

// CallerKind says how a caller has shown who it is.
type CallerKind string

// The kinds of callers.
const (
	AnonymousCaller CallerKind = "anonymous" // not at all: nobody is asked
	UserCaller      CallerKind = "user"      // by a token of a person or service
	KeyCaller       CallerKind = "key"       // by an API key
	MachineCaller   CallerKind = "machine"   // by a certificate
)

// Caller is on whose behalf a call is made.
type Caller struct {
	Name    string     // who; [AnonymousName] as long as nobody is asked for a name
	User    string     // the owner that it speaks for (spec 5.6); empty: nobody has been asked
	Surface Surface    // by which way
	From    string     // from where: the network address that the surface sees; empty: this process itself
	Kind    CallerKind // empty: anonymous
	Issuer  string     // of its token, certificate or key; empty: none
	KeyID   string     // of its API key; empty: none
	// Namespace is where the call is made, as the request says; empty: [DefaultNamespace].
	Namespace string
	// Groups and Roles are what its credentials say; what bindings add, the policy knows.
	Groups []string
	Roles  []RoleIn
	// Scopes are the only permissions that its credentials are good for; nil: all that its roles give.
	Scopes []Permission
}

// RoleIn is a role in a namespace, or in [AllNamespaces].
type RoleIn = policy.Holding

// AnonymousName is the name of callers that have not said who they are.
const AnonymousName = "anonymous"

// Anonymous is a caller that has not said who it is.
func Anonymous(surface Surface, from string) Caller {
	return Caller{Name: AnonymousName, Surface: surface, From: from}
}
