package python

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
)

//go:embed runner.py
var runnerSource []byte

// Bounds of inputs.
const (
	maxSourceBytes = 4 << 20
	maxListBytes   = 4 << 20 // of requirements, or of a lock file
)

// input is what a task says.
type input struct {
	Script       string            `json:"script"`
	File         string            `json:"file"`
	Function     string            `json:"function"`
	Source       string            `json:"source"`
	Git          *gitSource        `json:"git"`
	Archive      *archiveSource    `json:"archive"`
	Arguments    json.RawMessage   `json:"arguments"`
	Requirements requirements      `json:"requirements"`
	Lock         string            `json:"lock"`
	Project      string            `json:"pyproject"`
	Python       string            `json:"python"`
	Env          map[string]string `json:"env"`
	Timeout      json.Number       `json:"timeout"`

	files map[string]string // variables that tell where artifacts are

	rest json.RawMessage // inputs that are not the executor's
}

// own are the names of the executor's inputs.
var own = []string{"script", "file", "function", "source", "git", "archive", "arguments", "requirements", "lock", "pyproject", "python", "env", "timeout"}

// requirements are a text, or a list of lines.
type requirements string

// UnmarshalJSON takes both.
func (r *requirements) UnmarshalJSON(text []byte) error {
	var lines []string
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		err := json.Unmarshal(text, &lines)
		*r = requirements(strings.Join(lines, "\n"))
		return err
	}
	return json.Unmarshal(text, (*string)(r))
}

