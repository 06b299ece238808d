package treedoc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/dag"
)

// FileVersion is the version of tree files, which their first key names.
const FileVersion = 1

// FileKey is the first key of a tree file.
const FileKey = "taskgrove"

// FileKeys are those of a tree file, what people write by hand (control 12); [FileTaskKeys] are those of its tasks.
func FileKeys() []Key { return fileKeys }

var fileKeys = []Key{
	{
		Name: FileKey, Default: "required, and the first key", Example: `1`, Shape: Shape{Type: "integer", Bounded: true, Minimum: FileVersion, Maximum: FileVersion},
		Effect: "The version of the format: 1.",
		Meant:  words("version", "api_version"),
	}, {
		Name: "name", Default: "required", Example: `"nightly-report"`, Shape: Shape{Type: "string", MinLength: 1, MaxLength: dag.DefaultLimits.NameChars, Pattern: noNUL},
		Effect: "What the tree is called: the root is made of it, and no task has the same name.", Meant: words("id", "title", "tree"),
	}, {
		Name: "description", Default: "none", Example: `"What came in yesterday, cleaned."`, Shape: Shape{Type: "string"},
		Effect: "For people. It is kept with the root, and shown.", Meant: words("comment", "doc", "summary"),
	}, {
		Name: "parameters", Default: "none", Example: `{"day": {"type": "string", "required": true}}`, Shape: Shape{Type: "object"}, Keys: parameterKeys,
		Effect: "What is given when the tree is submitted, by names: letters, digits and _. `{{parameters.day}}` stands for the value in any text.",
		Meant:  words("params", "inputs", "variables", "vars", "arguments", "args"),
	}, {
		Name: "defaults", Default: "none", Example: `{"retry": {"max_attempts": 3}, "timeout": 60}`, Shape: Shape{Type: "object", Closed: true}, Keys: defaultKeys,
		Effect: "What tasks that run something have if they don't say it themselves. What a task says counts as a whole: nothing is mixed.",
		Meant:  words("default", "task_defaults"),
	}, withMeant(keyOf("labels"), words("label", "tags")...),
	withEffect(keyOf("unique"), "While the tree has the key, no other one with it is stored, of the same user in the same namespace. [Unique trees](unique.md) tells more."),
	{
		Name: "priority", Default: "none", Example: `1`, Shape: keyOf("priority").Shape, Effect: "The same as in `defaults`.", Meant: keyOf("priority").Meant,
	}, {
		Name: "pool", Default: "none", Example: `"reports"`, Shape: keyOf("pool").Shape, Effect: "The same as in `defaults`.", Meant: keyOf("pool").Meant,
	}, {
		Name: "timeout", Default: "none", Example: `3600`, Shape: limit,
		Effect: "Seconds from the start of the tree to its end. After that, unfinished tasks are cancelled. That of one attempt is in `defaults`, or the task's.",
		Meant:  words("tree_timeout", "deadline", "time_limit", "timeout_seconds"),
	}, {
		Name: "retention", Default: keyOf("retention").Default, Example: keyOf("retention").Example, Shape: keyOf("retention").Shape, Meant: keyOf("retention").Meant,
		Effect: strings.Replace(keyOf("retention").Effect, "Of the root only: how", "How", 1),
	}, {
		Name: "due", Default: keyOf("due").Default, Example: keyOf("due").Example, Shape: keyOf("due").Shape, Meant: keyOf("due").Meant,
		Effect: strings.Replace(keyOf("due").Effect, "Of the root only: by", "By", 1),
	}, {
		Name: "tasks", Default: "required", Example: `[{"name": "fetch", "executor": "rest", "inputs": {"url": "https://example.org"}}]`, Shape: Shape{Type: "array"},
		Effect: "What is to be done.", Meant: words("task", "steps", "jobs", "stages", "children"),
	},
}

// FileTaskKeys are the keys of a task in a tree file: those of [TaskKeys], but for what a file says in another way.
func FileTaskKeys() []Key { return fileTaskKeys }

var fileTaskKeys = makeFileTaskKeys()

// notOfFiles are the keys of tasks that a task of a file has not, and what to write instead.
var notOfFiles = []meant{
	{"id", "name: tasks of a file are known by their names"}, {"parent_id", "tasks: a task stands in the tasks of its parent"}, {"dependencies", "needs"}, {"user_id", "--user of submit, or the submission's user"},
	{"tree_timeout", "timeout of the file"}, {"labels", "labels of the file"}, {"unique", "unique of the file"}, {"retention", "retention of the file"}, {"due", "due of the file"}, {"outcome", ""}, {"attempts", ""},
}

