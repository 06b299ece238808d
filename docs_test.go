package taskgrove_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	mdLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	mdHeading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	mdFence   = regexp.MustCompile("(?ms)^```.*?^```$")
	mdTest    = regexp.MustCompile(`\b(?:Test|Fuzz|Example)[A-Z]\w+`)
	mdPath    = regexp.MustCompile("`([\\w.-]+/[\\w./-]+)`")
	mdCommand = regexp.MustCompile(`\bgo (?:run|test|build)(?: -\w+(?: '[^']*'| \w+)?)*? (\./[\w./-]+)`)
	mdMake    = regexp.MustCompile("(?:`|(?m:^))make ([a-z-]+)")
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w+)\(`)
	target    = regexp.MustCompile(`(?m)^([a-z-]+):`)
	ending    = regexp.MustCompile(`\.(go|sql|md|proto|sh)$`)
	notInSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// found calls f with each file of the repository whose name ends so.
func found(t *testing.T, suffix string, f func(name, text string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules" || entry.Name() == "bin"):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, suffix):
			return nil
		}
		text, err := os.ReadFile(name)
		f(filepath.ToSlash(name), string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// isOurs says whether a path means a file or directory of the repository: it begins with one of ours, or ends like one. What
// make puts into bin is there only after it was made.
func isOurs(path string) bool {
	top, _, _ := strings.Cut(strings.TrimPrefix(path, "./"), "/")
	return top != "bin" && !strings.Contains(path, "...") && (exists(top) || ending.MatchString(path))
}

// slugs are the anchors of a document's headings, as GitHub makes them.
func slugs(text string) map[string]bool {
	all := map[string]bool{}
	for _, h := range mdHeading.FindAllStringSubmatch(mdFence.ReplaceAllString(text, ""), -1) {
		all[strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-")] = true
	}
	return all
}

// submatches are what the last group of each match holds, or each match where there is no group.
func submatches(re *regexp.Regexp, text string) (all []string) {
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		all = append(all, m[len(m)-1])
	}
	return all
}

func TestLinksOfDocumentsResolve(t *testing.T) {
	found(t, ".md", func(name, text string) {
		for _, link := range submatches(mdLink, mdFence.ReplaceAllString(text, "")) {
			if strings.Contains(link, "://") {
				continue
			}
			to, anchor, _ := strings.Cut(link, "#")
			if to = filepath.Join(filepath.Dir(name), to); strings.HasPrefix(link, "#") {
				to = name
			}
			if !exists(to) {
				t.Errorf("%s links to %s, which does not exist", name, link)
				continue
			}
			if anchor != "" {
				other, err := os.ReadFile(to)
				if err != nil {
					t.Fatal(err)
				}
				if !slugs(string(other))[anchor] {
					t.Errorf("%s links to %s, but there is no such heading", name, link)
				}
			}
		}
	})
}

// TestDocumentsNameWhatExists holds tests, files, packages and make targets that documents name against the tree. The
// changelog may name what is gone.
func TestDocumentsNameWhatExists(t *testing.T) {
	known := map[string]bool{}
	found(t, "_test.go", func(_, text string) {
		for _, f := range submatches(testFunc, text) {
			known[f] = true
		}
	})
	for _, name := range []string{"TestWebhook", "TestWebhookRequest"} { // a call of gRPC, which its reference names
		known[name] = true
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range submatches(target, string(makefile)) {
		known["make "+name] = true
	}
	found(t, ".md", func(name, text string) {
		if name == "CHANGELOG.md" {
			return
		}
		own := submatches(testFunc, text) // a guide may show tests of the reader's
		for _, test := range submatches(mdTest, text) {
			if !known[test] && !slices.Contains(own, test) {
				t.Errorf("%s names the test %s, which does not exist", name, test)
			}
		}
		for _, path := range append(submatches(mdPath, text), submatches(mdCommand, text)...) {
			if isOurs(path) && !exists(path) {
				t.Errorf("%s names %s, which does not exist", name, path)
			}
		}
		for _, goal := range submatches(mdMake, text) {
			if !known["make "+goal] {
				t.Errorf("%s names make %s, which is no target", name, goal)
			}
		}
	})
}
