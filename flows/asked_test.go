package flows_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/flows"
)

// TestAsks: each pool is asked what its own steps use, wherever they stand, by the executors that run them.
func TestAsks(t *testing.T) {
	opts := describing()
	opts.Plugins, _ = plugins(map[string]string{"plugins/w": "", "plugins/w.json": `{"id": "words"}`}, opts)
	const text = `
flow: {id: f, pool: big, on_failure: [{id: h, type: noop, inputs: {a: "{{env.H_TOKEN}}"}}]}
jobs:
- id: a
  steps:
  - {id: s, type: words, pool: small, inputs: {text: "{{env.S_TOKEN}}"}}
  - {id: l, type: with_lock, inputs: {lock_key: k, step: {type: noop, inputs: {a: "{{env.L_TOKEN}}"}}}}
  - {id: e, type: foreach, pool: each, inputs: {items: [1], step: {type: noop, pool: inner, inputs: {a: "{{env.E_TOKEN}}"}}}}
`
	show := func(text, pool string) string {
		c := flows.Doctor("f", []byte(text), opts, nil)
		if len(c.Errors) > 0 {
			t.Fatal(c.Errors)
		}
		var lines []string
		for _, one := range c.Asks(pool) {
			lines = append(lines, fmt.Sprintf("%s%v%v", one.Pool, one.Executors, one.Secrets))
		}
		return strings.Join(lines, "; ")
	}
	for _, row := range []struct{ text, pool, want string }{
		{text, "", "big[noop_executor][H_TOKEN L_TOKEN]; each[map_executor][]; inner[noop_executor][E_TOKEN]; small[bundle_plugin][S_TOKEN]"},
		{text, "p", "p[bundle_plugin map_executor noop_executor][E_TOKEN H_TOKEN L_TOKEN S_TOKEN]"},
		{"flow: {id: f}\njobs: [{id: a, steps: [{id: s, type: external.process, inputs: {command: x, env: {A_TOKEN: '{{env.A_TOKEN}}'}}}]}]\n", "", "external_process[external.process][A_TOKEN]"},
		{"flow: {id: f}\njobs: []\n", "", ""},
	} {
		if got := show(row.text, row.pool); got != row.want {
			t.Errorf("got %s, want %s", got, row.want)
		}
	}
	if c := flows.Doctor("f", []byte("flow: {id: f}\njobs: [{id: a, steps: [{id: s, type: nobody}]}]\n"), opts, nil); c.Asks("") != nil {
		t.Error("a flow with faults asks")
	}
}
