package taskgrove_test

import (
	"go/parser"
	"path"
	"slices"
	"strings"
	"testing"
)

// module is what the paths of our own packages begin with.
const module = "github.com/taskgrove/taskgrove/"

// arrow says what a package may import. Test files are free: a test of the client may start a server.
type arrow struct {
	from    string   // package, relative to the module; "x/..." is x and all below it
	to      []string // our packages that it may import, in the same form
	never   []string // path prefixes of others' packages that it must not import
	because string
}

// all is the list of all packages outside the standard library.
var all = []string{""}

// wired is the list of all our packages.
var wired = []string{"..."}

// arrows are the house's directions: rules inward, technology outward. The first row that fits a package binds it.
var arrows = []arrow{
	{".", nil, all, "a version is a word, whoever says it"},
	{"dag", []string{"dag/template"}, all, "rules are decided without a clock, a disk or a network, so that they can be replayed"},
	{"dag/treedoc", []string{"dag", "internal/rawjson"}, nil, "a submitted document is read into what dag judges, and into nothing else"},
	{"dag/scheduledoc", []string{"dag", "internal/cron"}, []string{"github.com/jackc/", "github.com/nats-io/"}, "what people write of a schedule is read and judged, without knowing where it is kept"},
	{"dag/expansion", []string{"dag", "dag/template", "dag/treedoc"}, []string{"github.com/jackc/", "github.com/nats-io/"}, "what an attempt found is read and cut without knowing where it is kept"},
	{"dag/columns", []string{"dag"}, all, "a snapshot is written and read without a store or a network, by servers and clients alike"},
	{"dag/template", nil, all, "a template is text and values: no clock, no environment, no idea of what it is for"},
	{"internal/demand", []string{"dag"}, all, "what pools have use for is foreseen without a clock, a store or a network"},
	{"internal/ledger", []string{"dag"}, all, "a worker's steps are decided without a clock, a lock or a network, so that the simulation takes the same ones"},
	{"internal/attemptkey", nil, all, "a value is sealed under an attempt's key without knowing what it is, or whose key it is"},
	{"internal/envelope", []string{"internal/attemptkey", "proto/..."}, nil, "both ends of a message seal the same fields, without knowing where it goes"},
	{"internal/workers", []string{"dag", "internal/attemptkey"}, all, "what coordinators owe to workers is decided without a clock, a store or a network, so that the simulation decides the same"},
	{"internal/artifact", nil, all, "a content is kept without knowing whose it is, or what refers to it"},
	{"internal/artifact/s3/s3test", []string{"internal/porttest"}, []string{"github.com/nats-io/", "github.com/jackc/"}, "a server is started without knowing what is kept there"},
	{"internal/archive/archivetest", []string{"internal/archive"}, []string{"github.com/nats-io/", "github.com/jackc/"}, "a store is tried without knowing how it works"},
	{"internal/archive", nil, []string{"github.com/nats-io/", "github.com/jackc/", "github.com/minio/"}, "an archived tree is written, named and read without knowing where it comes from"},
	{"internal/artifact/s3", []string{"internal/archive", "internal/artifact"}, []string{"github.com/nats-io/", "github.com/jackc/"}, "a bucket keeps blocks, and knows nothing else of them"},
	{"internal/failpoint", nil, all, "production code names the places where it can be made to die, and links no test code for it"},
	{"internal/readiness", nil, all, "a process says why it is not ready, whatever it does"},
	{"internal/rawjson", nil, nil, "a text is JSON or not, whoever asks"},
	{"internal/modelkey", nil, nil, "a key is kept and sealed without knowing what a task, a queue or a store is"},
	{"internal/record", nil, all, "a chain is checked without knowing who keeps it, on a machine that has nothing else of ours"},
	{"internal/otlpenv", nil, all, "variables are read without knowing what is sent"},
	{"internal/tasklog", []string{"internal/otlpenv", "internal/rawjson"}, []string{"github.com/nats-io/"}, "a line leaves a worker without knowing where else it goes"},
	{"internal/instrument", nil, all, "a metric is described without knowing what is measured"},
	{"internal/addresses", nil, all, "an address is of its kind, whoever wants to go there"},
	{"internal/sealed", nil, all, "a text is sealed without knowing what it is, or where it is kept"},
	{"internal/credential", nil, []string{"github.com/"}, "a credential is read without knowing who asks for it"},
	{"internal/credential/certtest", nil, all, "a certificate is made without knowing who shows it"},
	{"internal/policy", nil, all, "who may do what is a table, decided without a clock, a store or a network"},
	{"internal/policy/docgen", []string{"internal/policy"}, nil, "the page of access control is made of the policy"},
	{"internal/doctor", nil, all, "facts are judged without knowing how they are had, so that each finding can be brought about in a table"},
	{"internal/porttest", nil, all, "a port is held without knowing for which server"},
	{"internal/kubeapi", nil, []string{"github.com/nats-io/", "github.com/jackc/", "github.com/spf13/"}, "a cluster is asked without knowing what for"},
	{"internal/condition", []string{"flows/gate"}, []string{"github.com/"}, "a condition is a text and values: no clock, no store, no idea of what follows from a verdict"},
	{"internal/condition/tasks", []string{"dag", "dag/treedoc", "internal/condition"}, []string{"github.com/"}, "the conditions of a task are checked wherever tasks come from"},
	{"internal/cron", nil, []string{"github.com/jackc/", "github.com/nats-io/"}, "instants are told without knowing what is done at one, or what the time is"},
	{"internal/conceal", nil, []string{"github.com/"}, "a process is closed to others without knowing what it holds"},
	{"internal/treefile", []string{"dag/...", "internal/condition/...", "internal/rawjson"}, nil, "a file is read as a document, without knowing where it goes"},
	{"internal/treetest", []string{"dag/...", "executors", "executors/aggregate", "executors/approval", "executors/checkitems", "executors/inputs", "executors/mapper", "executors/noop", "executors/sleep", "executors/subtree", "executors/wait", "internal/condition", "internal/treefile"}, []string{"github.com/nats-io/", "github.com/jackc/"}, "a tree is played without a cluster, by the rules that decide in one"},
	{"internal/apflow", nil, nil, "another program's table is read without knowing what becomes of it"},
	{"internal/applyfile", []string{"dag", "dag/scheduledoc", "internal/rawjson", "internal/treefile"}, []string{"github.com/nats-io/", "github.com/jackc/", "github.com/spf13/"}, "a folder is read, without knowing what the cluster has"},
	{"internal/schedulefile", []string{"dag", "dag/scheduledoc", "internal/treefile"}, nil, "a file is read, without knowing where its schedules go"},
	{"internal/workerfile", []string{"internal/treefile", "executors/image", "executors/kubernetes/quantity", "executors/resource"}, nil, "what an operator wrote is read, without knowing what becomes of it"},
	{"internal/config", nil, nil, "settings are read once and handed on; what they are for, node knows"},
	{"internal/config/docgen", []string{"internal/config"}, nil, "the manual of the settings is made of the settings"},

	{"flows/env", []string{"dag/treedoc", "internal/treefile"}, []string{"github.com/nats-io/", "github.com/jackc/", "github.com/spf13/"}, "files are read through what the caller hands in, whatever they are for"},
	{"flows/flowtest", []string{"flows/gate"}, []string{"github.com/"}, "what a flow comes to is read from its documentation, not from its compiler"},
	{"flows/gate", nil, all, "a gate is a text and values: no clock, no store, no idea of what follows from a verdict"},
	{"flows", []string{"dag", "dag/expansion", "dag/template", "dag/treedoc", "executors/bundle", "executors/resource", "flows/env", "flows/gate", "internal/cron", "internal/rawjson", "internal/treefile"}, []string{"github.com/nats-io/", "github.com/jackc/", "github.com/spf13/"},
		"a flow is read and compiled without knowing where it runs"},

	{"pg/pgserver", nil, nil, "a server is started without knowing what will be stored in it"},
	{"pg/pgtest", []string{"internal/porttest", "pg/pgserver"}, nil, "tests of any package may want a database, those of pg too"},
	{"pg", []string{"dag", "dag/expansion", "internal/demand", "internal/doctor", "internal/record", "internal/sealed"}, nil, "the store loads rows, lets dag decide and writes what it said; adapters don't know one another"},
	{"queue/natsserver", []string{"queue"}, nil, "the embedded server has the permissions that queue defines, and relays pulls as queue does"},
	{"queue", []string{"internal/credential", "internal/doctor"}, nil, "messages are bytes: transport must not know what a task is"},
	{"proto/...", nil, nil, "contracts are generated, and depend on no one who uses them"},

	{"executors/builtin", []string{"executors/...", "internal/config", "internal/workerfile"}, []string{"github.com/nats-io/", "github.com/jackc/", "github.com/spf13/"},
		"a user's own program sets the guards of the built-in executors by the variables of the stock worker"},
	{"executors/sql", []string{"executors/..."}, []string{"github.com/nats-io/", "github.com/spf13/"},
		"a task's own database is reached by the same library as ours, and by nothing else of ours"},
	{"executors/mail/mailtest", []string{"internal/credential/certtest"}, all, "a server is started without knowing who sends"},
	{"executors/smb/smbtest", []string{"internal/porttest"}, all, "a server is started without knowing who logs in"},
	{"executors/sql/sqltest", []string{"internal/porttest"}, []string{"github.com/nats-io/", "github.com/jackc/", "github.com/spf13/"}, "a server is started without knowing what is asked of it"},
	{"executors/ssh/sshtest", []string{"internal/porttest"}, all, "a server is started without knowing who logs in"},
	{"executors/secrets", []string{"dag/template", "executors/...", "internal/credential", "internal/rawjson", "internal/workerfile"}, []string{"github.com/nats-io/", "github.com/jackc/", "github.com/spf13/"}, "secrets are found without knowing who asks, and what for"},
	{"executors/resource", []string{"dag", "dag/template"}, all, "a resource becomes a connection without a clock, a network or a secret's source, for flows and workers alike"},
	{"executors/bundle", []string{"executors/resource", "internal/failpoint"}, all, "a bundle is fetched without knowing how its source is spoken to"},
	{"executors/generate", []string{"executors/...", "dag/...", "internal/rawjson"}, []string{"github.com/nats-io/", "github.com/jackc/", "github.com/spf13/"},
		"a generated tree is judged by the rules that submissions are judged by, and by nothing that stores or runs one"},
	{"executors/...", []string{"executors/...", "internal/addresses", "internal/kubeapi", "internal/rawjson", "internal/workerfile"}, []string{"github.com/nats-io/", "github.com/jackc/", "github.com/spf13/"},
		"an executor runs one attempt: no NATS, no Postgres, no idea of who asks; a user's own program links the same"},

	{"worker", []string{"dag", "dag/template", "queue", "executors", "executors/bundle", "executors/inputs", "executors/secrets", "executors/workdir", "proto/...", "internal/artifact", "internal/attemptkey", "internal/conceal", "internal/condition", "internal/config", "internal/envelope", "internal/failpoint", "internal/instrument", "internal/ledger", "internal/modelkey", "internal/rawjson", "internal/tasklog", "internal/readiness", "internal/workerfile"}, nil,
		"a worker has no database, and no rules but those that dag says; it checks inputs, has directories for them and reads its own settings, so that a custom worker needs no other package"},
	{"coordinator", []string{"dag/...", "executors/bundle", "executors/resource", "flows", "pg", "queue", "proto/...", "internal/addresses", "internal/archive", "internal/artifact", "internal/attemptkey", "internal/condition/...", "internal/cron", "internal/demand", "internal/doctor", "internal/envelope", "internal/failpoint", "internal/instrument", "internal/modelkey", "internal/policy", "internal/rawjson", "internal/readiness", "internal/record", "internal/sealed", "internal/treefile", "internal/workers"}, nil, "a coordinator never runs a task, and serves no protocol"},
	{"api/openapi/docgen", []string{".", "api", "api/jsonrpc"}, nil, "the document is made of the table of methods, before the build"},
	{"api/page/typegen", []string{"proto/..."}, nil, "the page's types are made of the contracts, before the build"},
	{"api/page", nil, all, "the page's files are served without knowing what they call"},
	{"api/...", []string{"api/...", "coordinator", "dag/...", "executors/bundle", "flows", "proto/...", "internal/modelkey", "internal/rawjson", "internal/readiness", "internal/treefile"}, nil, "a protocol is translated into the coordinator's words, and past it nothing is reached"},
	{"client", []string{"proto/...", "dag/...", "internal/credential"}, nil, "a client links no server"},
	{"node/docgen", []string{"node", "dag/treedoc", "internal/instrument", "internal/treetest"}, nil, "the manual of documents and metrics is made of what reads and makes them"},
	{"node", []string{"api/...", "coordinator", "dag/...", "executors/...", "flows", "internal/archive", "internal/artifact/...", "internal/conceal", "internal/config", "internal/credential", "internal/doctor", "internal/instrument", "internal/kubeapi", "internal/otlpenv", "internal/policy", "internal/readiness", "internal/sealed", "internal/workerfile", "pg", "queue", "worker"}, []string{"github.com/spf13/"},
		"a process is assembled in one place, for whoever runs it; flags and servers are the command's"},
	{"tests/oracle", []string{"dag"}, nil, "who judges the rules may share their words and nothing of who carries them out"},
	{"tests/mutation", nil, all, "an edit of the source is text, whatever it breaks"},
	{"tests/history", []string{"tests/oracle", "dag"}, nil, "what happened is judged by who took no part in it"},
	{"tests/simulation", []string{"dag", "dag/treedoc", "flows", "flows/flowtest", "internal/ledger", "internal/workers", "tests/oracle", "tests/history", "tests/mutation"}, nil, "the decisions are simulated without a clock, a disk or a network"},
	{"tests/...", wired, nil, "wires the parts, to break, to attack and to time them"},

	{"cmd/...", wired, nil, "wires the parts"},
	{"examples/...", wired, nil, "wires the parts, to show how"},
}

