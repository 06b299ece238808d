package config

import (
	"fmt"
	"slices"
	"strings"
)

// referencePrefix begins the names of aipartnerupflow's variables.
const referencePrefix = "AIPARTNERUPFLOW_"

// foreign is a variable of aipartnerupflow that no setting of ours has as another name.
type foreign struct {
	name  string // without the prefix; * at its end stands for any end
	does  string // what it does there
	ours  string // what is to be said about it here
	quiet bool   // nothing is lost: nobody is warned
	// protects: it asks for protection that we do not give by that name, so a process does not start with it.
	protects bool
}

// foreigners are those variables (spec 10), in the order of that list.
var foreigners = []foreign{
	{name: "DB_PATH", does: "the DuckDB file", ours: "there is no DuckDB here: TASKGROVE_POSTGRES_URL names the database, and `taskgrove import` takes what is in such a file"},
	{name: "TASK_TABLE_NAME", does: "the table of tasks", ours: "tables have names of their own, in a database of their own"},
	{name: "MAX_SESSIONS", does: "sessions of the database", ours: "TASKGROVE_POSTGRES_MAX_CONNS bounds connections; what comes beyond waits"},
	{name: "SESSION_TIMEOUT", does: "how long a session of the database may last", ours: "TASKGROVE_POSTGRES_STATEMENT_TIMEOUT bounds statements"},
	{name: "API_PROTOCOL", does: "which protocol is served", ours: "all protocols are served at once", quiet: true},
	{name: "EXTENSIONS", does: "which executors there are", ours: "TASKGROVE_POOLS says what a worker runs; commands and code run only where TASKGROVE_COMMAND_ALLOW and TASKGROVE_PYTHON_ALLOW say so"},
	{name: "ENABLE_*", does: "whether an executor is there", ours: "TASKGROVE_POOLS says what a worker runs; commands and code run only where TASKGROVE_COMMAND_ALLOW and TASKGROVE_PYTHON_ALLOW say so"},
	{name: "TASK_MODEL_CLASS", does: "a Python class with more columns", ours: "tasks keep keys of their own without one", quiet: true},
	{name: "DAEMON_PID_FILE", does: "where the daemon notes its process", ours: "`taskgrove dev --detach` keeps it in its data directory"},
	{name: "DAEMON_LOG_FILE", does: "where the daemon logs", ours: "`taskgrove dev --detach` logs into its data directory"},
	{name: "PORT", does: "nothing but the address in its documentation", ours: "TASKGROVE_HTTP_ADDR says where HTTP is served"},
	{name: "HOST", does: "nothing, though it is documented", ours: "TASKGROVE_HTTP_ADDR says where HTTP is served"},
	{name: "LLM_MODEL", does: "nothing, though it is documented", ours: "OPENAI_MODEL and ANTHROPIC_MODEL name models"},
	{name: "JWT_SECRET", does: "nothing, though it is documented", ours: "the secret of tokens is AIPARTNERUPFLOW_JWT_SECRET_KEY or TASKGROVE_JWT_SECRET", protects: true},
}

// protective are words in names of variables that ask for protection.
var protective = []string{"JWT", "SECRET", "AUTH", "TOKEN", "WHITELIST", "ALLOWLIST", "ALLOW_", "DENY", "PERMISSION", "CORS", "TLS", "SSL"}

// Foreign looks at the variables of aipartnerupflow in this environment: warnings are of those that have no effect here, by name, and faults of
// those that ask for protection which nobody would give. Values are never told.
func Foreign() (warnings []string, faults Faults) {
	known := knownNames()
	for _, name := range variables() {
		short, is := strings.CutPrefix(name, referencePrefix)
		if !is || getenv(name) == "" || known[name] {
			continue
		}
		if f, ok := foreignOf(short); ok {
			switch {
			case f.protects:
				faults = append(faults, Fault{Variable: name, Reason: f.ours, Takes: "nothing"})
			case !f.quiet:
				warnings = append(warnings, fmt.Sprintf("%s has no effect: %s", name, f.ours))
			}
			continue
		}
		text := "no setting has this name"
		if like := nearest(name, known); like != "" {
			text += "; did you mean " + like + "?"
		}
		if slices.ContainsFunc(protective, func(word string) bool { return strings.Contains(short, word) }) {
			faults = append(faults, Fault{Variable: name, Reason: text + " It seems to ask for protection, which nobody would give", Takes: "nothing"})
			continue
		}
		warnings = append(warnings, name+" has no effect: "+text)
	}
	if getenv(referencePrefix+"JWT_ALGORITHM") != "" && getenv(Prefix+"JWT_SECRET") == "" && getenv(Prefix+"JWT_SECRET_FILE") == "" && getenv(referencePrefix+"JWT_SECRET_KEY") == "" {
		warnings = append(warnings, referencePrefix+"JWT_ALGORITHM has no effect without a secret: nobody is asked who it is")
	}
	return warnings, faults
}

func foreignOf(short string) (foreign, bool) {
	i := slices.IndexFunc(foreigners, func(f foreign) bool {
		begin, open := strings.CutSuffix(f.name, "*")
		return f.name == short || open && strings.HasPrefix(short, begin)
	})
	if i < 0 {
		return foreign{}, false
	}
	return foreigners[i], true
}

// knownNames are all names that settings have.
func knownNames() map[string]bool {
	names := map[string]bool{}
	for _, v := range All() {
		names[v.Name] = true
		for _, alias := range v.Aliases {
			for one := range strings.SplitSeq(alias, "+") {
				names[one] = true
			}
		}
	}
	return names
}

// nearest is the known name that differs from a text in the fewest characters, in three at most; empty: none.
func nearest(text string, known map[string]bool) (best string) {
	least := 4
	for name := range known {
		if d := distance(text, name, least+1); d < least || d == least && best != "" && name < best {
			best, least = name, d
		}
	}
	return best
}

// distance is how many characters must be put in, left out or replaced to get from a to b; most if it is more.
func distance(a, b string, most int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= most {
		return most
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return min(row[len(b)], most)
}
