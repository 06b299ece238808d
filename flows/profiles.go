package flows

import (
	"github.com/taskgrove/taskgrove/executors/resource"
)

// profileKeys are those of a resource that a profile may have.
var profileKeys = resourceKeys[3:]

// ReadProfiles reads a file of profiles, a map by name, and tells all that is wrong with it. name is what the report calls it. The profiles are whole if the report is OK.
func ReadProfiles(name string, data []byte) (map[string]resource.Part, *Report) {
	r := &reader{reporter: newReporter(name)}
	out := map[string]resource.Part{}
	if !r.parse(data) {
		return out, r.done()
	}
	all := tableOf(shape{form: object, keys: profileKeys})
	r.look(r.root, &all, "")
	for _, m := range r.root.Members() {
		if m.Kind() != '{' {
			continue
		}
		one := Resource{Config: tableIn(m.Get("config")), Options: tableIn(m.Get("options")), Decode: tableIn(m.Get("decode")), value: m.Value, loc: join("", m.Name)}
		part := one.part()
		out[m.Name] = part
		_, faults := part.DecodePaths()
		for _, f := range append(faults, resource.Literals(&part, nil)...) {
			at, _ := one.at(f.Path)
			r.at(resourceCodes[f.Kind], at, one.loc+"."+f.Path, "%s", f.Reason)
		}
	}
	return out, r.done()
}

// ConnectorsPage is the text of docs/flows/connectors.md.
func ConnectorsPage() string {
	return "<!-- Generated from the table of drivers in package executors/resource by \"go generate ./flows\". Do not edit. -->\n\n# Kinds and drivers of resources\n\n" +
		"What `config` and `options` of [a resource](profiles.md) may hold. A dot is a map within: `retry.max_attempts` is `retry: {max_attempts: 3}`. Numbers and booleans may be texts, as values of the\n" +
		"environment are. Which executors take a type of connection, their [pages](../executors.md) say.\n" + resource.Table()
}
