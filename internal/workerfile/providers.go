package workerfile

import (
	"net/url"
	"path"
	"slices"
	"strings"
)

// Providers are programs and services that a worker asks for secrets.
type Providers struct {
	Vault *Vault `file:"vault"` // nil: none
	Exec  *Exec  `file:"exec"`  // nil: none
	Age   *Age   `file:"age"`   // nil: none
	// Order are vault and exec as they are asked for secrets that nothing else has; nil: for none of those.
	Order []string `file:"order"`
}

// The words of [Providers.Order].
const (
	FromVault = "vault"
	FromExec  = "exec"
)

// Vault is a server of HashiCorp Vault or OpenBao, with an engine of key-value version 2.
type Vault struct {
	Address   string `file:"address,required"` // http:// or https://, host and port
	Mount     string `file:"mount"`            // of the engine; empty: secret
	Prefix    string `file:"prefix"`           // path that names of Order are below; empty: none
	Namespace string `file:"namespace"`        // empty: none
	TokenFile string `file:"token_file"`       // read each time
	TokenEnv  string `file:"token_env"`        // instead of TokenFile: a variable of the worker
	CAFile    string `file:"ca_file"`          // PEM file of the authorities that its certificate is by; empty: those of the system
}

// Exec is a program that is asked for secrets: it gets the name on its stdin, and prints the value. If it prints nothing, there is none.
type Exec struct {
	Command []string `file:"command,required"` // the program and its arguments
}

// Age is what secrets are decrypted with that are stored as age has them.
type Age struct {
	Identities string `file:"identities,required"` // file of keys, as age-keygen makes it
	// Decode is a file of keys, which may be the same, for values that the resources of flows have decoded; empty: none are. Whoever submits tasks can have decrypted what
	// is encrypted to these keys, whatever the pools of secrets.
	Decode string `file:"decode"`
}

// ArmorHeader begins an encrypted text; other texts of [Secret.Age] name a file.
const ArmorHeader = "-----BEGIN AGE ENCRYPTED FILE-----"

// VaultPath takes a [Secret.Vault] apart: the path below the mount, and the key there.
func VaultPath(text string) (at, key string) {
	at, key, _ = strings.Cut(text, "#")
	if key == "" {
		key = "value"
	}
	return strings.Trim(at, "/"), key
}

// Check looks at the address.
func (v *Vault) Check(at Place) {
	u, err := url.Parse(v.Address)
	if v.Address != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		at.Fault("address", "want http:// or https://, a host, and a port if need be")
	}
	for field, text := range map[string]string{"mount": v.Mount, "prefix": v.Prefix} {
		if !cleanPath(text) {
			at.Fault(field, "want a path without empty parts, . and ..")
		}
	}
	switch {
	case v.TokenFile == "" && v.TokenEnv == "":
		at.Fault("token_file", "is missing, and so is token_env: one of them gives the token")
	case v.TokenFile != "" && v.TokenEnv != "":
		at.Fault("token_env", "the token comes from token_file or from token_env, not from both")
	}
	if strings.ContainsAny(v.Namespace, "\r\n\x00") {
		at.Fault("namespace", "is no name")
	}
}

// cleanPath reports whether a path can't be mistaken for another. An empty one is.
func cleanPath(text string) bool {
	text = strings.Trim(text, "/")
	return text == "" || path.Clean(text) == text && !strings.HasPrefix(text, "..") && !strings.ContainsAny(text, "\x00\r\n?#%")
}

// Check looks at the words.
func (e *Exec) Check(at Place) { checkCommand(at, e.Command) }

func checkCommand(at Place, command []string) {
	if len(command) > 0 && command[0] == "" || slices.ContainsFunc(command, func(arg string) bool { return strings.ContainsRune(arg, 0) }) {
		at.Fault("command", "want a program and its arguments")
	}
}

// Check looks at the order.
func (p *Providers) Check(at Place) {
	for i, word := range p.Order {
		place := at.Key("order").Index(i)
		switch {
		case word != FromVault && word != FromExec:
			place.Fault("", "want vault or exec")
		case word == FromVault && p.Vault == nil, word == FromExec && p.Exec == nil:
			place.Fault("", "providers has no %s", word)
		case slices.Contains(p.Order[:i], word):
			place.Fault("", "is there twice")
		}
	}
}

// checkSource looks at where a secret comes from.
func (s *Secret) checkSource(at Place) {
	var given []string
	for _, one := range []struct {
		name string
		is   bool
	}{{"env", s.Env != ""}, {"file", s.File != ""}, {"vault", s.Vault != ""}, {"command", s.Command != nil}, {"age", s.Age != ""}} {
		if one.is {
			given = append(given, one.name)
		}
	}
	if len(given) > 1 {
		at.Fault(given[1], "a secret comes from %s or from %s, not from both", given[0], given[1])
	}
	if path, _ := VaultPath(s.Vault); s.Vault != "" && (path == "" || !cleanPath(path)) {
		at.Fault("vault", "want path#key: the path below the mount, without empty parts, . and ..")
	}
	if s.Command != nil && len(s.Command) == 0 {
		at.Fault("command", "want a program and its arguments")
	}
	checkCommand(at, s.Command)
}

// checkProviders looks whether there is what secrets come from.
func (f *File) checkProviders(at Place) {
	for name, s := range f.Secrets {
		switch {
		case s.Vault != "" && (f.Providers == nil || f.Providers.Vault == nil):
			at.Key("secrets").Key(name).Fault("vault", "providers has no vault")
		case s.Age != "" && (f.Providers == nil || f.Providers.Age == nil):
			at.Key("secrets").Key(name).Fault("age", "providers has no age")
		}
	}
}
