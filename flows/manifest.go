package flows

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/executors/resource"
	"github.com/taskgrove/taskgrove/flows/env"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// Manifest says where a bundle comes from, and what holds for its runs.
type Manifest struct {
	bundle.Spec
	Enterprise      bool                  // mode: enterprise
	Resources       map[string]Connection // ways to the source
	ZipDrivers      []string              // drivers of archives, allowed in the mode enterprise
	Secrets, Public []string              // names of the environment
	EnvFiles        []env.Source          // their relative paths are below the manifest's directory
}

// Connection is a resource of a manifest.
type Connection struct {
	Kind, Driver string
	resource.Part
}

// Names of the environment that the resource of a connection uses, each once, sorted.
func (c *Connection) Names() (names []string) {
	for _, one := range c.Part.Secrets() {
		names = append(names, one.Name)
	}
	return names
}

const (
	modeFast       = "internal_fast"
	modeEnterprise = "enterprise"
	typeOCI        = "oci"
)

// sourceTypes are the words of bundle.source.type.
var sourceTypes = []string{bundle.Filesystem, bundle.SFTP, bundle.SMB, bundle.Database, bundle.REST, bundle.Git, bundle.HTTP, typeOCI}

// sourceKinds are the kinds of resources that reach a source, by its type; those of git and http need none.
var sourceKinds = map[string]string{bundle.SFTP: "sftp", bundle.SMB: "smb", bundle.Database: "db", bundle.REST: "rest", bundle.Git: "rest", bundle.HTTP: "rest"}

