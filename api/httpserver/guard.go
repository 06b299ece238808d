package httpserver

import (
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// guarded refuses what a page of a stranger could make a browser send: a Host that is not ours (DNS rebinding), an Origin
// that is not ours, and a write that needs no leave of ours because its content type is a form's. It reads no body.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.hostAllowed(r) {
			refuse(w, http.StatusForbidden, fmt.Sprintf("host %s is not served here; TASKGROVE_HTTP_HOSTS lists other names of this server", quoted(r.Host)))
			return
		}
		origin, fault := s.originOf(r)
		if fault != "" {
			refuse(w, http.StatusForbidden, fault)
			return
		}
		if listed := slices.Contains(s.cfg.Origins, origin); (listed || s.cfg.AnyOrigin && origin != "") && share(w, r, origin, listed) {
			return
		}
		if fromBrowser(r) && !safe(r.Method) && !asked(r.Header) && !s.signed(r) {
			refuse(w, http.StatusUnsupportedMediaType, "a browser's request must have the content type application/json, or one of Connect or gRPC-Web")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostAllowed: a rebound name of a stranger is neither an address, nor localhost, nor configured. Browsers always send a Host.
func (s *Server) hostAllowed(r *http.Request) bool {
	name := hostName(r.Host)
	if r.Host == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	if addr, err := netip.ParseAddr(name); err == nil && (addr.IsLoopback() || addr.Unmap() == localAddr(r)) {
		return true
	}
	return name == hostName(s.cfg.Addr) || slices.ContainsFunc(s.cfg.Hosts, func(host string) bool {
		return strings.EqualFold(host, r.Host) || hostName(host) == name && hostOnly(host)
	})
}

// hostName is the host of host:port in lower case, without port, brackets or the last dot.
func hostName(hostport string) string {
	host := hostport
	if name, _, err := net.SplitHostPort(hostport); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// hostOnly reports whether there is no port.
func hostOnly(hostport string) bool {
	_, _, err := net.SplitHostPort(hostport)
	return err != nil
}

// localAddr is the address of ours at which the request came in.
func localAddr(r *http.Request) netip.Addr {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		addr, _ := netip.AddrFromSlice(local.IP)
		return addr.Unmap()
	}
	return netip.Addr{}
}

// originOf is the origin that a browser names, empty for none. fault says why the request is refused: it comes from the
// page of another origin.
func (s *Server) originOf(r *http.Request) (origin, fault string) {
	origins := r.Header.Values("Origin")
	if len(origins) > 1 {
		return "", "a request has one origin at most"
	}
	if len(origins) == 1 {
		origin = origins[0]
		if slices.Contains(s.cfg.Origins, origin) || s.cfg.AnyOrigin {
			return origin, ""
		}
		if !sameOrigin(origin, r) {
			return "", fmt.Sprintf("origin %s is not allowed; TASKGROVE_HTTP_ORIGINS lists the pages that may use this server", quoted(origin))
		}
	}
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if !s.cfg.AnyOrigin && site != "same-origin" && site != "none" && !opened(r) {
			return "", "pages of other origins may not use this server; TASKGROVE_HTTP_ORIGINS lists those that may"
		}
	}
	return origin, ""
}

// sameOrigin: the listener knows no TLS, but a proxy before it may.
func sameOrigin(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// opened reports whether somebody follows a link to here: what comes is shown to him, and the other page can't read it.
func opened(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// fromBrowser: a browser sends Origin or Sec-Fetch headers with every request that is more than a GET.
func fromBrowser(r *http.Request) bool {
	for name := range r.Header {
		if name == "Origin" || strings.HasPrefix(name, "Sec-Fetch-") {
			return true
		}
	}
	return false
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// askedTypes are content types that a page may not send to another origin without asking first: JSON, and those of Connect and gRPC-Web.
var askedTypes = []string{"application/json", "application/proto", "application/connect+json", "application/connect+proto",
	"application/grpc-web", "application/grpc-web+proto", "application/grpc-web+json"}

// asked reports whether a page of another origin would have had to ask first.
func asked(h http.Header) bool {
	types := h.Values("Content-Type")
	if len(types) != 1 {
		return false
	}
	kind, _, err := mime.ParseMediaType(types[0])
	return err == nil && slices.Contains(askedTypes, kind)
}

// exposed are the headers of answers that scripts of other origins may read, besides those that they always may.
const exposed = "X-Next-Cursor, WWW-Authenticate, Retry-After, Mcp-Session-Id, Mcp-Protocol-Version, Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin"

// share lets a page of an allowed origin read the answer, whatever it will be (CORS, spec 5.1), and answers its question beforehand: then it
// returns true. credentials: the browser may send its cookies.
func share(w http.ResponseWriter, r *http.Request, origin string, credentials bool) bool {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	if credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Expose-Headers", exposed)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Add("Vary", "Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE")
	if asks := r.Header.Get("Access-Control-Request-Headers"); asks != "" && len(asks) <= maxAsked {
		h.Set("Access-Control-Allow-Headers", asks) // all, as with credentials * is none
	}
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// maxAsked is how many bytes of names of headers a page may ask for.
const maxAsked = 4 << 10

// refuse answers without waiting for the body, and ends the connection for that.
func refuse(w http.ResponseWriter, status int, text string) {
	refuseWith(w, status, map[string]string{"error": text})
}

// quoted shows a value of a stranger's.
func quoted(text string) string { return fmt.Sprintf("%.100q", text) }
