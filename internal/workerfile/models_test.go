package workerfile

import (
	"strings"
	"testing"
)

func TestModelServices(t *testing.T) {
	t.Parallel()
	file, err := Parse("f", []byte("models:\n  local: {url: 'http://llm.internal:8000/v1', key: {secret: k}, pools: [a]}\n  gate: {api: anthropic, url: https://gate}\n  openai: {}\n"))
	if err != nil || file.Models["local"].Key.Secret != "k" || file.Models["gate"].API != "anthropic" || file.Models["openai"].URL != "" {
		t.Fatalf("got %+v, %v", file, err)
	}
	_, err = Parse("f", []byte("models:\n  Local: {api: soap, url: 'ftp://x', key: hunter2-canary, pools: []}\n  b: {url: 'https://ann:hunter2-canary@x', key: {name: k}}\n"))
	if err == nil {
		t.Fatal("no faults")
	}
	for _, want := range []string{
		"models.Local.api: want openai or anthropic", "models.Local.url: want http:// or https://", "models.Local.key: want an object", "models.Local.pools: no pool may use it",
		"model service \"Local\": a name has", "models.b.url: want http:// or https://, a host", "models.b.key.name: unknown key", "models.b.key.secret: is missing",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %s:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("shows a value: %v", err)
	}
}
