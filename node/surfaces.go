package node

import (
	"net/http"

	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/api/mcp"
	"github.com/taskgrove/taskgrove/coordinator"
)

// surfaces are all that a coordinator serves over HTTP beside health, readiness and metrics: each surface below its own paths. What no path
// leads to is 404.
func surfaces(access *coordinator.Access, parts coordinatorParts, tools *mcp.Handler) http.Handler {
	tasks := jsonrpc.New(access, parts.jsonrpc)
	mux := http.NewServeMux()
	for _, path := range jsonrpc.Paths {
		mux.Handle(path, tasks)
	}
	mux.Handle(mcp.Path, tools)
	mux.Handle(grpcserver.WebPath, grpcserver.NewWeb(access, parts.grpc))
	return mux
}
