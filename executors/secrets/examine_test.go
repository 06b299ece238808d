package secrets

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/resource"
)

// TestExamine: what a definition comes to is told as an attempt would be told it, without a value.
func TestExamine(t *testing.T) {
	const file = `
secrets: {OWN: {pools: [others]}, GONE: {env: NOT_SET}}
connections: {shop: {type: postgres, host: h, pools: [etl]}}
pools: {etl: {profiles: {warehouse: {config: {host: etl.internal, password: "{{env.ETL}}"}}}}}
`
	s := newStore(t, file, environment{"TASKGROVE_SECRET_OWN": "hunter2", "TASKGROVE_SECRET_ETL": "hunter2", "TASKGROVE_SECRET_ANY": "hunter2"}, nil)
	for _, row := range []struct {
		name, pool, definition string
		overlay                bool
		denied, faults         []string // beginnings
	}{
		{"the overlay replaces what the pool can't have", "etl", `{"kind":"db","driver":"postgres","profile":"warehouse","defaults":{"config":{"host":"h","password":"{{env.OWN}}"}},"config":{"database":"d"}}`, true, []string{"ETL:"}, nil},
		{"without it", "p", `{"kind":"db","driver":"postgres","profile":"warehouse","defaults":{"config":{"host":"h","password":"{{env.OWN}}"}},"config":{"database":"d"}}`, false, []string{`OWN:there is no secret "OWN" for tasks of pool "p"`}, nil},
		{"its own pool", "others", `{"kind":"db","driver":"postgres","config":{"host":"h","password":"{{env.OWN}}"}}`, false, []string{"OWN:"}, nil},
		{"one that has a default", "p", `{"kind":"db","driver":"postgres","config":{"host":"h","database":"{{env.NONE:d}}"}}`, false, []string{"NONE:"}, nil},
		{"one that has a default, and can't be read", "p", `{"kind":"db","driver":"postgres","config":{"host":"h","database":"{{env.GONE:d}}"}}`, false, []string{`GONE:secret "GONE" can't be read at this worker now`}, nil},
		{"no host", "p", `{"kind":"mail","driver":"smtp","config":{"password":"{{env.ANY}}"}}`, false, []string{"ANY:"}, []string{"config.host: must be there"}},
		{"no decoder", "p", `{"kind":"mail","driver":"smtp","config":{"host":"h","password":"{{env.ANY}}"},"decode":{"config":{"password":true}}}`, false, []string{"ANY:"}, []string{"config.password: is to be decoded, and this worker has nothing"}},
		{"no driver", "p", `{"kind":"db","driver":"postgrey"}`, false, nil, []string{"driver: "}},
	} {
		d, err := resource.Parse([]byte(row.definition))
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		got := s.Examine(t.Context(), row.pool, d)
		var denied []string
		for _, one := range got.Secrets {
			denied = append(denied, one.Name+":"+one.Denied)
		}
		if got.Overlay != row.overlay || !slices.Equal(denied, row.denied) || !slices.EqualFunc(got.Faults, row.faults, strings.HasPrefix) {
			t.Errorf("%s: got %+v, want %v, %v, %v", row.name, got, row.overlay, row.denied, row.faults)
		}
		if text, _ := json.Marshal(got); strings.Contains(string(text), "hunter2") {
			t.Errorf("%s: a value is shown: %s", row.name, text)
		}
	}
	for _, row := range []struct{ name, pool, want string }{
		{"shop", "etl", ""}, {"shop", "p", `there is no connection "shop" for tasks of pool "p"`}, {"none", "p", `there is no connection "none" for tasks of pool "p"`}, {"../x", "p", `there is no connection "../x" for tasks of pool "p"`},
	} {
		if got := s.DeniedConnection(row.name, row.pool); got != row.want {
			t.Errorf("connection %s in %s: got %q, want %q", row.name, row.pool, got, row.want)
		}
	}
	if got := s.Denied(t.Context(), strings.Repeat("x", 300), "p"); len(got) > 250 {
		t.Errorf("a long name is shown whole: %d", len(got))
	}
}
