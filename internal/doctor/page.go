package doctor

import (
	"fmt"
	"strings"
)

//go:generate go test . -run TestPageIsUpToDate -update

// Page is docs/doctor.md.
func Page() string {
	var b strings.Builder
	b.WriteString(`<!-- Generated from the table of checks by "go generate ./internal/doctor". Do not edit. -->

# Doctor

` + "`taskgrove doctor`" + ` finds out what is wrong with a cluster, and says how to mend it. It asks a coordinator for a diagnosis, by the same flags as all commands,
and adds what can be seen from where you are: whether the listeners answer, TLS, your token, versions and clocks.

` + "```console" + `
$ taskgrove doctor
$ taskgrove doctor --all -o json
$ taskgrove doctor --http http://127.0.0.1:8000
` + "```" + `

If no coordinator answers, or with ` + "`--direct`" + `, it looks at Postgres and NATS itself, so that it helps when nothing starts. It then needs the settings of a
coordinator in its environment: ` + "`TASKGROVE_POSTGRES_URL`, `TASKGROVE_NATS_URL`" + `, and those beside them ([configuration](configuration.md)).

| severity | means |
|---|---|
| ok | in order; shown with ` + "`--all`" + ` |
| note | worth knowing; nothing has to be done |
| warning | works, and will not for ever, or not as well as it should |
| problem | does not work, or may lose what is stored |

The exit code is 0 if there is no problem, 1 if there are some, 2 if the command line or a setting is wrong. Every look has its own time, and all run side by
side: what gives no answer in time is a finding, too. A diagnosis takes half a minute at most, mostly less than two seconds. It changes nothing: what
it tries in NATS is a subscription for an instant, and an event that nobody hears. Findings hold no password, token or key.

A diagnosis takes the permission ` + "`cluster.diagnose`" + `, which operators and admins of the cluster have ([access control](access-control.md)).

What it can't see: how much room is left on disks; what the role in Postgres may not see (membership in ` + "`pg_monitor`" + ` shows all sessions and the size of the
write-ahead log); what NATS servers count for other connections, which is for their system account; the clock of a worker that has not sent a beat to this coordinator
within ten minutes.
`)
	area := ""
	for i := range Checks {
		c := &Checks[i]
		if c.Area != area {
			area = c.Area
			fmt.Fprintf(&b, "\n## %s\n", area)
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s %s\n\n", c.ID, c.Title, c.Why)
		for _, m := range c.Mend {
			fmt.Fprintf(&b, "- %s\n", m)
		}
		if c.See != "" {
			page, _, _ := strings.Cut(c.See, ".md")
			fmt.Fprintf(&b, "\nMore: [%s](%s)\n", strings.ReplaceAll(page, "-", " "), c.See)
		}
	}
	return b.String()
}
