package flows

import (
	"strings"

	"github.com/taskgrove/taskgrove/dag/template"
	"github.com/taskgrove/taskgrove/internal/treefile"
)

// The codes of what a flow that AetherFlow runs does in another way here. All are warnings, and told only where [Options.Compat] asks for them.
const (
	CodeCompatText      Code = "compat.text_form"
	CodeCompatDefault   Code = "compat.default_end"
	CodeCompatTruth     Code = "compat.when_truth"
	CodeCompatTypes     Code = "compat.when_types"
	CodeCompatScope     Code = "compat.locks_scope"
	CodeCompatLock      Code = "compat.lock"
	CodeCompatCommand   Code = "compat.command_words"
	CodeCompatShell     Code = "compat.shell"
	CodeCompatCwd       Code = "compat.cwd"
	CodeCompatEnv       Code = "compat.environment"
	CodeCompatHostKey   Code = "compat.host_key"
	CodeCompatExtract   Code = "compat.extract_escapes"
	CodeCompatListing   Code = "compat.listing"
	CodeCompatArchive   Code = "compat.missing_archive"
	CodeCompatRoot      Code = "compat.workspace_root"
	CodeCompatDecode    Code = "compat.decode"
	CodeCompatSheetRow  Code = "compat.style_row"
	CodeCompatAfterFail Code = "compat.blocked"
)

var compatCodes = map[Code]about{
	CodeCompatText:      {warning: true, means: "A value within a text is written as JSON writes it: `true`, `null`, `[1,2]`. AetherFlow writes `True`, `None`, `[1, 2]`."},
	CodeCompatDefault:   {warning: true, means: "Blanks at the end of a default do not count. In AetherFlow they do where the token is the whole text."},
	CodeCompatTruth:     {warning: true, means: "`when` is one value, without a comparison. The texts `\"false\"` and `\"\"` mean false, and a text that is neither a boolean nor empty fails the job; in AetherFlow every text but the empty one is true."},
	CodeCompatTypes:     {warning: true, means: "`when` compares an output that may be a text, as defaults of templates are. Here `\"0\"` is compared with a number as the number 0, and `\"true\"` with a boolean as true; AetherFlow breaks the run off, or says that they differ."},
	CodeCompatScope:     {warning: true, means: "`flow.locks` has an effect here: runs of the flow, or of its jobs, exclude each other. AetherFlow reads it and does nothing."},
	CodeCompatLock:      {warning: true, means: "The key of a lock is known in the whole cluster, not in one state file, and its holder keeps it for as long as it lives; `ttl_seconds` says how long it outlives a holder that nobody hears of."},
	CodeCompatCommand:   {warning: true, means: "`command` is a text of several words, which is split as a shell does. AetherFlow takes it for the name of one program, which it does not find."},
	CodeCompatShell:     {warning: true, means: "`shell: true` gives the text to `sh -c` as it is. AetherFlow quotes each word, so that pipes and variables mean nothing."},
	CodeCompatCwd:       {warning: true, means: "Without `cwd` a program runs in the artifacts directory of its job. In AetherFlow it is the directory that the runner was started in."},
	CodeCompatEnv:       {warning: true, means: "A program gets the environment of the run without its secrets, and `PATH`, `HOME`, `LANG` and `TZ`. AetherFlow gives it all variables of the runner. Name a secret that it needs under `env`."},
	CodeCompatHostKey:   {warning: true, means: "An SFTP server must be known by `known_hosts` or `host_key`, unless the resource says `insecure_host_key: true`. AetherFlow accepts any."},
	CodeCompatExtract:   {warning: true, means: "`db_extract` quotes cells of TSV that hold a tab, a quote or a line break. AetherFlow writes them as they are."},
	CodeCompatListing:   {warning: true, means: "Listed files are files only. In AetherFlow directories are among them unless the listing is recursive, and count for `min_count`."},
	CodeCompatArchive:   {warning: true, means: "An archive that is not there is an error. AetherFlow leaves it out."},
	CodeCompatRoot:      {warning: true, means: "`flow.workspace.root` counts for `flow run --local` only: workers have a work directory of their own."},
	CodeCompatDecode:    {warning: true, means: "A path of `decode` that leads to nothing, or to no text, is an error, and so is a cluster that can't decode. AetherFlow uses the value as it is."},
	CodeCompatSheetRow:  {warning: true, means: "With `insert: below` and `style_mode: copy_row` the style of the row is read before rows are inserted. AetherFlow reads it afterwards, when the row has moved, and copies a blank style."},
	CodeCompatAfterFail: {warning: true, means: "After a job has failed, those below it are recorded as BLOCKED, `flow_failed`. AetherFlow has no record of them. What runs is the same."},
}

