package mutation

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestOverlayBuildsTheEditedProgram(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"go.mod": "module m\ngo 1.26\n", "main.go": "package main\nfunc main() { println(\"sound\") }\n"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := Mutant{Name: "ill", File: "main.go", Old: `"sound"`, New: `"ill"`}.Overlay(root, dir)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "run", "-overlay", overlay, ".")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "ill" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestOverlayRefusesTextThatIsNotThereOnce(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a.go"), []byte("x x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{"y", "x"} {
		if _, err := (Mutant{Name: "m", File: "a.go", Old: old}).Overlay(root, t.TempDir()); err == nil {
			t.Errorf("%q was accepted", old)
		}
	}
}