func makeFileTaskKeys() []Key {
	keys := []Key{
		withEffect(keyOf("name"), "What people call the task, and what `needs` and templates call it, which takes letters, digits and _. Names must differ."),
		{
			Name: "description", Default: "none", Example: `"Takes a minute."`, Shape: Shape{Type: "string"},
			Effect: "For people. It is kept with the task, and shown.", Meant: words("comment", "doc", "summary"),
		}, {
			Name: "executor", Default: "none: a group", Example: `"rest"`, Shape: Shape{Type: "string", MinLength: 1, MaxLength: dag.DefaultLimits.IDChars, Pattern: noControls},
			Effect: "What runs the task; `_executor` at the end of an id may be left out. [Executors](executors.md) lists them. A task without it is a group: it runs nothing.",
			Meant:  words("executor_id", "method", "uses", "type", "kind", "action"),
		}, {
			Name: "needs", Default: "none", Example: `["fetch", {"task": "clean", "accept": ["failed"]}]`, Meant: append(words("dependency"), keyOf("dependencies").Meant...),
			Shape: Shape{Type: "array", Items: &reference}, Keys: needKeys,
			Effect: "The tasks that must end before this one starts, anywhere in the file: each a name, or an object. Their results are merged into its inputs, each under its name.",
		}, {
			Name: "tasks", Default: "none", Example: `[{"name": "part", "executor": "noop"}]`, Shape: Shape{Type: "array"}, Meant: words("task", "steps", "jobs", "children", "subtasks"),
			Effect: "Tasks below this one. A group with tasks ends when they have, with the worst of their outcomes, and hands its `needs` and `allow_failure` to them. Below a task with an executor they are only shown there: order comes from `needs`.",
		},
	}
	for _, k := range taskKeys {
		switch k.Name {
		case "name", "id", "parent_id", "dependencies", "user_id", "tree_timeout", "labels", "unique", "retention", "due", "outcome", "attempts":
			continue
		case "schemas":
			k = Key{Name: "schemas", Default: "none", Example: `{"input_schema": {"required": ["sum"]}}`, Shape: Shape{Type: "object"}, Keys: without(schemasKeys, "method", "type"),
				Effect: "What the task's inputs look like, and what some executors read there."}
		case "params":
			k.Keys, k.Example, k.Effect = nil, `{"crew": "writers"}`, "Arguments for the making of the executor."
		case "inputs":
			k.Meant = append(words("with", "input", "args", "config"), k.Meant...)
			for _, of := range []string{"command", "url", "env", "stdin", "items", "script", "body", "headers"} {
				k.Meant = append(k.Meant, meant{of, "inputs." + of})
			}
			k.Meant = append(k.Meant, meant{"run", "inputs.command"}, meant{"cmd", "inputs.command"})
			k.Effect += " `fail_on_error` is true unless it is written out, where the executor has it."
		case "template":
			k.Default, k.Example = "`true`", `false`
		case "timeout", "retry", "pool", "priority":
			k.Default = "that of `defaults`; " + k.Default
		case "fold":
			k.Effect += " A group with `tasks` always does."
		}
		keys = append(keys, k)
	}
	return keys
}

// defaultKeys are what a file may say for all its tasks.
var defaultKeys = func() (keys []Key) {
	for _, name := range []string{"retry", "timeout", "schedule_to_start", "not_before", "priority", "pool", "on_lost", "repeatable", "allow_failure", "template", "limits", "lock", "rates"} {
		k := keyOf(name)
		if name == "template" {
			k.Default, k.Example = "`true`", `false`
		}
		keys = append(keys, k)
	}
	return keys
}()

// DefaultKeys are what a tree file may say for all its tasks.
func DefaultKeys() []Key { return defaultKeys }

// NeedKeys are the keys of an object among the needs of a file's task: those of a dependency, with task in the place of id and name.
func NeedKeys() []Key { return needKeys }

var needKeys = append([]Key{{
	Name: "task", Default: "required", Example: `"fetch"`, Shape: Shape{Type: "string", MinLength: 1, MaxLength: dag.DefaultLimits.IDChars, Pattern: noNUL}, Effect: "The task's name.", Meant: words("name", "id", "ref", "on"),
}}, without(dependencyKeys, "id", "name", "type")...)

