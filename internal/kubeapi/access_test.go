package kubeapi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKubeconfigs(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) string {
		path := filepath.Join(dir, "config")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const rest = `
contexts: [{name: a, context: {cluster: c, user: u, namespace: n}}]
current-context: a
`
	got, err := Find(write(rest+`
clusters: [{name: c, cluster: {server: "https://k.example:6443/", tls-server-name: k}}]
users: [{name: u, user: {tokenFile: token}}]`), Account)
	if err != nil || got.Server != "https://k.example:6443" || got.Namespace != "n" || got.TokenFile != filepath.Join(dir, "token") || got.Name != "k" {
		t.Errorf("got %+v, %v", got, err)
	}
	for text, want := range map[string]string{
		"a: [": "not a kubeconfig",
		"a: b": "current context",
		rest:   "current context",
		rest + `
clusters: [{name: c, cluster: {server: "https://k"}}]
users: [{name: u, user: {exec: {command: aws}}}]`: "come from a program",
		rest + `
clusters: [{name: c, cluster: {server: "https://k", certificate-authority-data: "%%"}}]
users: [{name: u, user: {token: canary}}]`: "certificate authority",
		rest + `
clusters: [{name: c, cluster: {server: "ftp://k"}}]
users: [{name: u, user: {token: canary}}]`: "no http or https",
		rest + `
clusters: [{name: c, cluster: {server: "https://k"}}]
users: [{name: u, user: {client-certificate-data: Y2FuYXJ5, client-key-data: Y2FuYXJ5}}]`: "client certificate",
	} {
		_, err := Find(write(text), Account)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "Y2Fu") {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