// compat tells what the flow does here that it does not do in AetherFlow.
func (c *checker) compat() {
	for _, u := range c.uses {
		if u.phase != atInput && u.phase != atOutput {
			continue
		}
		if root := u.path[0]; !u.alone && (root == "steps" || root == "jobs" && len(u.path) > 2 && u.path[2] == "outputs" || root == "job" && u.path[1] == "outputs" || root == "result") {
			c.at(CodeCompatText, u.value, u.loc, "%s: a value that is no text is written as JSON has it: true, null, [1,2]", shorten(u.token))
		}
		if before, closed := strings.CutSuffix(u.token, "}}"); closed && u.alone && u.hasDefault && strings.TrimRight(before, " \t") != before {
			c.at(CodeCompatDefault, u.value, u.loc, "%s: the blanks at the end of the default do not count", shorten(u.token))
		}
	}
	flow := c.root.Get("flow")
	if v := flow.Get("locks"); v.Given() && c.doc.Locks != nil && c.doc.Locks.Scope != "none" {
		c.at(CodeCompatScope, v, "flow.locks", "runs exclude each other by %s; write scope: none for what AetherFlow does", c.doc.Locks.Scope)
	}
	if v := flow.Get("workspace").Get("root"); v.Given() {
		c.at(CodeCompatRoot, v, "flow.workspace.root", "workers have a work directory of their own; it counts for flow run --local")
	}
	for _, res := range c.doc.Resources {
		c.compatResource(&res)
	}
	for i, j := range c.doc.Jobs {
		if !c.doc.Graph && i == 1 {
			c.at(CodeCompatAfterFail, c.root.Get("jobs"), "jobs", "what stands below a job that has failed is recorded as BLOCKED")
		}
		c.compatGate(j)
	}
	for _, j := range c.all() {
		for _, s := range j.Steps {
			c.compatStep(s)
		}
	}
}

func (c *checker) compatResource(res *Resource) {
	if res.Kind == "sftp" {
		known := false
		for _, part := range []string{"config", "options"} {
			for _, name := range []string{"known_hosts", "host_key", "insecure_host_key"} {
				known = known || res.value.Get(part).Get(name).Given()
			}
		}
		if !known {
			c.at(CodeCompatHostKey, res.value, res.loc, "needs known_hosts, host_key or insecure_host_key: true, here or in its profile")
		}
	}
	if d := res.value.Get("decode"); d.Given() {
		c.at(CodeCompatDecode, d, res.loc+".decode", "paths that lead to nothing are errors, and so is a cluster that can't decode")
	}
}

func (c *checker) compatGate(j *Job) {
	if j.When == nil || j.When.Empty() {
		return
	}
	v := j.value.Get("when")
	if !strings.ContainsAny(j.WhenText, "<>=") {
		c.at(CodeCompatTruth, v, j.loc+".when", `the text "false" means false here, and true in AetherFlow`)
		return
	}
	for _, ref := range j.When.Refs() {
		if ref.Field != "outputs" || c.byID[ref.Job] == nil {
			continue
		}
		for _, s := range c.byID[ref.Job].Steps {
			text, is := s.Outputs[ref.Path[0]].(string)
			if !is {
				continue
			}
			for _, token := range template.Tokens(text) {
				if strings.Contains(token.Token, ":") {
					c.at(CodeCompatTypes, v, j.loc+".when", "jobs.%s.outputs.%s may be the default of a template, which is a text: numbers and booleans in it are compared as such", ref.Job, ref.Path[0])
				}
			}
		}
	}
}

func (c *checker) compatStep(s *Step) {
	inputs, loc := s.value.Get("inputs"), s.loc+".inputs"
	tell := func(code Code, v treefile.Value, name, msg string) {
		if !v.Given() {
			v = s.value
		}
		c.at(code, v, join(loc, name), "%s", msg)
	}
	switch s.Type {
	case withLock:
		tell(CodeCompatLock, inputs.Get("lock_key"), "lock_key", "is known in the whole cluster, and its holder does not lose it while it lives")
		if s.Inner != nil {
			c.compatStep(s.Inner)
		}
	case forEach:
		if s.Each != nil {
			for _, one := range s.Each.Steps {
				c.compatStep(one)
			}
		}
	case process:
		c.compatProcess(inputs, tell)
	case "db_extract":
		tell(CodeCompatExtract, inputs.Get("format"), "format", "cells with tabs, quotes and line breaks are quoted")
	case "sftp_list_files", "smb_list_files":
		if !boolOf(inputs.Get("recursive")) {
			tell(CodeCompatListing, inputs.Get("recursive"), "recursive", "directories are not listed, and do not count")
		}
	case "unzip":
		tell(CodeCompatArchive, inputs.Get("archives"), "archives", "one that is not there is an error")
	case "excel_fill_small", "excel_fill_from_file":
		for _, target := range inputs.Get("targets").Items() {
			if textOf(target.Get("style_mode")) == "copy_row" && textOf(target.Get("insert")) == "below" {
				tell(CodeCompatSheetRow, target, "targets", "the style of the row is read before rows are inserted")
			}
		}
	}
}

func (c *checker) compatProcess(in treefile.Value, tell func(Code, treefile.Value, string, string)) {
	command, shell := in.Get("command"), in.Get("shell")
	switch {
	case boolOf(shell):
		tell(CodeCompatShell, shell, "shell", "the text goes to sh -c as it is")
	case command.Kind() == '"' && strings.ContainsAny(command.Text(), " \t\n'\"\\"):
		tell(CodeCompatCommand, command, "command", "is split into words as a shell does")
	}
	if !in.Get("cwd").Given() {
		tell(CodeCompatCwd, in.Get("cwd"), "cwd", "is left out: the program runs in the artifacts directory of its job")
	}
	if inherit := in.Get("inherit_env"); !inherit.Given() || boolOf(inherit) {
		tell(CodeCompatEnv, inherit, "inherit_env", "gives it the environment of the run without secrets, and PATH, HOME, LANG and TZ")
	}
}
