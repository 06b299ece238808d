package workerfile

import (
	"strings"
	"testing"
)

func TestProvidersAreChecked(t *testing.T) {
	for text, want := range map[string][]string{
		"providers:\n  vault: {}\n": {"f:2:10: providers.vault.address: is missing", "providers.vault.token_file: is missing, and so is token_env"},
		"providers:\n  vault: {address: 'vault:8200', token_env: T, token_file: /t}\n":                              {"f:2:11: providers.vault.address: want http:// or https://", "providers.vault.token_env: the token comes from token_file or from token_env"},
		"providers:\n  vault: {address: 'https://u:p@v', token_env: T, mount: a/../b, prefix: x//y}\n":              {"providers.vault.address: want", "providers.vault.mount: want a path", "providers.vault.prefix: want a path"},
		"providers:\n  vault: {address: 'https://v?a=b', token_env: T, mount: '%2e%2e', namespace: \"a\\r\\nb\"}\n": {"providers.vault.address: want", "providers.vault.mount: want a path", "providers.vault.namespace: is no name"},
		"providers:\n  exec: {}\n":                                                                        {"providers.exec.command: is missing"},
		"providers:\n  exec: {command: ['']}\n":                                                           {"providers.exec.command: want a program"},
		"providers:\n  age: {}\n  order: [vault, age, exec, exec]\n":                                      {"providers.age.identities: is missing", "providers.order[0]: providers has no vault", "providers.order[1]: want vault or exec", "providers.order[2]: providers has no exec"},
		"providers:\n  exec: {command: [a]}\n  order: [exec, exec]\n":                                     {"f:3:17: providers.order[1]: is there twice"},
		"secrets:\n  a: {vault: x}\n  b: {age: /x}\n":                                                     {"f:2:7: secrets.a.vault: providers has no vault", "f:3:7: secrets.b.age: providers has no age"},
		"secrets:\n  a: {env: A, command: [x]}\n  b: {file: /x, age: y}\n":                                {"secrets.a.command: a secret comes from env or from command, not from both", "secrets.b.age: a secret comes from file or from age, not from both"},
		"secrets:\n  a: {command: []}\n  b: {command: ['', x]}\n":                                         {"secrets.a.command: want a program", "secrets.b.command: want a program"},
		"secrets:\n  a: {vault: '#key'}\n  b: {vault: ../x}\n  c: {vault: 'a?b'}\n  d: {vault: a//b#c}\n": {"secrets.a.vault: want path#key", "secrets.b.vault: want path#key", "secrets.c.vault: want path#key", "secrets.d.vault: want path#key"},
	} {
		_, err := Parse("f", []byte(text))
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%q:\n got %v\nwant %s", text, err, w)
			}
		}
	}
	f, err := Parse("f", []byte(`
providers:
  vault: {address: "https://vault.internal:8200", mount: kv/team, prefix: taskgrove/, namespace: a/b, token_file: /run/vault/token, ca_file: /etc/ca.pem}
  exec: {command: [/usr/local/bin/secret, --get]}
  age: {identities: /etc/taskgrove/age.key}
  order: [vault, exec]
secrets:
  a: {vault: "etl/warehouse#password", pools: [etl]}
  b: {command: [pass, show, b]}
  c: {age: /etc/taskgrove/c.age}
`))
	if err != nil || f.Providers.Vault.Mount != "kv/team" || len(f.Providers.Order) != 2 {
		t.Errorf("got %+v, %v", f, err)
	}
	for text, want := range map[string]string{"a/b#c": "a/b c", "/a/": "a value", "a#": "a value", "a#b#c": "a b#c"} {
		if at, key := VaultPath(text); at+" "+key != want {
			t.Errorf("%s: got %s %s", text, at, key)
		}
	}
}
