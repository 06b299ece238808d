package dag

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Known is the catalogue of executors that a choice is made from: the built-in ones and whatever else the caller knows
// of. Workers may have more. The zero value knows none. Build it before use; reads need no lock.
type Known struct {
	ids   map[string]bool
	first map[string]string // type to the id first added under it
}

// Add records an executor's id and its registry type (spec 1.3), which may be empty. The first of a type is the one
// that the type alone stands for.
func (k *Known) Add(id, typ string) {
	if k.ids == nil {
		k.ids, k.first = map[string]bool{}, map[string]string{}
	}
	k.ids[id] = true
	if _, taken := k.first[typ]; !taken && typ != "" {
		k.first[typ] = id
	}
}

// Has reports whether the id was added.
func (k Known) Has(id string) bool { return k.ids[id] }

// aggregate is the id that the old name "aggregate_results" stands for (spec 1.3).
const aggregate = "aggregate_results_executor"

// ChooseExecutor is the id of what runs a task of the name, params and schemas given (spec 1.3, K24). Params and schemas
// are valid JSON objects, or empty. The first of these that applies:
//
//  1. params.executor_id, if known
//  2. schemas.method, if known
//  3. params.executor_id, schemas.method: named but not known. It is still the choice: a worker may have it, and if none
//     has, the task fails and says so (K13). Its type must not send it to another executor of the same kind.
//  4. schemas.type: the first known of that type; if there is none, the type itself, which then fails in the same way.
//     The protocol's words local, remote and external are no types (spec 12.2) and count as absent.
//  5. the name, if it is a known id
//
// Otherwise the answer is empty: a group, which runs nothing. What is named by something that is not a string is that
// JSON text, so that it fails as unknown instead of passing for a group.
func ChooseExecutor(name string, params, schemas json.RawMessage, known Known) string {
	var id, method, typ string
	if len(params) > 2 {
		id = known.alias(named(lookup(params, "executor_id")))
	}
	if len(schemas) > 2 {
		for m := range members(schemas) {
			switch {
			case m.is("method"):
				method = known.alias(named(m.value))
			case m.is("type"):
				typ = named(m.value)
			}
		}
	}
	switch {
	case known.Has(id):
		return id
	case known.Has(method):
		return method
	case id != "":
		return id
	case method != "":
		return method
	}
	switch typ {
	case "", "local", "remote", "external":
	default:
		if first, ok := known.first[typ]; ok {
			return first
		}
		return typ
	}
	if known.Has(name) {
		return name
	}
	return ""
}

// IDs are the ids that were added, sorted.
func (k Known) IDs() []string { return slices.Sorted(maps.Keys(k.ids)) }

// Types are the types that were added, sorted.
func (k Known) Types() []string { return slices.Sorted(maps.Keys(k.first)) }

// UnknownExecutor is the failure text of a task whose executor nobody has (spec 1.3, K13): of the executor that was chosen, by a task
// with these schemas, where these types and ids are registered.
func UnknownExecutor(executor string, schemas json.RawMessage, types, ids []string) string {
	const most = 100 // named
	var method, typ string
	if len(schemas) > 2 {
		method, typ = brief(named(lookup(schemas, "method"))), brief(named(lookup(schemas, "type")))
	}
	if method == "" && executor != typ { // it stands elsewhere: in params, say
		method = executor
	}
	list := func(all []string) string {
		if len(all) > most {
			return fmt.Sprintf("%s, and %d more", strings.Join(all[:most], ", "), len(all)-most)
		}
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("Task executor not found. type='%s', method='%s'. Registered executor types: [%s]. Registered executor ids: [%s].",
		cmp.Or(typ, "stdio"), cmp.Or(method, "command"), list(types), list(ids))
}

// brief is text that fits into an error, and into Postgres.
func brief(text string) string {
	if len(text) > 255 {
		text = strings.ToValidUTF8(text[:255], "") + "…"
	}
	return strings.ReplaceAll(text, "\x00", "\uFFFD")
}

// NameExecutor writes the id of an executor into schemas, as their method, where they have none. It reports false when they
// have another.
func NameExecutor(schemas json.RawMessage, id string) (json.RawMessage, bool) {
	if method := lookup(schemas, "method"); !isNull(method) {
		return schemas, bare(named(method)) == bare(id)
	}
	quoted, err := json.Marshal(id)
	if err != nil {
		return schemas, false
	}
	all := map[string]json.RawMessage{}
	if len(schemas) > 2 {
		if err := json.Unmarshal(schemas, &all); err != nil {
			return schemas, false
		}
	}
	all["method"] = quoted
	out, err := json.Marshal(all)
	return out, err == nil
}

// named is the text of a JSON value that should be a string; empty for null and absence.
func named(value []byte) string {
	switch {
	case isNull(value):
		return ""
	case value[0] == '"':
		return unquote(value)
	}
	return string(value)
}

// suffix ends the ids of the protocol's executors, and may be left out.
const suffix = "_executor"

// alias is the known id that a shorter name stands for (spec 1.3), or the name itself. "aggregate_results" is one even without
// a catalogue.
func (k Known) alias(id string) string {
	if !k.ids[id] && (k.ids[id+suffix] || id+suffix == aggregate) {
		return id + suffix
	}
	return id
}

// bare is an id without its suffix.
func bare(id string) string { return strings.TrimSuffix(id, suffix) }
