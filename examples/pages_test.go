package examples

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/porttest"
)

// TestPagesWork makes every file and runs every command of the pages whose commands need nothing but the program. What a page shows as output must come.
func TestPagesWork(t *testing.T) {
	if testing.Short() {
		t.Skip("starts clusters")
	}
	pages, err := filepath.Glob("../docs/tutorials/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("there are no tutorials: %v", err)
	}
	for _, page := range []string{
		"a2a", "access-control", "apply", "audit", "authentication", "cache", "flows/bundles", "flows/guide", "flows/locks", "flows/playbook", "flows/plugins", "flows/profiles", "flows/schedules", "install", "keeping", "limits", "namespaces", "operator-limits", "pauses", "pools",
		"schedules", "testing-trees", "tree-files", "unique", "values", "waiting", "webhooks",
	} {
		pages = append(pages, "../docs/"+page+".md")
	}
	for _, page := range pages {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(page, "../docs/"), ".md"), func(t *testing.T) {
			g := newGuide(t)
			g.link("examples")
			g.follow(page)
		})
	}
}

// link gives the guide's directory the directory of the examples, under a name.
func (g *guide) link(name string) {
	here, err := filepath.Abs(".")
	if err == nil {
		err = os.Symlink(here, filepath.Join(g.dir, name))
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

// follow makes the files of a page and runs its commands, in their order. Servers listen on free ports.
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
