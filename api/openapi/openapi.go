// Package openapi serves the description of what the HTTP port answers: an OpenAPI 3.1 document at /openapi.json, and a page at /docs that
// renders it.
//
// It owns the page and the document's place. It must not know what it describes: docgen makes the document of the table of methods, before the build.
package openapi

import (
	_ "embed" // the document and the page
	"net/http"
)

//go:generate go run ./docgen openapi.json

// Document is the OpenAPI document, in JSON.
//
//go:embed openapi.json
var Document []byte

//go:embed docs.html
var page []byte

// Paths are where a handler of [New] answers.
var Paths = []string{"/openapi.json", "/docs"}

// New makes a handler of GET /openapi.json and GET /docs.
func New() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /openapi.json", serve("application/json", Document))
	mux.HandleFunc("GET /docs", serve("text/html; charset=utf-8", page))
	return mux
}

func serve(kind string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		_, _ = w.Write(body) // if the client has gone, nobody is left to tell
	}
}