var manifestSourceKeys = []key{
	{name: "type", shape: word(sourceTypes...), byDefault: "`filesystem`", effect: "Where the files are: a directory of the host that fetches, a server of SFTP or SMB, a database, a REST service, a repository of git, or an archive behind a URL (`http`). `oci` is refused.", example: "sftp"},
	{name: "resource", shape: id, byDefault: "none: required by `sftp`, `smb`, `db` and `rest`", effect: "The way there: a name of `resources` below, of the kind of the type; `git` and `http` take the kind `rest`.", example: "drop"},
	{name: "base_path", shape: id, byDefault: "none: required by `filesystem`, `sftp` and `smb`", effect: "The directory with the files. Of `filesystem`, relative paths are below the directory of the manifest.", example: "./bundle", meant: []string{"path", "root", "dir"}},
	{name: "bundle", shape: shape{form: text, most: 256}, byDefault: "`bundle.id`", effect: "What the source calls it, of `db` and `rest`.", example: "orders"},
	{name: "list_sql", shape: shape{form: text, phase: literally, most: maxText}, byDefault: "of the table `assets(bundle, path, sha256, data, updated_at, size)`", effect: "Of `db`: the files of `:bundle`, with columns `path`, and `sha256`, `size` and `updated_at` where there are.", example: "select path, sha256 from assets where bundle = :bundle"},
	{name: "fetch_sql", shape: shape{form: text, phase: literally, most: maxText}, byDefault: "likewise", effect: "Of `db`: the content of `:path` of `:bundle`, a row of one column.", example: "select data from assets where bundle = :bundle and path = :path"},
	{name: "list_path", shape: id, byDefault: "`/list`", effect: "Of `rest`: what gives `{files: [{path, sha256, size, mtime}]}`.", example: "/list"},
	{name: "fetch_path", shape: id, byDefault: "`/fetch`", effect: "Of `rest`: what gives a file, by the parameters `bundle` and `path`.", example: "/fetch"},
	{name: "prefix_param", shape: id, byDefault: "`prefix`", effect: "Of `rest`: the parameter of `list_path` for the name of the bundle.", example: "prefix"},
	{name: "url", shape: id, byDefault: "none: required by `git` and `http`", effect: "Of the repository, or of the archive.", example: "https://git.example.org/etl.git"},
	{name: "ref", shape: shape{form: text, most: 256}, byDefault: "`HEAD`", effect: "Of `git`: a branch, a tag or a commit.", example: "v1.4.0", meant: []string{"branch", "tag", "commit", "revision"}},
	{name: "subdir", shape: id, byDefault: "all of it", effect: "Of `git` and `http`: the directory of it that is the bundle.", example: "etl/bundle"},
	{name: "sha256", shape: shape{form: text, most: 64}, byDefault: "none", effect: "Of `http`: what the archive's must be.", example: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
	{name: "strict_fingerprint", shape: shape{form: boolean}, byDefault: "false", effect: "All content is read to tell whether something has changed, not only sizes and times.", example: "true"},
}

var manifestLayoutKeys = []key{
	{name: "profiles_file", shape: id, required: true, effect: "The file with profiles of resources, a path in the bundle.", example: "profiles.yaml", meant: []string{"profiles"}},
	{name: "flows_dir", shape: id, byDefault: "none", effect: "The directory with the flows, which `bundle validate` looks at.", example: "flows", meant: []string{"flows"}},
	{name: "plugins_dir", shape: id, byDefault: "none", effect: "The directory with [plugins](plugins.md): programs that have a description beside them. Without effect in the mode `enterprise`.", example: "plugins", meant: []string{"plugins"}},
}

var manifestBundleKeys = []key{
	{name: "id", shape: id, required: true, effect: "What the bundle is called: letters, digits, `.`, `_` and `-`.", example: "orders", meant: []string{"name"}},
	{name: "source", shape: shape{form: object, keys: manifestSourceKeys}, required: true, effect: "Where its files come from: see [source](#keys-of-bundlesource).", example: "{base_path: ./bundle}"},
	{name: "layout", shape: shape{form: object, keys: manifestLayoutKeys}, required: true, effect: "What lies where in it: see [layout](#keys-of-bundlelayout).", example: "{profiles_file: profiles.yaml}"},
	{name: "entry_flow", shape: id, required: true, effect: "The flow that runs unless another one is named, a path in the bundle. It must be there.", example: "main.yaml"},
	{name: "fetch_policy", shape: word("cache_check", "always"), byDefault: "`cache_check`", effect: "`cache_check`: files are fetched only if the list of them has changed. `always`: all files are, each time.", example: "always"},
}

// manifestResourceKeys are those of a resource, without a profile, which arrives with the bundle.
var manifestResourceKeys = slices.DeleteFunc(slices.Clone(resourceKeys), func(k key) bool { return k.name == "profile" })

var manifestKeys = []key{
	{name: "version", shape: shape{form: integer, least: -1 << 31, most: 1 << 31}, byDefault: "1", effect: "Of the form of the file: 1.", example: "1"},
	{name: "mode", shape: word(modeFast, modeEnterprise), byDefault: "`internal_fast`", effect: "`enterprise` asks for the stricter rules. It never loosens what a pool of workers demands.", example: "enterprise"},
	{name: "bundle", shape: shape{form: object, keys: manifestBundleKeys}, required: true, effect: "What the bundle is: see [bundle](#keys-of-bundle).", example: "{id: orders}"},
	{name: "resources", shape: tableOf(shape{form: object, keys: manifestResourceKeys}), byDefault: "`{}`", effect: "The ways to the source, by name, as [resources of flows](reference.md#keys-of-a-resource) are; `profile` is refused, as profiles arrive with the bundle.", example: "{drop: {kind: sftp, driver: ssh}}"},
	{name: "paths", shape: shape{form: object, keys: []key{
		{name: "plugins", shape: shape{form: either, either: []shape{id, listOf(id)}}, byDefault: "none", effect: "Trusted places of plugins.", example: "/opt/plugins"},
	}}, byDefault: "`{}`", effect: "`plugins`, a path or a list of them, is read and has no effect: which [plugins](plugins.md) a worker has of its own, its operator says.", example: "{plugins: /opt/plugins}"},
	{name: "zip_drivers", shape: listOf(word("pyzipper", "zipfile", "os", "external")), byDefault: "`[pyzipper, zipfile]`", effect: "The drivers of archives that the mode `enterprise` allows.", example: "[zipfile]"},
	{name: "secrets", shape: names, byDefault: "`[]`", effect: "Names of the environment that are secrets, whatever they look like, in all flows of the bundle.", example: "[DB_URL]"},
	{name: "public_env", shape: names, byDefault: "`[]`", effect: "Names of the environment that are no secrets, though they look like one.", example: "[SORT_KEY]"},
	{name: "env_files", shape: listOf(shape{form: either, either: []shape{id, {form: table, of: &shape{}}}}), byDefault: "`[]`", effect: "Files with values for the environment, of which later ones win: paths, or maps with `path`, `type` (`dotenv`, `json`, `dir`), `optional` and `prefix`. Relative paths are below the directory of the manifest.", example: "[prod.env]"},
}

// ReadManifest reads the manifest of a bundle and tells all that is wrong with it. name is what the report calls it, a path with slashes: relative paths of files of the
// environment are below its directory. The manifest is whole if the report is OK.
func ReadManifest(name string, data []byte) (*Manifest, *Report) {
	r := &reader{reporter: newReporter(name)}
	m := &Manifest{}
	if !r.parse(data) {
		return m, r.done()
	}
	top := shape{form: object, keys: manifestKeys}
	if !r.root.Given() {
		r.at(CodeYAML, r.root, "", "the file is empty")
		return m, r.done()
	}
	r.look(r.root, &top, "")
	if r.root.Kind() == '{' {
		r.manifest(m)
	}
	return m, r.done()
}

// PluginsOfBundle is the directory with plugins that counts; empty: there is none. In the mode enterprise workers have plugins of their own, and no others count.
func (m *Manifest) PluginsOfBundle() string {
	if m.Enterprise {
		return ""
	}
	return m.PluginsDir
}

// Archives are the drivers of archives that the flows of the bundle may have; nil: any.
func (m *Manifest) Archives() []string {
	if !m.Enterprise {
		return nil
	}
	return append([]string{}, m.ZipDrivers...)
}

func (r *reader) manifest(m *Manifest) {
	if v := r.root.Get("version"); v.Kind() == '0' && v.Text() != "1" {
		r.at(CodeVersion, v, "version", "must be 1, the only version there is")
	}
	b := r.root.Get("bundle")
	layout := b.Get("layout")
	m.Enterprise = textOf(r.root.Get("mode")) == modeEnterprise
	m.ID, m.Always = textOf(b.Get("id")), textOf(b.Get("fetch_policy")) == "always"
	if v := b.Get("id"); v.Kind() == '"' && len(template.Tokens(m.ID)) == 0 && !ValidID(m.ID) {
		r.at(CodeBadID, v, "bundle.id", "%s must be 1 to %d letters, digits, '.', '_' and '-', and neither . nor ..", shorten(m.ID), maxIDChars)
	}
	m.EntryFlow = r.bundlePath(b.Get("entry_flow"), "bundle.entry_flow")
	m.ProfilesFile = r.bundlePath(layout.Get("profiles_file"), "bundle.layout.profiles_file")
	m.FlowsDir = r.bundlePath(layout.Get("flows_dir"), "bundle.layout.flows_dir")
	m.PluginsDir = r.bundlePath(layout.Get("plugins_dir"), "bundle.layout.plugins_dir")
	if v := layout.Get("plugins_dir"); v.Given() && m.Enterprise {
		r.at(CodeIgnored, v, "bundle.layout.plugins_dir", "has no effect in the mode enterprise: workers have plugins of their own, and no others count")
	}
	m.Resources = map[string]Connection{}
	for _, one := range r.root.Get("resources").Members() {
		if one.Kind() == '{' {
			m.Resources[one.Name] = r.sourceConnection(one)
		}
	}
	r.origin(b.Get("source"), m)
	if v := r.root.Get("paths").Get("plugins"); v.Given() {
		r.at(CodeIgnored, v, "paths.plugins", "has no effect: which plugins a worker has of its own, its operator says")
	}
	m.ZipDrivers = []string{"pyzipper", "zipfile"}
	if v := r.root.Get("zip_drivers"); v.Kind() == '[' {
		m.ZipDrivers = textsOf(v)
	}
	m.Secrets, m.Public = r.environmentNames("secrets"), r.environmentNames("public_env")
	for i, name := range m.Public {
		if slices.Contains(m.Secrets, name) {
			r.at(CodeSchema, r.root.Get("public_env"), fmt.Sprintf("public_env[%d]", i), "%s is in secrets, too", shorten(name))
		}
	}
	files := r.root.Get("env_files")
	if files.Kind() != '[' {
		return
	}
	var faults env.Faults
	m.EnvFiles, faults = env.Sources(files, r.FlowYAML, path.Dir(r.FlowYAML))
	for _, f := range faults {
		loc, reason, _ := strings.Cut(f.Text, " ")
		r.tellAt(CodeSchema, loc, f.Line, f.Column, reason)
	}
}

// bundlePath is a path in the bundle.
func (r *reader) bundlePath(v treefile.Value, loc string) string {
	text := textOf(v)
	if v.Kind() != '"' || len(template.Tokens(text)) > 0 {
		return text
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, "./"), "/")
	if bad := bundle.BadPath(text); bad != "" {
		r.at(CodeBundlePath, v, loc, "%s %s: it must be a path within the bundle", shorten(text), bad)
	}
	return text
}

