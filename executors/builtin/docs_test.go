package builtin_test

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/builtin"
)

func TestDocumentNamesEachExecutor(t *testing.T) {
	page, err := os.ReadFile("../../docs/executors.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := ""
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "## ") {
			headings += line
		}
	}
	for d := range builtin.Catalogue() {
		if !strings.Contains(headings, d.ID) {
			t.Errorf("docs/executors.md has no section on %s", d.ID)
		}
	}
}

// slotsUnder are the slots by default of each executor with so many cores.
func slotsUnder(cores int) map[string]int {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	slots := map[string]int{}
	for d := range builtin.Catalogue() {
		slots[d.ID] = cmp.Or(d.Concurrency, executors.DefaultConcurrency)
	}
	return slots
}

// TestDocumentsTellTheSlots reads the table of executors.md, and the setting that names those that are not usual.
func TestDocumentsTellTheSlots(t *testing.T) {
	page, err := os.ReadFile("../../docs/executors.md")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Slots\n")
	section, _, _ = strings.Cut(section, "\n## ")
	setting := regexp.MustCompile("(?m)^\\| `TASKGROVE_CONCURRENCY`.*$").FindString(string(settings))
	alone, three, five := slotsUnder(1), slotsUnder(3), slotsUnder(5)
	for id, slots := range three {
		text := strconv.Itoa(slots)
		if five[id] == 5 && three[id] == 3 {
			text = fmt.Sprintf("one for each core, at least %d", alone[id])
		}
		row := regexp.MustCompile("(?m)^\\|[^|]*`" + id + "`[^|]*\\| ([^|]*) \\|").FindStringSubmatch(section)
		if row == nil || row[1] != text {
			t.Errorf("docs/executors.md has %q for %s, want %q", row, id, text)
		}
		if slots != executors.DefaultConcurrency && !regexp.MustCompile(text+", for [^,]*"+id+"|"+text+" for [^,]*"+id).MatchString(setting) {
			t.Errorf("TASKGROVE_CONCURRENCY does not say %q for %s: %s", text, id, setting)
		}
	}
}