var (
	functionRule = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)
	pythonRule   = regexp.MustCompile(`^[0-9<>=!~., *]{1,80}$|^(cpython|pypy)@?[0-9.]{1,20}$`)
	commitRule   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/+-]{0,250}$`)
	sumRule      = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
)

// read reads the inputs, and tells every fault in them.
func read(text json.RawMessage) (*input, error) {
	in := &input{}
	if err := json.Unmarshal(text, in); err != nil {
		return nil, invalid("inputs: %v", err)
	}
	if in.Script == "" && in.Function == "" && in.File == "" {
		return nil, invalid("script is required in inputs (or function, or file)")
	}
	if bytes.Equal(in.Arguments, []byte("null")) || len(in.Arguments) == 0 {
		in.Arguments = json.RawMessage("null")
	}
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	in.checkCode(fault)
	in.checkSources(fault)
	in.checkPackages(fault)
	for name, value := range in.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) || strings.HasPrefix(name, ourPrefix) {
			fault("env: %.80q can't be set", name)
		}
	}
	if len(faults) > 0 {
		slices.Sort(faults)
		return nil, invalid("%s", strings.Join(faults, "; "))
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, invalid("inputs: %v", err)
	}
	maps.DeleteFunc(all, func(name string, _ json.RawMessage) bool { return slices.Contains(own, name) })
	var err error
	in.rest, err = json.Marshal(all)
	return in, err
}

// checkCode looks at what is to be run.
func (in *input) checkCode(fault func(string, ...any)) {
	given := 0
	for _, one := range []string{in.Script, in.Function, in.File} {
		if one != "" {
			given++
		}
	}
	if given > 1 {
		fault("script, function and file: only one of them may be given")
	}
	if in.Function != "" && !functionRule.MatchString(in.Function) {
		fault("function: %.100q is not of the form module:function", in.Function)
	}
	if in.Function == "" && string(in.Arguments) != "null" {
		fault("arguments: only a function takes them; a script finds its inputs in taskgrove.inputs")
	}
	if in.File != "" && !localFile(in.File) {
		fault("file: %.100q is not a path below the source", in.File)
	}
	if len(in.Script) > maxSourceBytes || len(in.Source) > maxSourceBytes {
		fault("script, source: at most %d bytes", maxSourceBytes)
	}
}

// checkSources looks at where code comes from.
func (in *input) checkSources(fault func(string, ...any)) {
	given := 0
	for _, one := range []bool{in.Source != "", in.Git != nil, in.Archive != nil} {
		if one {
			given++
		}
	}
	switch {
	case given > 1:
		fault("source, git and archive: only one of them may be given")
	case in.Function != "" && given == 0:
		fault("function: source, git or archive must say where its module is")
	case in.File != "" && in.Git == nil && in.Archive == nil:
		fault("file: git or archive must say where it is")
	case in.Source != "" && in.Function == "":
		fault("source: it is the module of a function; give a script instead")
	}
	if in.Source != "" && strings.Contains(strings.SplitN(in.Function, ":", 2)[0], ".") {
		fault("function: the module of a source has no dots")
	}
	if in.Git != nil {
		in.Git.check(fault)
	}
	if in.Archive != nil {
		in.Archive.check(fault)
	}
}

// checkPackages looks at what packages are asked for.
func (in *input) checkPackages(fault func(string, ...any)) {
	if in.Requirements != "" && in.Lock != "" {
		fault("requirements and lock: only one of them may be given")
	}
	if (in.Project != "") != strings.Contains(in.Lock, "[[package]]") && !strings.Contains(in.Lock, "lock-version") {
		fault("lock and pyproject: a uv.lock needs its pyproject, and the other way round")
	}
	if len(in.Requirements) > maxListBytes || len(in.Lock) > maxListBytes || len(in.Project) > maxListBytes {
		fault("requirements, lock, pyproject: at most %d bytes", maxListBytes)
	}
	if err := checkRequirements(string(in.Requirements)); err != nil {
		fault("requirements: %v", err)
	}
	if in.Python != "" && !pythonRule.MatchString(in.Python) {
		fault("python: %.100q is not a version, such as 3.12 or >=3.11", in.Python)
	}
}

// localTarget is a path as the place of a requirement.
var localTarget = regexp.MustCompile(`@[\s\\]*[./~]`)

// checkRequirements refuses options, which could name files and registries of the task's own; a hash is fine. It refuses variables, for which uv
// puts in those of its own environment, passwords of registries among them. A carriage return ends a line for uv, too.
func checkRequirements(text string) error {
	if strings.Contains(text, "${") {
		return errors.New("they can't have variables (${…})")
	}
	if local := localTarget.FindString(text); local != "" {
		return fmt.Errorf("%.100q is a file of this machine", local)
	}
	for line := range strings.Lines(strings.ReplaceAll(text, "\r", "\n")) {
		words := strings.Fields(line)
		for i, word := range words {
			if strings.HasPrefix(word, "#") {
				break
			}
			if strings.HasPrefix(word, "-") && !strings.HasPrefix(word, "--hash=") {
				return fmt.Errorf("the option %.40q is not allowed", word)
			}
			if strings.Contains(word, "file:") || i == 0 && (strings.HasPrefix(word, ".") || strings.HasPrefix(word, "/")) {
				return fmt.Errorf("%.100q is a file of this machine", word)
			}
		}
	}
	return nil
}

// localFile reports whether a slash-separated path stays below where it begins.
func localFile(p string) bool {
	return p != "" && !strings.ContainsAny(p, "\\\x00") && filepath.IsLocal(path.Clean(p)) && len(p) <= 4096
}

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "script": {"type": ["string", "null"], "description": "Source text to run; may name its packages in a comment (PEP 723). taskgrove.result(value) sets its result"},
    "function": {"type": ["string", "null"], "description": "Instead of script: module:function, from source, git or archive. What it returns is the result"},
    "file": {"type": ["string", "null"], "description": "Instead of script: path of a script within git or archive"},
    "source": {"type": ["string", "null"], "description": "Source text of the function's module"},
    "git": {
      "type": ["object", "null"], "description": "A repository that has the module or the file",
      "properties": {
        "url": {"type": "string", "description": "https:// or ssh:// URL"},
        "ref": {"type": ["string", "null"], "default": "HEAD", "description": "Branch, tag or full commit"},
        "path": {"type": ["string", "null"], "description": "Directory within the repository that modules are looked for in"},
        "token": {"type": ["string", "null"], "description": "Password for https; the user name is that of the URL, or x-access-token"},
        "key": {"type": ["string", "null"], "description": "Private key for ssh, in OpenSSH's format"},
        "known_hosts": {"type": ["string", "null"], "description": "The server's keys for ssh, as lines of a known_hosts file; required for ssh"}
      },
      "required": ["url"]
    },
    "archive": {
      "type": ["object", "null"], "description": "A zip, tar or tar.gz file that has the module or the file",
      "properties": {
        "url": {"type": ["string", "null"], "description": "http:// or https:// URL"},
        "path": {"type": ["string", "null"], "description": "Instead of url: absolute path on the worker's host"},
        "sha256": {"type": "string", "description": "What it must be, as 64 hexadecimal digits"},
        "directory": {"type": ["string", "null"], "description": "Directory within the archive that modules are looked for in"}
      },
      "required": ["sha256"]
    },
    "arguments": {"type": ["object", "null"], "description": "Keyword arguments of the function; artifacts become paths of files. Without them, a function that takes one argument gets the inputs that are not listed here, results of dependencies among them"},
    "requirements": {"type": ["string", "array", "null"], "items": {"type": "string"}, "description": "Packages, as a list or as the text of a requirements.txt. If one has a hash, all must"},
    "lock": {"type": ["string", "null"], "description": "Instead of requirements: text of a uv.lock (together with pyproject) or of a pylock.toml"},
    "pyproject": {"type": ["string", "null"], "description": "Text of the pyproject.toml that belongs to the uv.lock"},
    "python": {"type": ["string", "null"], "description": "Version of Python, such as 3.12 or >=3.11; by default what the code says, else the first that uv finds"},
    "env": {"type": ["object", "null"], "additionalProperties": {"type": ["string", "object"]}, "description": "Additional environment variables. An artifact becomes the path of a file"},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "description": "Seconds, the making of the environment included; by default the task's own timeout, and 600 if it has none"}
  }
}`)

var outputSchema = json.RawMessage(`{"description": "What the function returned, or the script set by taskgrove.result; null if nothing"}`)

var examples = []executors.Example{
	{Title: "A script with a package", Inputs: json.RawMessage(`{"script": "# /// script\n# dependencies = [\"humanize>=4\"]\n# ///\nimport humanize\nimport taskgrove\n\nprint(\"counting\")\ntaskgrove.progress(0.5, \"half of it\")\ntaskgrove.result({\"text\": humanize.intcomma(1234567)})\n"}`)},
	{Title: "A function with arguments", Inputs: json.RawMessage(`{"function": "prices:total", "source": "def total(prices, tax=0.0):\n    return {\"total\": round(sum(prices) * (1 + tax), 2)}\n", "arguments": {"prices": [1.5, 2.5], "tax": 0.2}}`)},
}
