package flows

import (
	"bytes"
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors/resource"
)

// MaxProfileBytes is how many bytes a registered profile may have, as JSON.
const MaxProfileBytes = 64 << 10

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

// RegisterProfiles reads a file of profiles that are to be registered, each with its body, and tells all that is wrong with it. The same profile has the same body. They are whole if the report
// is OK.
func RegisterProfiles(name string, data []byte) (map[string]json.RawMessage, *Report) {
	all, report := ReadProfiles(name, data)
	out := make(map[string]json.RawMessage, len(all))
	r := &reader{reporter: newReporter(name)}
	if !r.parse(data) {
		return nil, report
	}
	if report.OK && len(all) == 0 {
		r.at(CodeSchema, r.root, "", "has no profiles")
	}
	for _, m := range r.root.Members() {
		if !ValidID(m.Name) {
			r.at(CodeBadID, m.Value, join("", m.Name), "%s must be 1 to %d letters, digits, '.', '_' and '-', and neither . nor ..", shorten(m.Name), maxIDChars)
		}
		part, whole := all[m.Name]
		if !whole {
			continue
		}
		body, err := json.Marshal(part)
		if err != nil {
			r.at(CodeSchema, m.Value, join("", m.Name), "can't be kept: %v", err)
		}
		if len(body) > MaxProfileBytes {
			r.at(CodeTooLarge, m.Value, join("", m.Name), "has %d bytes: at most %d", len(body), MaxProfileBytes)
		}
		out[m.Name] = body
	}
	r.Errors, r.Warnings, r.More = append(r.Errors, report.Errors...), append(r.Warnings, report.Warnings...), r.More+report.More
	return out, r.done()
}

// RegisteredProfile reads the body of a registered profile.
func RegisteredProfile(body []byte) (part resource.Part, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	return part, d.Decode(&part)
}

// ConnectorsPage is the text of docs/flows/connectors.md.
func ConnectorsPage() string {
	return "<!-- Generated from the table of drivers in package executors/resource by \"go generate ./flows\". Do not edit. -->\n\n# Kinds and drivers of resources\n\n" +
		"What `config` and `options` of [a resource](profiles.md) may hold. A dot is a map within: `retry.max_attempts` is `retry: {max_attempts: 3}`. Numbers and booleans may be texts, as values of the\n" +
		"environment are. Which executors take a type of connection, their [pages](../executors.md) say.\n" + resource.Table()
}