// ParameterTypes are the words for the type of a parameter.
var ParameterTypes = []string{"string", "integer", "number", "boolean", "array", "object"}

// ParameterKeys are the keys of a parameter of a tree file; [ItemKeys] those of what is in one that is a list.
func ParameterKeys() []Key { return parameterKeys }

// ItemKeys are the keys of items.
func ItemKeys() []Key { return itemKeys }

var count = Shape{Type: "integer", Bounded: true, Minimum: 0, Maximum: 1 << 30}

var itemKeys = []Key{
	{Name: "type", Default: "that of `default` or of the first in `enum`, else `string`", Example: `"integer"`, Shape: Shape{Type: "string", Enum: ParameterTypes}, Meant: words("kind"),
		Effect: "`string`, `integer`, `number`, `boolean`, `array` or `object`."},
	{Name: "enum", Default: "any", Example: `["test", "production"]`, Shape: Shape{Type: "array"}, Meant: words("values", "choices", "options", "one_of"),
		Effect: "The values that there are."},
	{Name: "pattern", Default: "any", Example: `"^\\d{4}-\\d\\d-\\d\\d$"`, Shape: Shape{Type: "string", MinLength: 1}, Meant: words("regex", "regexp", "match"),
		Effect: "Of text: a regular expression ([RE2](https://github.com/google/re2/wiki/Syntax)) that it has to match somewhere: `^` and `$` make it the whole."},
	{Name: "minLength", Default: "none", Example: `1`, Shape: count, Effect: "Of text: characters at least.", Meant: words("min_len")},
	{Name: "maxLength", Default: "none", Example: `80`, Shape: count, Effect: "Of text: characters at most.", Meant: words("max_len")},
	{Name: "minimum", Default: "none", Example: `1`, Shape: Shape{Type: "number"}, Effect: "Of numbers: the least.", Meant: words("min")},
	{Name: "maximum", Default: "none", Example: `100`, Shape: Shape{Type: "number"}, Effect: "Of numbers: the greatest.", Meant: words("max")},
}

var parameterKeys = append(slices.Clone(itemKeys), Key{
	Name: "items", Default: "anything", Example: `{"type": "string"}`, Shape: Shape{Type: "object", Closed: true}, Keys: itemKeys, Effect: "Of lists: what each item is, by the keys above.", Meant: words("item"),
}, Key{
	Name: "default", Default: "none", Example: `"2026-01-31"`, Effect: "The value if none is given.", Meant: words("value"),
}, Key{
	Name: "required", Default: "`false`", Example: `true`, Shape: Shape{Type: "boolean"}, Meant: []meant{{"optional", "required: false"}},
	Effect: "A value must be given. Without it, and without `default`, the parameter may have none: a token that names it then needs a default of its own, as in `{{parameters.day:today}}`.",
}, Key{
	Name: "description", Default: "none", Example: `"The day to report on."`, Shape: Shape{Type: "string"}, Effect: "For people.", Meant: words("help", "doc"),
})

// keyOf is a key of a task.
func keyOf(name string) Key {
	i := slices.IndexFunc(taskKeys, func(k Key) bool { return k.Name == name })
	return taskKeys[i]
}

func withMeant(k Key, all ...meant) Key {
	k.Meant = all
	return k
}

func withEffect(k Key, effect string) Key {
	k.Effect = effect
	return k
}

// without are keys but for some.
func without(keys []Key, names ...string) []Key {
	return slices.DeleteFunc(slices.Clone(keys), func(k Key) bool { return slices.Contains(names, k.Name) })
}

// Unknown says what is wrong with a key that is not among those known: what it likely means, or what there is.
func Unknown(name string, known []Key) string { return setOf("", known).unknown(name) }

// MeantTaskKey is the key of a file's task that an unknown one likely means; empty: nobody knows.
func MeantTaskKey(name string) string {
	if name == "dependencies" {
		return "needs"
	}
	return setOf("", fileTaskKeys).meant(name)
}

// UnknownTaskKey is [Unknown] of a task in a tree file, which knows the keys of other trees, too.
func UnknownTaskKey(name string) string {
	for _, not := range notOfFiles {
		if dag.SameWord(not.word, name) {
			if not.as == "" {
				return "a task of a tree file can't have it"
			}
			return fmt.Sprintf("there is no such key in a tree file; write %s", not.as)
		}
	}
	return Unknown(name, fileTaskKeys)
}
