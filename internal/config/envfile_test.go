package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// inDirectory makes a directory the working one, with a file .env.
func inDirectory(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile(".env", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(".env", mode); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { filed.Store(nil) })
	path, err := filepath.Abs(".env")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestVariablesOfAFileCountAfterThoseOfTheEnvironment(t *testing.T) {
	path := inDirectory(t, "# theirs\nexport TASKGROVE_NAME=filed\nTASKGROVE_WINDOW=7\nAIPARTNERUPFLOW_JWT_SECRET_KEY='a secret'\nTASKGROVE_ENV_FILE=/elsewhere\nODD_ONE=1\n", 0o600)
	t.Setenv("TASKGROVE_WINDOW", "9")
	read, err := ReadEnvFiles()
	if err != nil || !slices.Equal(read, []string{path}) {
		t.Fatalf("got %q, %v", read, err)
	}
	var cfg Dev
	if err := Load(&cfg, nil); err != nil {
		t.Fatal(err)
	}
	if cfg.Window != 9 || cfg.Secret.Reveal() != "a secret" {
		t.Errorf("got window %d, secret %q", cfg.Window, cfg.Secret.Reveal())
	}
	if text, ok := LookupEnv("ODD_ONE"); !ok || text != "1" {
		t.Errorf("got %q, %v", text, ok)
	}
	if text, ok := os.LookupEnv("ODD_ONE"); ok {
		t.Errorf("the environment has %q of the file, which commands would inherit", text)
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	for fact, tt := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"others may write it": {"A=1", 0o602}, "its group may write it": {"A=1", 0o620},
		"it is too large": {"A=" + strings.Repeat("x", maxEnvFileBytes), 0o600}, "it is something else": {"SHOWN SHOWN\n{", 0o600},
	} {
		path := inDirectory(t, tt.text, tt.mode)
		if read, err := ReadEnvFiles(); err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "SHOWN") {
			t.Errorf("%s: got %q, %v", fact, read, err)
		}
	}
	inDirectory(t, "A=1", 0o602)
	t.Setenv("TASKGROVE_ENV_FILE", "off")
	if read, err := ReadEnvFiles(); err != nil || len(read) > 0 {
		t.Errorf("off: got %q, %v", read, err)
	}
	t.Setenv("TASKGROVE_ENV_FILE", "nowhere")
	if read, err := ReadEnvFiles(); err == nil {
		t.Errorf("one that is not there, by name: got %q", read)
	}
}