// environmentNames is a list of names of the environment.
func (r *reader) environmentNames(name string) []string {
	for i, v := range r.root.Get(name).Items() {
		if v.Kind() == '"' && !template.Identifier(v.Text()) {
			r.at(CodeBadID, v, fmt.Sprintf("%s[%d]", name, i), "%s must be letters, digits and _, with no digit first", shorten(v.Text()))
		}
	}
	return textsOf(r.root.Get(name))
}

// sourceConnection is a resource of the manifest.
func (r *reader) sourceConnection(m treefile.Member) Connection {
	one := Resource{Name: m.Name, Kind: textOf(m.Get("kind")), Driver: textOf(m.Get("driver")), Config: tableIn(m.Get("config")), Options: tableIn(m.Get("options")), Decode: tableIn(m.Get("decode")),
		value: m.Value, loc: join("resources", m.Name)}
	part := one.part()
	var faults []resource.Fault
	if driver, bad := resource.Find(one.Kind, one.Driver); bad == nil {
		faults = driver.Check(&part, true)
	} else {
		if given := one.value.Get(bad.Path); given.Kind() == '"' && len(template.Tokens(given.Text())) == 0 {
			faults = []resource.Fault{*bad}
		}
		_, more := part.DecodePaths()
		faults = append(append(faults, more...), resource.Literals(&part, nil)...)
	}
	for _, f := range faults {
		at, own := one.at(f.Path)
		if !own {
			at = one.value
		}
		r.at(resourceCodes[f.Kind], at, one.loc+"."+f.Path, "%s", f.Reason)
	}
	return Connection{Kind: one.Kind, Driver: one.Driver, Part: part}
}

