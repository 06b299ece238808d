package httpserver

import (
	"context"
	"net/http"

	"github.com/taskgrove/taskgrove/api"
)

// let lets requests in to API, or refuses them: who sends one (spec 5.6), how much its caller asks for, and in which namespace. It reads no body. What
// is public is nobody's, and in no namespace.
func (s *Server) let(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions || s.cfg.Public != nil && safe(r.Method) && s.cfg.Public(r) {
			next.ServeHTTP(w, r)
			return
		}
		ctx := r.Context()
		if s.signed(r) {
			if _, err := s.admit(ctx, r); err != nil {
				s.refuseFault(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
			return
		}
		if s.cfg.Identify != nil {
			who, err := s.identify(r)
			if err != nil {
				if _, over := s.admit(ctx, r); over != nil { // who guesses has a bound, too
					s.refuseFault(w, r, over)
					return
				}
				unknown(w, r, err)
				return
			}
			ctx = api.WithCaller(ctx, who)
		}
		ctx, err := s.admit(ctx, r)
		if err == nil {
			ctx, err = api.InNamespace(ctx, r.Header.Values(api.NamespaceHeader), parameters(r, api.NamespaceParameter))
		}
		if err != nil {
			s.refuseFault(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (s *Server) signed(r *http.Request) bool { return s.cfg.Signed != nil && s.cfg.Signed(r) }

// admit counts a request against the bounds of its caller, as far as the context knows it.
func (s *Server) admit(ctx context.Context, r *http.Request) (context.Context, error) {
	if s.cfg.Admit == nil {
		return ctx, nil
	}
	return s.cfg.Admit(ctx, r.RemoteAddr)
}

// parameters are the values of a query's parameter. Most requests have no query.
func parameters(r *http.Request, name string) []string {
	if r.URL.RawQuery == "" {
		return nil
	}
	return r.URL.Query()[name]
}

// refuseFault answers in the words of the protocol that is served at the path, without waiting for a body.
func (s *Server) refuseFault(w http.ResponseWriter, r *http.Request, err error) {
	fault := api.Classify(r.Context(), s.cfg.Log, r.Method+" "+r.URL.Path, err)
	h := w.Header()
	if r.ContentLength != 0 {
		h.Set("Connection", "close")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if fault.RetryAfter > 0 {
		h.Set("Retry-After", api.Seconds(fault.RetryAfter))
	}
	if s.cfg.Refuse != nil {
		s.cfg.Refuse(w, r, fault)
		return
	}
	refuse(w, api.HTTPStatus(fault.Kind), fault.Text)
}
