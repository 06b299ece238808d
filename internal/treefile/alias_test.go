package treefile

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// bomb is nine aliases of nine aliases, and so on: a document of few bytes that stands for 9^levels.
func bomb(levels int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "l0: &l0 [%s]\n", strings.Repeat("x,", 9))
	for i := 1; i <= levels; i++ {
		fmt.Fprintf(&b, "l%d: &l%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*l%d,", i-1), 9))
	}
	return b.String()
}

func TestAliasesAreBounded(t *testing.T) {
	merged := "defaults: &d {retry: {max_attempts: 3}}\ntasks:\n" + strings.Repeat("- {<<: *d, name: a}\n", 1_000)
	for fact, tt := range map[string]struct{ text, fault string }{
		"a bomb of 8 levels":        {bomb(8), "aliases stand for more"},
		"a bomb of 30 levels":       {bomb(30), "aliases stand for more"},
		"the same many times":       {"a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" + strings.Repeat("*a,", 17) + "]", "aliases stand for more"},
		"itself":                    {"a: &a [*a]", "within what it stands for"},
		"itself, through a mapping": {"a: &a {b: {c: *a}}", "within what it stands for"},
		"a few":                     {bomb(3), ""},
		"defaults of many tasks":    {merged, ""},
		"an anchor given anew":      {"a: &a 1\nb: &a [*a, *a]", "within what it stands for"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := yamlToJSON([]byte(tt.text))
		runtime.ReadMemStats(&after)
		if (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%s: got %v, want %q", fact, err, tt.fault)
		}
		if got := (after.TotalAlloc - before.TotalAlloc) >> 20; tt.fault != "" && got > 64 {
			t.Errorf("%s: %d MiB to refuse %d bytes", fact, got, len(tt.text))
		}
	}
}
