package httpserver

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/api"
)

// cookies are those in which browsers keep a token (spec K22), in this order.
var cookies = []string{"Authorization", "authorization", "auth_token"}

// identified notes who sends a request, and refuses those of whom nobody knows (spec 5.6). It reads no body.
func (s *Server) identified(next http.Handler) http.Handler {
	if s.cfg.Identify == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions || s.cfg.Public != nil && safe(r.Method) && s.cfg.Public(r) {
			next.ServeHTTP(w, r)
			return
		}
		token, fault := s.token(r)
		if fault != "" {
			unauthorized(w, r, fault)
			return
		}
		who, err := s.cfg.Identify(token)
		if err != nil {
			s.cfg.Log.DebugContext(r.Context(), "a token was refused", "path", r.URL.Path, "error", err)
			unauthorized(w, r, api.InvalidToken)
			return
		}
		next.ServeHTTP(w, r.WithContext(api.WithCaller(r.Context(), who)))
	})
}

// token is what a request carries: in its header, else in a cookie. fault says why there is none.
func (s *Server) token(r *http.Request) (token, fault string) {
	switch headers := r.Header.Values("Authorization"); {
	case len(headers) > 1:
		return "", api.InvalidToken
	case len(headers) == 1 && api.Bearer(headers[0]) != "":
		return api.Bearer(headers[0]), ""
	}
	if !s.cookieCounts(r) {
		return "", api.MissingToken
	}
	for _, name := range cookies {
		for _, cookie := range r.CookiesNamed(name) {
			value := strings.Replace(cookie.Value, "%20", " ", 1) // as scripts write "Bearer x"
			if token = api.Bearer(value); token != "" {
				return token, ""
			}
		}
	}
	return "", api.MissingToken
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
