package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeysOfModelsAreRead(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("GOOD_KEY", "openai:sk-1")
	t.Setenv("BAD_KEY", "SHOWN SHOWN")
	t.Setenv("NO_KEY", "")
	for name, tt := range map[string]struct {
		from       llmKey
		want, fail string
	}{
		"none":              {llmKey{}, "", ""},
		"a variable":        {llmKey{env: "GOOD_KEY"}, "openai:sk-1", ""},
		"a file":            {llmKey{file: put("good", "sk-2\r\n")}, "sk-2", ""},
		"a long file":       {llmKey{file: put("full", strings.Repeat("x", 4096)+"\n")}, strings.Repeat("x", 4096), ""},
		"no variable":       {llmKey{env: "KEY_THAT_IS_NOT_SET"}, "", "there is no variable KEY_THAT_IS_NOT_SET"},
		"an empty variable": {llmKey{env: "NO_KEY"}, "", "the key is empty"},
		"no file":           {llmKey{file: filepath.Join(dir, "none")}, "", "no such file"},
		"a space":           {llmKey{env: "BAD_KEY"}, "", "the key must be of visible ASCII"},
		"two lines":         {llmKey{file: put("lines", "SHOWN\nSHOWN\n")}, "", "the key must be of visible ASCII"},
		"too long":          {llmKey{file: put("long", strings.Repeat("SHOWN", 2000))}, "", "at most 4096 bytes"},
	} {
		got, err := tt.from.read()
		switch {
		case tt.fail == "" && (err != nil || got != tt.want):
			t.Errorf("%s: got %q, %v", name, got, err)
		case tt.fail != "" && (err == nil || !strings.Contains(err.Error(), tt.fail) || strings.Contains(err.Error(), "SHOWN")):
			t.Errorf("%s: got %v, want %q", name, err, tt.fail)
		}
	}
}
