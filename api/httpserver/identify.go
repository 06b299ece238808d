package httpserver

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
)

// cookies are those in which browsers keep a token (spec K22), in this order; after them comes the session of who has signed in.
var cookies = []string{"Authorization", "authorization", "auth_token"}

// identify tells who sends a request. The error is a fault: nobody knows, or it can't be said just now.
func (s *Server) identify(r *http.Request) (who coordinator.Caller, err error) {
	given, fault := s.credentials(r)
	if fault != "" {
		s.cfg.Refused.NotLetIn(r.Context(), coordinator.SurfaceHTTP, r.RemoteAddr, fault)
		return who, &api.Fault{Kind: api.Unauthenticated, Text: fault}
	}
	if who, err = s.cfg.Identify(r.Context(), given); err == nil {
		return who, nil
	}
	s.cfg.Log.DebugContext(r.Context(), "a caller was refused", "path", r.URL.Path, "error", err)
	if errors.Is(err, coordinator.ErrUnavailable) {
		return who, &api.Fault{Kind: api.Unavailable, Text: api.Unproven}
	}
	s.cfg.Refused.NotLetIn(r.Context(), coordinator.SurfaceHTTP, r.RemoteAddr, err.Error())
	return who, &api.Fault{Kind: api.Unauthenticated, Text: api.InvalidToken}
}

// unknown answers who was not identified.
func unknown(w http.ResponseWriter, r *http.Request, err error) {
	if fault, ok := errors.AsType[*api.Fault](err); ok && fault.Kind == api.Unauthenticated {
		unauthorized(w, r, fault.Text)
		return
	}
	unproven(w, r)
}

// credentials are what a request carries: a token in its header, else in a cookie, and the certificate of its connection. fault says why there is
// nothing.
func (s *Server) credentials(r *http.Request) (given api.Credentials, fault string) {
	given.TLS = r.TLS
	switch headers := r.Header.Values("Authorization"); {
	case len(headers) > 1:
		return given, api.InvalidToken
	case len(headers) == 1 && api.Bearer(headers[0]) != "":
		given.Token = api.Bearer(headers[0])
		return given, ""
	}
	if s.cookieCounts(r) {
		for _, name := range append(slices.Clip(cookies), s.cfg.SessionCookie) {
			for _, cookie := range r.CookiesNamed(name) {
				value := strings.Replace(cookie.Value, "%20", " ", 1) // as scripts write "Bearer x"
				if given.Token = api.Bearer(value); given.Token != "" {
					given.Cookie = true
					return given, ""
				}
			}
		}
	}
	if !given.Given() {
		return given, api.MissingToken
	}
	return given, ""
}

// cookieCounts: a browser sends cookies also with what a page of a stranger makes it send. Requests of pages of other origins do not get here
// ([Server.guarded]); those that any origin may send are no reason to trust it with a cookie, nor is a write that a form of any page can send.
func (s *Server) cookieCounts(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin != "" && !slices.Contains(s.cfg.Origins, origin) && !sameOrigin(origin, r) {
		return false
	}
	if site := r.Header.Get("Sec-Fetch-Site"); origin == "" && site != "" && site != "same-origin" && site != "none" && !opened(r) {
		return false
	}
	return safe(r.Method) || asked(r.Header) || fromBrowser(r)
}

// unauthorized answers as the protocol says (spec 5.2): without an id, and without having read the request. Clients of Connect, whose calls have a
// method of a service as path, get its error.
func unauthorized(w http.ResponseWriter, r *http.Request, text string) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	if connectPath.MatchString(r.URL.Path) {
		refuseWith(w, http.StatusUnauthorized, map[string]string{"code": "unauthenticated", "message": text})
		return
	}
	refuseWith(w, http.StatusUnauthorized, struct {
		Version string       `json:"jsonrpc"`
		Error   unauthorised `json:"error"`
	}{"2.0", unauthorised{-32001, "Unauthorized", text}})
}

// unproven answers while it can't be said who a caller is: the keys of an issuer, or Postgres, are away.
func unproven(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "5")
	if connectPath.MatchString(r.URL.Path) {
		refuseWith(w, http.StatusServiceUnavailable, map[string]string{"code": "unavailable", "message": api.Unproven})
		return
	}
	refuseWith(w, http.StatusServiceUnavailable, struct {
		Version string       `json:"jsonrpc"`
		Error   unauthorised `json:"error"`
	}{"2.0", unauthorised{-32603, "Internal error", api.Unproven}})
}

// connectPath is as /package.v1.Service/Method.
var connectPath = regexp.MustCompile(`^/(?:\w+\.)+\w+/\w+$`)

type unauthorised struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    string `json:"data"`
}

// refuseWith answers without waiting for the body, and ends the connection for that.
func refuseWith(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	h.Set("Connection", "close")
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
