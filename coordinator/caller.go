package coordinator

// Surface is one way to reach the service.
type Surface string

// The surfaces.
const (
	SurfaceGRPC    Surface = "grpc"
	SurfaceConnect Surface = "connect" // Connect and gRPC-Web
	SurfaceJSONRPC Surface = "jsonrpc"
	SurfaceA2A     Surface = "a2a"
	SurfaceMCP     Surface = "mcp"
)

// Caller is on whose behalf a call is made.
type Caller struct {
	Name    string  // who; [AnonymousName] as long as nobody is asked for a name
	User    string  // the owner that it speaks for (spec 5.6); empty: nobody has been asked
	Admin   bool    // it may speak for every owner
	Surface Surface // by which way
	From    string  // from where: the network address that the surface sees; empty: this process itself
}

// AnonymousName is the name of callers that have not said who they are.
const AnonymousName = "anonymous"

// Anonymous is a caller that has not said who it is.
func Anonymous(surface Surface, from string) Caller {
	return Caller{Name: AnonymousName, Surface: surface, From: from}
}