// fits says whether a package is meant by a pattern.
func fits(pattern, pkg string) bool {
	if pattern == "..." {
		return true
	}
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == below || strings.HasPrefix(pkg, below+"/")
	}
	return pkg == pattern
}

// refusal is why an import breaks the row, or empty.
func (a arrow) refusal(imported string) string {
	ours, isOurs := strings.CutPrefix(imported, module)
	first, _, _ := strings.Cut(imported, "/")
	switch {
	case isOurs && !slices.ContainsFunc(a.to, func(p string) bool { return fits(p, ours) }):
		return "package " + ours
	case isOurs, !strings.Contains(first, "."): // allowed, or of the standard library
		return ""
	case slices.ContainsFunc(a.never, func(p string) bool { return strings.HasPrefix(imported, p) }):
		return imported
	}
	return ""
}

func TestArrows(t *testing.T) {
	used := map[string]bool{}
	for _, file := range sources(t, parser.ImportsOnly) {
		pkg := path.Dir(file.name)
		i := slices.IndexFunc(arrows, func(a arrow) bool { return fits(a.from, pkg) })
		if i < 0 {
			t.Errorf("%s: nobody has said what package %s may import: add it to arrows", file.name, pkg)
			continue
		}
		row := arrows[i]
		used[row.from] = true
		for _, spec := range file.syntax.Imports {
			if bad := row.refusal(strings.Trim(spec.Path.Value, `"`)); bad != "" {
				t.Errorf("%s imports %s, but %s", file.at(spec), bad, row.because)
			}
		}
	}
	for _, row := range arrows {
		if !used[row.from] && !slices.Equal(row.to, wired) {
			t.Errorf("arrows has a row for %s, which no package fits", row.from)
		}
	}
}

func TestArrowRefusals(t *testing.T) {
	for _, row := range []struct {
		from, imported string
		refused        bool
	}{
		{"dag", "slices", false},
		{"dag", "golang.org/x/sync/errgroup", true},
		{"dag", module + "pg", true},
		{"pg", module + "dag", false},
		{"pg", module + "dag/treedoc", true},
		{"pg", "github.com/jackc/pgx/v5", false},
		{"pg", module + "queue", true},
		{"executors/...", module + "executors/guardian", false},
		{"executors/...", "github.com/nats-io/nats.go", true},
		{"executors/...", "github.com/jackc/pgx/v5", true},
		{"worker", module + "coordinator", true},
		{"cmd/...", module + "coordinator", false},
	} {
		i := slices.IndexFunc(arrows, func(a arrow) bool { return a.from == row.from })
		if got := arrows[i].refusal(row.imported) != ""; got != row.refused {
			t.Errorf("%s imports %s: refused = %v, want %v", row.from, row.imported, got, row.refused)
		}
	}
}
