// Package approvals has the page of the links by which people answer approvals.
//
// It owns what such a link shows, and how an answer comes from it. It must not know how links are signed, or what an answer does.
package approvals

import (
	"context"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// Paths are the patterns of [http.ServeMux] that a [Handler] serves. A GET shows what is asked and changes nothing, however often mail programs and
// chats fetch it; a POST answers.
var Paths = []string{"GET " + coordinator.LinkPath + "{token}", "POST " + coordinator.LinkPath + "{token}"}

// Bounds.
const (
	maxForm     = 64 << 10
	requestTime = 30 * time.Second
)

// Handler serves the page. Safe for concurrent use.
type Handler struct {
	access *coordinator.Access
	log    *slog.Logger
}

// New makes a handler on the service that access gives.
func New(access *coordinator.Access, log *slog.Logger) *Handler {
	if log == nil {
		log = slog.Default()
	}
	return &Handler{access: access, log: log}
}

// page is what is shown.
type page struct {
	Title    string
	Approval *coordinator.LinkedApproval // nil: there is nothing to answer
	Text     string
}

const head = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>%[1]s</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}pre{font:inherit;white-space:pre-wrap;overflow-wrap:anywhere}textarea{width:100%%}button{font:inherit;padding:.4rem 1.2rem;margin:.5rem .5rem 0 0}small{color:#555}</style>
<h1>%[1]s</h1>
`

// html is the page. It is put together here, as the packages of templates call methods by name: the linker would keep those that nothing else calls.
// Every text goes through escape, into an element or between the double quotes of an attribute.
func (p *page) html() string {
	var b strings.Builder
	escape := html.EscapeString
	fmt.Fprintf(&b, head, escape(p.Title))
	a := p.Approval
	if a == nil {
		fmt.Fprintf(&b, "<p>%s</p>\n</html>\n", escape(p.Text))
		return b.String()
	}
	fmt.Fprintf(&b, "<pre>%s</pre>\n", escape(a.Message))
	if a.Choice != "" {
		fmt.Fprintf(&b, "<p>Your answer is <b>%s</b>. This link is used up.</p>\n</html>\n", escape(a.Choice))
		return b.String()
	}
	b.WriteString(`<form method="post">
<label for="comment">Comment</label>
<textarea id="comment" name="comment" rows="4" maxlength="4096"></textarea>
`)
	for _, choice := range a.Choices {
		fmt.Fprintf(&b, `<button name="choice" value="%[1]s">%[1]s</button>`, escape(choice))
	}
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
	fmt.Fprintf(&b, "\n</form>\n<p><small>Task %s (%s) asks since %s", escape(a.Name), escape(a.TaskID), at(a.Since))
	if !a.Until.IsZero() {
		fmt.Fprintf(&b, ", until %s", at(a.Until))
	}
	fmt.Fprintf(&b, ". The link is %s's; it counts once, until %s.</small></p>\n</html>\n", escape(a.For), at(a.Expires))
	return b.String()
}

// ServeHTTP serves the page of a link.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	header.Set("Referrer-Policy", "same-origin") // with no-referrer, browsers would not tell the origin of the form
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Robots-Tag", "noindex")
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	defer cancel()
	svc := h.access.For(api.CallerOf(ctx, coordinator.SurfaceHTTP, r.RemoteAddr))
	token := r.PathValue("token")
	if r.Method != http.MethodPost {
		asked, err := svc.LinkedApproval(ctx, token)
		if err != nil {
			h.refuse(ctx, w, r, err)
			return
		}
		h.show(w, r, http.StatusOK, page{Title: "An answer is asked for", Approval: asked})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		h.refuse(ctx, w, r, api.InvalidParameter("choice", "the answer must be a form of at most 64 KiB, with choice and comment"))
		return
	}
	answered, err := svc.ApproveByLink(ctx, token, coordinator.Approval{Choice: r.PostForm.Get("choice"), Comment: strings.ReplaceAll(r.PostForm.Get("comment"), "\r\n", "\n")})
	if err != nil {
		h.refuse(ctx, w, r, err)
		return
	}
	h.show(w, r, http.StatusOK, page{Title: "Thank you", Approval: answered})
}

// refuse says why there is nothing to answer, or why the answer does not count. The path, which has the token, is not logged.
func (h *Handler) refuse(ctx context.Context, w http.ResponseWriter, r *http.Request, err error) {
	fault := api.Classify(ctx, h.log, r.Method+" "+coordinator.LinkPath+"{token}", err)
	out := page{Title: "This can't be answered", Text: fault.Text}
	if errors.Is(err, coordinator.ErrNotFound) {
		out.Text = "This link is none, or its time is over."
	}
	h.show(w, r, api.HTTPStatus(fault.Kind), out)
}

// harmless is a text without what would steer the terminal that curl writes it to.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && rawjson.Steers(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// show sends the page, or its text to whoever wants no HTML.
func (h *Handler) show(w http.ResponseWriter, r *http.Request, status int, p page) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		text := p.Text
		if a := p.Approval; a != nil {
			text = a.Message + "\n\nPOST to answer: choice is one of " + strings.Join(a.Choices, ", ") + "; comment is any text."
			if a.Choice != "" {
				text = "The answer is " + a.Choice + "."
			}
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(harmless(text) + "\n"))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(p.html()))
}
