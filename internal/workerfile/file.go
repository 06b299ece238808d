package workerfile

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// Bounds of a file. It nests at most [maxDepth] levels, and its aliases, written out, stay below what package treefile allows.
const (
	MaxBytes = 1 << 20
	maxDepth = 32
	maxNames = 10_000 // connections, secrets, pools, and elements of any other map or list
	maxName  = 128    // bytes
)

// File is what a worker's file says. Who gets it must not change it.
type File struct {
	Connections map[string]Connection `file:"connections"`
	Secrets     map[string]Secret     `file:"secrets"`
	Providers   *Providers            `file:"providers"` // nil: none
	Pools       map[string]Pool       `file:"pools"`     // by name; [AnyPool]: of all others
	Executors   []Executor            `file:"executors"`
	Models      map[string]Model      `file:"models"` // services that answer for models, by name
}

// AnyPool is the name of the policy for pools that have none of their own.
const AnyPool = "*"

// Pool is the policy of a pool.
type Pool struct {
	Outlet
	Docker *Docker `file:"docker"`
	Files  *Files  `file:"files"`  // nil: as the worker's settings say
	Agents *Agents `file:"agents"` // nil: as the worker's settings say

	Kubernetes *Kubernetes `file:"kubernetes"`

	// Mode is that of flows: internal_fast, or enterprise, whose steps use files of their job alone. Empty: internal_fast.
	Mode string `file:"mode"`
	// ZipDrivers are the drivers of archives that the mode enterprise allows; nil: pyzipper and zipfile.
	ZipDrivers []string `file:"zip_drivers"`

	// BundlePlugins: steps of flows may be run by programs of their bundle, which whoever may put bundles into the cluster has written.
	BundlePlugins bool `file:"bundle_plugins"`

	// Profiles are settings of the resources of flows, by the names of their profiles: they go before what the flow was submitted with, and the resource itself before them.
	Profiles map[string]Profile `file:"profiles"`
}

// Outlet is the way out of the house. Empty fields are as the worker's settings say.
type Outlet struct {
	Proxy   string `file:"proxy"`    // http://, https:// or socks5:// URL; "none": no proxy, whatever the settings say
	NoProxy string `file:"no_proxy"` // hosts that are reached without it, separated by commas
	CAFile  string `file:"ca_file"`  // PEM file of further authorities
}

// Connection is what an operator calls by a name: a server, and as whom to go there.
type Connection struct {
	Type  string   `file:"type,required"` // ssh, postgres, ...; executors say which of them they take
	Pools []string `file:"pools"`         // that may use it; nil: all
	// Fields are the executor's inputs. A value that is {"secret": "name"}, at any depth, is that secret, whatever the pools of the secret.
	Fields map[string]json.RawMessage `file:",rest"`
}

// Secret says where a secret comes from, and who may use it. Without a source it is looked for where secrets are that this file does not
// name.
type Secret struct {
	Env   string `file:"env"`   // variable of the worker's environment
	File  string `file:"file"`  // its bytes, without the newline at their end; read again when it changes
	Vault string `file:"vault"` // path#key below the mount of [Providers.Vault]; without #key, the key is value
	// Command is a program and its arguments, which gets the name on its stdin and prints the value; nil: none.
	Command []string `file:"command"`
	Age     string   `file:"age"`   // encrypted to an identity of [Providers.Age]: a file, or the text itself, armoured
	Pools   []string `file:"pools"` // whose tasks may name it; nil: all; empty: none, so that it serves connections alone
}

// Sourced reports whether the file says where the secret comes from.
func (s *Secret) Sourced() bool {
	return s.Env != "" || s.File != "" || s.Vault != "" || s.Command != nil || s.Age != ""
}

// Pool is the policy of a pool: its own, or else that of [AnyPool]. The two are not mixed.
func (f *File) Pool(name string) Pool {
	if own, ok := f.Pools[name]; ok {
		return own
	}
	return f.Pools[AnyPool]
}