// sourceUses are the keys of a source that have an effect, by its type; required ones are written with a !.
var sourceUses = map[string][]string{
	bundle.Filesystem: {"!base_path"},
	bundle.SFTP:       {"!resource", "!base_path"},
	bundle.SMB:        {"!resource", "!base_path"},
	bundle.Database:   {"!resource", "bundle", "list_sql", "fetch_sql"},
	bundle.REST:       {"!resource", "bundle", "list_path", "fetch_path", "prefix_param"},
	bundle.Git:        {"!url", "ref", "subdir", "resource"},
	bundle.HTTP:       {"!url", "sha256", "subdir", "resource"},
}

var hexDigest = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// origin reads where the bundle comes from.
func (r *reader) origin(v treefile.Value, m *Manifest) {
	const loc = "bundle.source"
	if v.Kind() != '{' {
		return // it was told
	}
	o := bundle.Origin{
		Type: textOr(v.Get("type"), bundle.Filesystem), Resource: textOf(v.Get("resource")), BasePath: textOf(v.Get("base_path")), Bundle: textOr(v.Get("bundle"), m.ID),
		ListSQL: textOf(v.Get("list_sql")), FetchSQL: textOf(v.Get("fetch_sql")), ListPath: textOr(v.Get("list_path"), "/list"), FetchPath: textOr(v.Get("fetch_path"), "/fetch"),
		PrefixParam: textOr(v.Get("prefix_param"), "prefix"), URL: textOf(v.Get("url")), Ref: textOf(v.Get("ref")), SHA256: strings.ToLower(textOf(v.Get("sha256"))),
		StrictFingerprint: boolOf(v.Get("strict_fingerprint")),
	}
	m.Origin = o
	if s := v.Get("subdir"); s.Given() {
		m.Origin.Subdir = r.bundlePath(s, loc+".subdir")
	}
	if o.Type == typeOCI {
		r.at(CodeNotYet, v.Get("type"), loc+".type", "bundles in registries of images can't be fetched yet: there are %s", strings.Join(sourceTypes[:len(sourceTypes)-1], ", "))
		return
	}
	uses, known := sourceUses[o.Type]
	if !known {
		return // it was told
	}
	for _, name := range uses {
		if name, required := strings.CutPrefix(name, "!"); required && textOf(v.Get(name)) == "" && (!v.Get(name).Given() || v.Get(name).Kind() == '"') {
			r.at(CodeMissing, v, loc+"."+name, "must be there, as the type is %s", o.Type)
		}
	}
	for _, one := range v.Members() {
		common := one.Name == "type" || one.Name == "strict_fingerprint"
		isKey := slices.ContainsFunc(manifestSourceKeys, func(k key) bool { return k.name == one.Name })
		if isKey && !common && one.Given() && !slices.Contains(uses, one.Name) && !slices.Contains(uses, "!"+one.Name) {
			r.at(CodeIgnored, one.Value, join(loc, one.Name), "has no effect with the type %s", o.Type)
		}
	}
	if s := v.Get("sha256"); s.Kind() == '"' && !hexDigest.MatchString(s.Text()) && len(template.Tokens(s.Text())) == 0 {
		r.at(CodeSchema, s, loc+".sha256", "must be 64 hexadecimal digits")
	}
	if u := v.Get("url"); u.Kind() == '"' {
		for _, f := range resource.Literals(&resource.Part{Config: map[string]any{"url": u.Text()}}, nil) {
			r.at(CodeSecretLiteral, u, loc+".url", "%s: in a resource of the kind rest", f.Reason)
		}
	}
	kind, reached := sourceKinds[o.Type]
	if !reached || o.Resource == "" {
		return
	}
	at := v.Get("resource")
	switch c, there := m.Resources[o.Resource]; {
	case len(template.Tokens(o.Resource)) > 0:
	case !there:
		var all []string
		for _, one := range r.root.Get("resources").Members() {
			all = append(all, one.Name)
		}
		r.at(CodeUnknownResource, at, loc+".resource", "there is no resource %s in the manifest%s", shorten(o.Resource), nearest(o.Resource, all, ""))
	case c.Kind != "" && c.Kind != kind:
		r.at(CodeWrongResource, at, loc+".resource", "is of the kind %s, and the type %s wants %s", shorten(c.Kind), o.Type, kind)
	}
}

// Unreadable is the report of a file of a bundle that can't be read, which the key at loc of the manifest names.
func Unreadable(name, loc, reason string) *Report {
	r := newReporter(name)
	r.tellAt(CodeBundleFile, loc, 0, 0, reason)
	return r.done()
}

// ManifestPage is the text of docs/flows/manifest.md.
func ManifestPage() string {
	var b strings.Builder
	b.WriteString("<!-- Generated from the tables of keys in package flows by \"go generate ./flows\". Do not edit. -->\n\n# The manifest of a bundle\n\n" +
		"Every key of a manifest, which says where [a bundle](bundles.md) comes from. A key that is not listed where it stands is an error, and so is a value of another type. Templates stand only in\n" +
		"`config` and `options` of resources, and name only `env`. `taskgrove schema bundle` prints the JSON Schema, for editors.\n")
	for _, part := range []struct {
		title string
		keys  []key
	}{
		{"Keys of the manifest", manifestKeys}, {"Keys of bundle", manifestBundleKeys}, {"Keys of bundle.source", manifestSourceKeys}, {"Keys of bundle.layout", manifestLayoutKeys}, {"Keys of a resource", manifestResourceKeys},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n", part.title)
		writeKeys(&b, part.keys)
	}
	return b.String()
}
