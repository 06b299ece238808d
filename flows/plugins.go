package flows

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors/bundle"
)

// pluginExecutor runs the plugins of bundles on workers that allow them.
const pluginExecutor = "bundle_plugin"

// MaxPlugins is how many plugins a bundle has at most.
const MaxPlugins = 64

// descriptionSuffix is what the name of a plugin's description has behind that of its program.
const descriptionSuffix = ".json"

// Plugin is a program of a bundle that runs steps of a type. What is known of it comes of the description that lies beside it: nobody runs it to judge a flow.
type Plugin struct {
	ID       string // the type of the steps
	Path     string // of the program, in the bundle
	SHA256   string // likewise, in hex
	Override bool   // it takes the place of an executor of the same id
	Executor
}

// pluginRef is what the params of a task say of the plugin that runs it.
type pluginRef struct {
	ID     string `json:"id"`
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// PluginFiles are the files of a bundle that [ReadPlugins] may use, sorted: descriptions, and programs that have one.
func PluginFiles(dir string, files []bundle.File) (used []bundle.File) {
	if dir == "" {
		return nil
	}
	described := map[string]bool{}
	for _, f := range files {
		if strings.HasSuffix(f.Path, descriptionSuffix) {
			described[strings.TrimSuffix(f.Path, descriptionSuffix)] = true
		}
	}
	for _, f := range files {
		below, is := strings.CutPrefix(f.Path, dir+"/")
		if is && (described[f.Path] || strings.HasSuffix(below, descriptionSuffix)) && !slices.ContainsFunc(strings.Split(below, "/"), func(part string) bool { return part[0] == '_' || part[0] == '.' }) {
			used = append(used, f)
		}
	}
	slices.SortFunc(used, func(a, b bundle.File) int { return strings.Compare(a.Path, b.Path) })
	return used
}

// ReadPlugins reads what a bundle says of its plugins: of each program below dir that has a description beside it, called as it is with .json. read gives a file, or a report that says why it
// can't be read. Names with a part that begins with _ or . are left out. Each description has a report. opts must have Describe.
func ReadPlugins(dir string, files []bundle.File, read func(path string) ([]byte, *Report), opts Options) (all map[string]*Plugin, reports []*Report) {
	there := map[string]bundle.File{}
	var descriptions []string
	for _, f := range PluginFiles(dir, files) {
		if there[f.Path] = f; strings.HasSuffix(f.Path, descriptionSuffix) {
			descriptions = append(descriptions, f.Path)
		}
	}
	if len(descriptions) > MaxPlugins {
		return nil, []*Report{refusedPlugin(dir, "has %d descriptions of plugins, and %d are the most", len(descriptions), MaxPlugins)}
	}
	all = map[string]*Plugin{}
	for _, name := range descriptions {
		program, is := there[strings.TrimSuffix(name, descriptionSuffix)]
		if !is {
			reports = append(reports, refusedPlugin(name, "describes a plugin, and there is no program %s beside it", shorten(path.Base(strings.TrimSuffix(name, descriptionSuffix)))))
			continue
		}
		text, bad := read(name)
		if bad != nil {
			reports = append(reports, bad)
			continue
		}
		p, reason := readPlugin(program, text, &opts)
		if reason == "" && all[p.ID] != nil {
			reason = fmt.Sprintf("is called %s, and so is %s", p.ID, shorten(all[p.ID].Path))
		}
		if reason != "" {
			reports = append(reports, refusedPlugin(name, "%s", reason))
			continue
		}
		all[p.ID] = p
		reports = append(reports, newReporter(name).done())
	}
	return all, reports
}

func refusedPlugin(name, format string, args ...any) *Report {
	r := newReporter(name)
	r.tellAt(CodePlugin, "", 0, 0, fmt.Sprintf(format, args...))
	return r.done()
}

// readPlugin reads the description of a program; reason says what is wrong with it.
func readPlugin(program bundle.File, text []byte, opts *Options) (p *Plugin, reason string) {
	id, executor, err := opts.Describe(text)
	if err != nil {
		return nil, err.Error()
	}
	var own struct {
		Override bool `json:"override"`
	}
	if json.Unmarshal(text, &own) != nil {
		return nil, "override must be true or false"
	}
	p = &Plugin{ID: id, Path: program.Path, SHA256: program.SHA256, Override: own.Override, Executor: *executor}
	switch {
	case slices.ContainsFunc(OwnTypes(), func(t OwnType) bool { return t.Type == id }):
		return nil, "is called " + id + ", which is a type that flows have by themselves"
	case !own.Override && (opts.Executors.Has(id) || opts.Executors.Has(id+executorSuffix)):
		return nil, "is called " + id + `, as an executor is that there is already: give it another id, or say "override": true in its description to have it in that one's place`
	}
	return p, ""
}

// pluginKey is by what options know a plugin: no executor is called so.
func pluginKey(id string) string { return pluginExecutor + ":" + id }

// pluginOf is the plugin that runs steps of a type; nil: none does.
func (o *Options) pluginOf(typ string) *Plugin {
	p := o.Plugins[typ]
	if p == nil {
		return nil
	}
	if o.found == nil || o.found[pluginKey(typ)] == nil {
		o.know(pluginKey(typ), &p.Executor)
	}
	return p
}

// ofPlugin is the plugin that options know by a key; nil: it is that of an executor.
func (o *Options) ofPlugin(executor string) *Plugin {
	if id, is := strings.CutPrefix(executor, pluginExecutor+":"); is {
		return o.Plugins[id]
	}
	return nil
}
