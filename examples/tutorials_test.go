package examples

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/porttest"
)

// TestTutorialsWork makes every file and runs every command of the tutorials, as TestTheGuideWorks does with another page. Servers listen on free
// ports.
func TestTutorialsWork(t *testing.T) {
	if testing.Short() {
		t.Skip("starts clusters")
	}
	pages, err := filepath.Glob("../docs/tutorials/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(err)
	}
	for _, page := range pages {
		t.Run(filepath.Base(page), func(t *testing.T) { newGuide(t).follow(page) })
	}
}

// TestWebhooksArrive does the same with the page of webhooks, whose receiver is on it.
func TestWebhooksArrive(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	newGuide(t).follow("../docs/webhooks.md")
}

// TestAuthenticationWorks does the same with the page of authentication.
func TestAuthenticationWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	newGuide(t).follow("../docs/authentication.md")
}

// TestTheAccessPageWorks does the same with the page of access control.
func TestTheAccessPageWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	newGuide(t).follow("../docs/access-control.md")
}

// TestTheAuditPageWorks does the same with the page of the audit record.
func TestTheAuditPageWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	newGuide(t).follow("../docs/audit.md")
}

// TestNamespacesKeepApart does the same with the page of namespaces.
func TestNamespacesKeepApart(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	newGuide(t).follow("../docs/namespaces.md")
}

// TestPoolsAreForSome does the same with the page of rules of pools.
func TestPoolsAreForSome(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	newGuide(t).follow("../docs/pools.md")
}

// follow runs a page.
func (g *guide) follow(page string) {
	web, hook := porttest.Address(g.t), porttest.Address(g.t)
	g.env = append(g.env, "TASKGROVE_HTTP_ADDR="+web)
	var last *output
	for _, b := range blocks(g.t, page) {
		text := strings.NewReplacer("127.0.0.1:8000", web, "127.0.0.1:9000", hook).Replace(b.text)
		switch {
		case b.language == "text":
			last.want(g.t, text)
		case b.language == "sh" && b.word == "server":
			last = g.serve(text)
		case b.language == "sh":
			last = g.run(text)
		case b.word != "":
			g.write(b.word, text)
		}
	}
	for _, s := range slices.Backward(g.servers) {
		s.interrupt(g.t)
	}
}
