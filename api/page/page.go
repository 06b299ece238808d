// Package page serves the page: a cluster in a browser.
//
// It owns the built files, which are made of web/ by make page, and the headers that they are served with. It must not know what the page shows: that
// calls the service as every other client does.
package page

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
)

//go:generate go run ./typegen ../../web/src/lib/proto.ts

//go:embed all:static
var static embed.FS

// Prefix is below what the page's files are.
const Prefix = "/page/"

// Paths are the patterns of [http.ServeMux] that a [Handler] serves: the files, and the views, which are all the same document.
var Paths = []string{"GET " + Prefix, "GET /{$}", "GET /t/", "GET /pools", "GET /inbox", "GET /schedules", "GET /flows", "GET /runs/", "GET /doctor"}

// policy lets the document have nothing from elsewhere, and no script or style within it. An image may be of data, which files of tasks are shown by.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html taskgrove"

// file is one of the page's files.
type file struct {
	data, packed []byte // packed is empty where packing gains nothing
	kind         string // its content type
}

var files = sync.OnceValue(func() map[string]*file {
	out := map[string]*file{}
	err := fs.WalkDir(static, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := static.ReadFile(name)
		if err != nil {
			return err
		}
		f := &file{data: data, kind: kindOf(name)}
		var b bytes.Buffer
		w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		if b.Len() < len(data)*9/10 {
			f.packed = b.Bytes()
		}
		out[strings.TrimPrefix(name, "static/")] = f
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("read the page's files: %v", err)) // they are part of the binary
	}
	return out
})

// kindOf does not ask the machine's table of types, which differs from one to the next.
func kindOf(name string) string {
	switch ext := path.Ext(name); ext {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return mime.TypeByExtension(ext)
	}
}

// Settings are what the page learns before it calls the service.
type Settings struct {
	Version string   `json:"version"`
	Issuers []string `json:"issuers"` // where people sign in; empty: nowhere
}

// Handler serves the page. Safe for concurrent use.
type Handler struct{ files map[string]*file }

// New makes a handler.
func New(s Settings) *Handler {
	if s.Issuers == nil {
		s.Issuers = []string{}
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("write the page's settings: %v", err)) // they are texts
	}
	own := maps.Clone(files())
	own["settings.json"] = &file{data: text, kind: "application/json"}
	return &Handler{own}
}

// ServeHTTP serves a file, or the document.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "same-origin")
	name, isFile := strings.CutPrefix(r.URL.Path, Prefix)
	if !isFile {
		name = "index.html"
	}
	f := h.files[name]
	if f == nil || isFile && name == "index.html" {
		http.Error(w, "the page has no such file", http.StatusNotFound)
		return
	}
	head.Set("Content-Type", f.kind)
	if strings.HasPrefix(name, "assets/") { // their names change with what is in them
		head.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		head.Set("Cache-Control", "no-cache")
	}
	head.Set("Content-Security-Policy", policy)
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	head.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	data := f.data
	if f.packed != nil {
		head.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header) {
			head.Set("Content-Encoding", "gzip")
			data = f.packed
		}
	}
	head.Set("Content-Length", fmt.Sprint(len(data)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(data) // whoever asked has gone away
	}
}

func acceptsGzip(h http.Header) bool {
	for _, one := range strings.Split(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(one), ";")
		if slices.Contains([]string{"gzip", "*"}, strings.TrimSpace(name)) && strings.ReplaceAll(q, " ", "") != "q=0" {
			return true
		}
	}
	return false
}
