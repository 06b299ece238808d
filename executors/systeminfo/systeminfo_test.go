//go:build linux

package systeminfo

import (
	"encoding/json"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
)

func TestFactsOfThisHost(t *testing.T) {
	cpu := `{"brand":".+","cores":[1-9]\d*,"system":"Linux"}`
	memory := `{"system":"Linux","total":"(\d\.\d|\d{2,4})[KMGTP]i"}`
	size := `"(\d\.\d|\d{2,4}|0)[KMGTP]?"`
	disk := `{"available":` + size + `,"system":"Linux","total":` + size + `,"used":` + size + `,"used_percent":"\d{1,3}%"}`
	all := `{"cpu":` + cpu + `,"disk":` + disk + `,"memory":` + memory + `}`
	for inputs, want := range map[string]string{
		`{"resource": "cpu"}`:                cpu,
		`{"resource": "memory"}`:             memory,
		`{"resource": "disk"}`:               disk,
		`{"resource": "all", "timeout": 10}`: all,
		`{}`:                                 all,
		`{"resource": null}`:                 all,
	} {
		call, _ := conformance.Call(t, inputs)
		got, err := New().Run(t.Context(), call)
		if err != nil {
			t.Errorf("%s: %v", inputs, err)
			continue
		}
		text, err := json.Marshal(got.Value())
		if err != nil || !regexp.MustCompile("^"+want+"$").Match(text) {
			t.Errorf("%s: got %s, %v, want %s", inputs, text, err, want)
		}
	}
}

func TestUnknownResource(t *testing.T) {
	call, _ := conformance.Call(t, `{"resource": "gpu"}`)
	_, err := New().Run(t.Context(), call)
	if err == nil || err.Error() != "Unknown resource: gpu. Use 'cpu', 'memory', 'disk', or 'all'" || !executors.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func TestParseCPU(t *testing.T) {
	const x86 = "processor\t: %\nmodel name\t: Some CPU @ 2.00GHz\nphysical id\t: 0\ncore id\t\t: %\n\n"
	for name, row := range map[string]struct {
		text, brand string
		cores       int
	}{
		"two cores":                 {strings.ReplaceAll(x86, "%", "0") + strings.ReplaceAll(x86, "%", "1"), "Some CPU @ 2.00GHz", 2},
		"two threads of one core":   {strings.ReplaceAll(x86, "%", "0") + strings.ReplaceAll(x86, "%", "0"), "Some CPU @ 2.00GHz", 1},
		"no cores told: processors": {"processor: 0\nmodel name: ARM\nprocessor: 1\nmodel name: ARM\n", "ARM", 2},
	} {
		if brand, cores := parseCPU([]byte(row.text)); brand != row.brand || cores != row.cores {
			t.Errorf("%s: got %q, %d", name, brand, cores)
		}
	}
}

func TestSizesReadLikeThoseOfTheSystemsTools(t *testing.T) {
	up := map[uint64]string{0: "0", 1023: "1023", 1024: "1.0K", 1025: "1.1K", 10 << 20: "10M", 10<<20 + 1: "11M", 252<<30 - 5: "252G", 1<<30 - 1: "1.0G"}
	for _, bytes := range slices.Sorted(maps.Keys(up)) {
		if got := size(bytes, math.Ceil); got != up[bytes] {
			t.Errorf("size(%d) is %s, want %s", bytes, got, up[bytes])
		}
	}
	if got := size(24_600_000_000, math.Floor); got != "22G" {
		t.Errorf("rounded down: %s", got)
	}
}