// Check looks at names.
func (f *File) Check(at Place) {
	for name := range f.Connections {
		checkName(at.Key("connections").Key(name), "connection", name)
	}
	for name := range f.Secrets {
		checkName(at.Key("secrets").Key(name), "secret", name)
	}
	for name := range f.Pools {
		if name != AnyPool && !validPool(name) {
			at.Key("pools").Key(name).Fault("", "pool %q: want 1 to 64 letters, digits, - and _, or \"*\" for all others", name)
		}
	}
	f.checkProviders(at)
	checkModels(at.Key("models"), f.Models)
}

// Check looks at what must fit together.
func (s *Secret) Check(at Place) {
	s.checkSource(at)
	if strings.ContainsAny(s.Env, "=\x00") {
		at.Fault("env", "no variable has such a name")
	}
	checkPoolNames(at, s.Pools)
}

// Check looks at what every connection has.
func (c *Connection) Check(at Place) {
	checkPools(at, c.Pools)
}

// Modes of flows.
const (
	modeFast       = "internal_fast"
	modeEnterprise = "enterprise"
)

// Enterprise reports whether the mode is enterprise.
func (p *Pool) Enterprise() bool { return p.Mode == modeEnterprise }

// Archives are the drivers of archives that the tasks may use; nil: any.
func (p *Pool) Archives() []string {
	switch {
	case !p.Enterprise():
		return nil
	case p.ZipDrivers == nil:
		return []string{"pyzipper", "zipfile"}
	}
	return p.ZipDrivers
}

// Check looks at the parts of a policy.
func (p *Pool) Check(at Place) {
	p.Outlet.check(at)
	if p.Mode != "" && p.Mode != modeFast && p.Mode != modeEnterprise {
		at.Fault("mode", "want internal_fast or enterprise")
	}
	if p.ZipDrivers != nil && !p.Enterprise() {
		at.Fault("zip_drivers", "only the mode enterprise has them")
	}
	if p.Enterprise() && p.Files != nil && p.Files.Root != "" {
		at.Key("files").Fault("root", "pools of the mode enterprise have no files but those of the job and of the bundle")
	}
	if p.Enterprise() && p.BundlePlugins {
		at.Fault("bundle_plugins", "pools of the mode enterprise have the plugins of the worker, and none of bundles")
	}
	for i, name := range p.ZipDrivers {
		if !slices.Contains([]string{"pyzipper", "zipfile", "external"}, name) {
			at.Key("zip_drivers").Index(i).Fault("", "want pyzipper, zipfile or external")
		}
	}
}

// check looks at what a proxy's URL is at least.
func (o *Outlet) check(at Place) {
	if o.Proxy == "" || o.Proxy == "none" {
		return
	}
	u, err := url.Parse(o.Proxy)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" {
		at.Fault("proxy", "want http://, https:// or socks5:// and host:port, or none")
	}
}

func checkPools(at Place, pools []string) {
	if pools != nil && len(pools) == 0 {
		at.Fault("pools", "no pool may use it: leave pools out for all")
	}
	checkPoolNames(at, pools)
}

func checkPoolNames(at Place, pools []string) {
	for i, name := range pools {
		if !validPool(name) {
			at.Key("pools").Index(i).Fault("", "%q is no pool's name (letters, digits, - and _)", name)
		}
	}
}

func checkName(at Place, what, name string) {
	if !ValidName(name) {
		at.Fault("", "%s %.128q: a name has 1 to %d letters, digits, -, _ and ., and begins with a letter or digit", what, name, maxName)
	}
}

// ValidName reports whether a connection or a secret can be called so. No name is a path that leads elsewhere.
func ValidName(name string) bool {
	return len(name) > 0 && len(name) <= maxName && name[0] != '.' && name[0] != '-' && name[0] != '_' &&
		strings.IndexFunc(name, func(r rune) bool { return !word(r) && r != '.' }) < 0
}

// validPool is the rule of names of pools (package queue).
func validPool(name string) bool {
	return len(name) > 0 && len(name) <= 64 && strings.IndexFunc(name, func(r rune) bool { return !word(r) }) < 0
}

func word(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}
