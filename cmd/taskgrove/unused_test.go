package main

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestUnusedMethodsAreLeftOut fails when something that the binary links calls methods by names that the linker can't know: a template of text or
// HTML, say. The linker then keeps every method of every type, which makes the binary a seventh larger.
func TestUnusedMethodsAreLeftOut(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("../../tools/build.sh", "/dev/null", "-s -w -dumpdep")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %.2000s", err, out)
	}
	if !bytes.Contains(out, []byte("main.main -> ")) {
		t.Fatalf("the linker told no edges: %.2000s", out)
	}
	var callers []string
	for line := range strings.Lines(string(out)) {
		if from, _, ok := strings.Cut(line, " <ReflectMethod> -> "); ok {
			callers = append(callers, from)
		}
	}
	slices.Sort(callers)
	if callers = slices.Compact(callers); len(callers) > 0 {
		t.Errorf("calls methods by name: %q", callers)
	}
}
