package node

import (
	"net/http"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/api/a2a"
	"github.com/taskgrove/taskgrove/api/approvals"
	"github.com/taskgrove/taskgrove/api/grpcserver"
	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/api/mcp"
	"github.com/taskgrove/taskgrove/api/openapi"
	"github.com/taskgrove/taskgrove/api/page"
	"github.com/taskgrove/taskgrove/api/signin"
	"github.com/taskgrove/taskgrove/api/triggers"
	"github.com/taskgrove/taskgrove/coordinator"
)

// mount is where a surface is served.
type mount struct {
	path    string // a pattern of [http.ServeMux]
	handler http.Handler
	// refuse answers a request that is not let in, in the words of the surface; nil: what is public.
	refuse refusal
	// public: GET and HEAD need no token, such as those of documents (spec 5.1).
	public bool
	// signed: the path or the headers have what lets a request in, which needs no token (see [httpserver.Config]).
	signed bool
}

type refusal func(http.ResponseWriter, *http.Request, *api.Fault)

// routes say which paths are served.
type routes struct{ system, docs, page bool }

// serves reports whether a path is switched on.
func (r routes) serves(path string) bool {
	system := path == "/tasks" || strings.HasPrefix(path, "/tasks/") || path == "/system"
	docs := path == "/docs" || strings.HasPrefix(path, "/docs/") || strings.HasPrefix(path, "/openapi.")
	return (r.system || !system) && (r.docs || !docs)
}

// protocols are the surfaces that others stand on.
func protocols(access *coordinator.Access, parts coordinatorParts) (*jsonrpc.Handler, *a2a.Handler) {
	tasks := jsonrpc.New(access, parts.jsonrpc)
	return tasks, a2a.New(access, tasks, parts.a2a)
}

// mounts are all that a coordinator serves over HTTP beside health, readiness and metrics: each surface below its own paths.
func mounts(access *coordinator.Access, parts coordinatorParts, tasks *jsonrpc.Handler, agent *a2a.Handler, tools *mcp.Handler) (all []mount) {
	for _, path := range jsonrpc.Paths {
		all = append(all, mount{path: path, handler: tasks, refuse: tasks.Refuse})
	}
	links := approvals.New(access, parts.http.Log)
	for _, path := range approvals.Paths {
		all = append(all, mount{path: path, handler: links, signed: true})
	}
	all = append(all, mount{path: triggers.Path, handler: triggers.New(access, parts.http.Log), signed: true})
	for _, path := range a2a.Paths {
		all = append(all, mount{path: path, handler: agent, refuse: agent.Refuse})
	}
	for _, path := range a2a.CardPaths {
		all = append(all, mount{path: path, handler: agent, public: true})
	}
	reference := openapi.New()
	for _, path := range openapi.Paths {
		all = append(all, mount{path: path, handler: reference, public: true})
	}
	if parts.signin != nil {
		all = append(all, mount{path: signin.LoginPath, handler: parts.signin, public: true}, mount{path: signin.CallbackPath, handler: parts.signin, public: true},
			mount{path: signin.LogoutPath, handler: parts.signin})
	}
	switch { // who opens the address in a browser
	case parts.routes.page:
		view := page.New(page.Settings{Version: Version(), Issuers: parts.issuers})
		for _, path := range page.Paths {
			all = append(all, mount{path: path, handler: view, public: true})
		}
	case parts.routes.docs:
		all = append(all, mount{path: "GET /{$}", handler: http.RedirectHandler("/docs", http.StatusSeeOther), public: true})
	}
	all = append(all, mount{path: mcp.Path, handler: tools, refuse: tools.Refuse})
	web := grpcserver.NewWeb(access, parts.grpc)
	for _, path := range grpcserver.WebPaths() {
		all = append(all, mount{path: path, handler: web, refuse: web.Refuse})
	}
	return slices.DeleteFunc(all, func(m mount) bool { return !parts.routes.serves(m.path) })
}

// mounted serves mounts. What no path leads to is 404.
func mounted(all []mount) *mux {
	m := &mux{http.NewServeMux(), map[string]mount{}}
	for _, one := range all {
		m.Handle(one.path, one.handler)
		m.mounts[one.path] = one
	}
	return m
}

type mux struct {
	*http.ServeMux
	mounts map[string]mount // by pattern
}

// public reports whether a request needs no token.
func (m *mux) public(r *http.Request) bool {
	_, pattern := m.Handler(r)
	return m.mounts[pattern].public
}

// signed reports whether a request has what lets it in without a token.
func (m *mux) signed(r *http.Request) bool {
	_, pattern := m.Handler(r)
	return m.mounts[pattern].signed
}

// refuse answers a request that is not let in. Where nothing is served, that is all there is to say.
func (m *mux) refuse(w http.ResponseWriter, r *http.Request, f *api.Fault) {
	_, pattern := m.Handler(r)
	if refuse := m.mounts[pattern].refuse; refuse != nil {
		refuse(w, r, f)
		return
	}
	http.Error(w, f.Text, api.HTTPStatus(f.Kind))
}
