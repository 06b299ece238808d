package flows_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/flows"
)

const compatFlow = `version: 1
flow:
  id: f
  workspace: {root: /tmp/demo}
  locks: {scope: job}
resources:
  drop: {kind: sftp, driver: paramiko, config: {host: h, user: u, password: "{{env.DROP_PASSWORD}}"}, decode: {config: {password: true}}}
  known: {kind: sftp, driver: ssh, config: {host: h, user: u, host_key: ssh-ed25519 AAAA}}
jobs:
  - id: a
    steps:
      - {id: s, type: check_items, inputs: {items: a}, outputs: {n: "{{result.count:0}}", has: "{{result.has_data}}", text: "n={{result.count}}", d: "{{result.x:a }}"}}
      - {id: p, type: external.process, inputs: {command: echo hi, cwd: x, inherit_env: false}}
      - {id: q, type: external.process, inputs: {command: "a | b", shell: true, inherit_env: false}}
      - {id: r, type: external.process, inputs: {command: [a], cwd: x}}
  - id: b
    when: jobs.a.outputs.n > 0
    steps:
      - {id: l, type: with_lock, inputs: {lock_key: k, step: {type: noop}}}
  - id: c
    when: jobs.a.outputs.has
    steps: []
`

// TestCompat: what AetherFlow does otherwise is told where it stands, and only if it is asked for.
func TestCompat(t *testing.T) {
	opts := options()
	if _, report := flows.Read("f.yaml", []byte(compatFlow), opts); strings.Contains(fmt.Sprint(report.Warnings), "compat.") {
		t.Errorf("told unasked: %v", report.Warnings)
	}
	opts.Compat = true
	_, report := flows.Read("f.yaml", []byte(compatFlow), opts)
	var got []string
	for _, w := range report.Warnings {
		if strings.HasPrefix(string(w.Code), "compat.") {
			got = append(got, fmt.Sprintf("%d %s %s", w.Line, w.Loc, w.Code))
		}
	}
	slices.Sort(got)
	want := []string{
		"12 jobs[0].steps[0].outputs.d compat.default_end",
		"12 jobs[0].steps[0].outputs.text compat.text_form",
		"13 jobs[0].steps[1].inputs.command compat.command_words",
		"14 jobs[0].steps[2].inputs.cwd compat.cwd",
		"14 jobs[0].steps[2].inputs.shell compat.shell",
		"15 jobs[0].steps[3].inputs.inherit_env compat.environment",
		"17 jobs[1].when compat.when_types",
		"19 jobs[1].steps[0].inputs.lock_key compat.lock",
		"21 jobs[2].when compat.when_truth",
		"4 flow.workspace.root compat.workspace_root",
		"5 flow.locks compat.locks_scope",
		"7 resources.drop compat.host_key",
		"7 resources.drop.decode compat.decode",
		"9 jobs compat.blocked",
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestCompatOfTheCatalogue: steps of the catalogue, whose executors need not be there.
func TestCompatOfTheCatalogue(t *testing.T) {
	for text, want := range map[string]flows.Code{
		"type: db_extract, inputs: {format: tsv}":                                                            flows.CodeCompatExtract,
		"type: sftp_list_files, inputs: {remote_dir: /x}":                                                    flows.CodeCompatListing,
		"type: smb_list_files, inputs: {recursive: true}":                                                    "",
		"type: unzip, inputs: {archives: [a]}":                                                               flows.CodeCompatArchive,
		"type: excel_fill_small, inputs: {targets: [{insert: below, style_mode: copy_row}]}":                 flows.CodeCompatSheetRow,
		"type: excel_fill_small, inputs: {targets: [{style_mode: copy_row}]}":                                "",
		"type: with_lock, inputs: {lock_key: k, step: {type: unzip, inputs: {archives: [a]}}}":               flows.CodeCompatArchive,
		"type: external.process, inputs: {command: [a], cwd: b, inherit_env: false, log: {stdout: discard}}": "",
	} {
		opts := options()
		opts.Compat = true
		_, report := flows.Read("f.yaml", []byte(job+"  steps:\n  - {id: s, "+text+"}\n"), opts)
		found := slices.ContainsFunc(report.Warnings, func(w flows.Fault) bool {
			return w.Code == want || want == "" && strings.HasPrefix(string(w.Code), "compat.")
		})
		if found != (want != "") {
			t.Errorf("%s: %v", text, report.Warnings)
		}
	}
}
