package flows

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Code names what is wrong. Codes are stable: programs may rely on them.
type Code string

// The codes of faults.
const (
	CodeYAML            Code = "spec.yaml"
	CodeSchema          Code = "spec.schema"
	CodeMissing         Code = "spec.missing"
	CodeUnknownKey      Code = "spec.unknown_key"
	CodeVersion         Code = "spec.version"
	CodeBadID           Code = "spec.bad_id"
	CodeDuplicateJob    Code = "spec.duplicate_job_id"
	CodeDuplicateStep   Code = "spec.duplicate_step_id"
	CodeUnknownJob      Code = "spec.unknown_job"
	CodeOrder           Code = "spec.order"
	CodeCycle           Code = "spec.cycle"
	CodeDuplicateNeed   Code = "spec.duplicate_dependency"
	CodeUnknownType     Code = "spec.unknown_step_type"
	CodeMissingInput    Code = "spec.missing_input"
	CodeUnknownInput    Code = "spec.unknown_input"
	CodeInput           Code = "spec.invalid_input"
	CodeOldName         Code = "spec.old_name"
	CodeRetryTwice      Code = "spec.retry_twice"
	CodeUnknownResource Code = "spec.unknown_resource"
	CodeUnknownDriver   Code = "spec.unknown_driver"
	CodeUnknownProfile  Code = "spec.unknown_profile"
	CodeWrongResource   Code = "spec.wrong_resource"
	CodeArchiveDriver   Code = "spec.archive_driver"
	CodeNotStandalone   Code = "decode.not_standalone"
	CodeWhen            Code = "spec.invalid_when"
	CodeUnknownOutput   Code = "spec.unknown_output"
	CodeNoOutput        Code = "spec.job_output"
	CodeUnknownStep     Code = "spec.unknown_step"
	CodeUnknownParam    Code = "spec.unknown_parameter"
	CodeMissingEnv      Code = "spec.missing_env"
	CodeUnsetEnv        Code = "spec.unset_env"
	CodeLockKey         Code = "spec.lock_protects_nothing"
	CodeReportGuard     Code = "spec.report_guard"
	CodeProcessType     Code = "spec.process_command"
	CodeProcessLog      Code = "spec.process_log"
	CodeProcessLogFile  Code = "spec.process_log_file"
	CodeProcessDir      Code = "spec.process_atomic_dir"
	CodeIgnored         Code = "spec.ignored_field"
	CodeYesNo           Code = "spec.yaml_boolean"
	CodeNotYet          Code = "spec.not_supported"
	CodeTooLarge        Code = "spec.too_large"
	CodeSecretLiteral   Code = "secret.literal"
	CodeSecretValue     Code = "secret.inline_value"
	CodeSecretStored    Code = "template.secret_in_output"
	CodeSecretInText    Code = "template.secret_in_text"
	CodeSyntax          Code = "template.syntax"
	CodeForbidden       Code = "template.forbidden_sequence"
	CodeUnknownRoot     Code = "template.unknown_root"
	CodeNotHere         Code = "template.not_allowed_here"
	CodeDefaultBlank    Code = "template.default_blank"
	CodeTemplateLarge   Code = "template.too_large"
	CodeRun             Code = "spec.run"
	CodeParameter       Code = "spec.parameter"
	CodeTree            Code = "spec.tree"

	// Of manifests of bundles.
	CodeBundlePath Code = "spec.bundle_path"
	CodeBundleFile Code = "spec.bundle_file"
	CodePlugin     Code = "spec.plugin"

	// Of scheduler files.
	CodeDuplicateSchedule Code = "spec.duplicate_schedule_id"
	CodeCron              Code = "spec.cron"
	CodeCronNever         Code = "spec.cron_never"
	CodeWeekday           Code = "spec.cron_weekday"
	CodeDays              Code = "spec.cron_days"
	CodeZone              Code = "spec.default_timezone"
	CodeZoneUnknown       Code = "spec.timezone"
	CodeInstances         Code = "spec.max_instances"
	CodeFlowFile          Code = "spec.flow_file"
	CodeFlowTwice         Code = "spec.flow_twice"
	CodeRefusedSchedule   Code = "spec.refused_schedule"
	CodeBundleFetch       Code = "spec.bundle_fetch"
)

// about says what a code means.
type about struct {
	alias   string // what AetherFlow calls it
	warning bool
	means   string // a sentence or two, in Markdown
}

// codes are all codes: docs/flows/errors.md is made of this table.
var codes = func() map[Code]about {
	all := maps.Clone(ownCodes)
	maps.Copy(all, compatCodes)
	return all
}()

var ownCodes = map[Code]about{
	CodeYAML:            {means: "The text is no YAML 1.2, or has what a flow must not have: a tag, a key that is there twice, a second document, aliases that stand for over 1 MiB."},
	CodeSchema:          {alias: "schema:<type>", means: "A value is of another type than its key wants, or out of its bounds. Texts are strict: `id: 5` is a number, `id: \"5\"` a text."},
	CodeMissing:         {alias: "schema:missing", means: "A key that must be there is not."},
	CodeUnknownKey:      {alias: "schema:extra_forbidden", means: "A key has no meaning where it stands. The message has the nearest one that has."},
	CodeVersion:         {means: "`version` is another one than 1."},
	CodeBadID:           {means: "An id can't be one: it is letters, digits, `.`, `_` and `-`, 64 characters at most, and neither `.` nor `..`. Names of the environment, of parameters and of outputs are letters, digits and `_`, with no digit first."},
	CodeDuplicateJob:    {alias: "semantic:duplicate_job_id", means: "Two jobs have the same id."},
	CodeDuplicateStep:   {alias: "semantic:duplicate_step_id", means: "Two steps of a job have the same id."},
	CodeUnknownJob:      {alias: "semantic:depends_on_unknown_job", means: "`depends_on`, `when` or a template names a job that the flow does not have."},
	CodeOrder:           {alias: "semantic:depends_on_order", means: "A job needs, or names, one that stands below it in the list. With `flow.execution: graph` the order of the list does not matter."},
	CodeCycle:           {means: "Jobs wait for each other, or one waits for itself."},
	CodeDuplicateNeed:   {means: "`depends_on` names a job twice."},
	CodeUnknownType:     {alias: "semantic:unknown_step_type", means: "There is no executor of this id. The message has the nearest one."},
	CodeMissingInput:    {means: "An input that the step's executor must have is not there. Of the command of `external.process` the alias is `semantic:external_process_missing_command`."},
	CodeUnknownInput:    {warning: true, means: "The step's executor does not know this input, which has no effect."},
	CodeInput:           {means: "An input is not what the step's executor takes: of another type, out of its bounds, or none of its words. What a template stands for is judged when the step runs."},
	CodeOldName:         {warning: true, means: "An input is called as only the handbook of AetherFlow calls it. It counts; the message has the name to write."},
	CodeRetryTwice:      {means: "`retry` stands at a step of `external.process` and in its inputs. Write it once."},
	CodeUnknownResource: {means: "A step names a resource that the flow does not declare."},
	CodeUnknownDriver:   {means: "There is no connector of this kind and driver."},
	CodeUnknownProfile:  {means: "A resource names a profile that there is not, or a profile can't be one. Profiles come from `--profiles-file`, from a bundle, or are registered (`taskgrove profile apply`), which only the cluster knows."},
	CodeWrongResource:   {means: "A step names a resource that its executor can't reach, or says itself what the resource says: where to go, and as whom."},
	CodeArchiveDriver:   {alias: "semantic:enterprise_archive_driver", means: "In the mode `enterprise` an archive's driver is not among `zip_drivers`, or a step that packs or unpacks names no resource."},
	CodeNotStandalone:   {alias: "template:syntax", means: "A value that is to be decoded mixes a token with other text."},
	CodeWhen:            {alias: "semantic:invalid_when", means: "`when` is no expression of [the gate grammar](gating.md)."},
	CodeNoOutput:        {means: "With `--no-deps`, a template names an output of a job that does not run, and has no default: give it with `--job-output JOB.KEY=VALUE`. Or such an output can't be given so."},
	CodeUnknownOutput:   {means: "`when` or a template names an output that no step of the job promotes."},
	CodeUnknownStep:     {means: "A template names a step that is not an earlier one of the same job."},
	CodeUnknownParam:    {means: "A template names a parameter that the flow does not declare."},
	CodeMissingEnv:      {alias: "semantic:missing_env", means: "A name of the environment has no value, is used without a default, and `--strict-env` is on. The empty text counts as no value."},
	CodeUnsetEnv:        {alias: "semantic:missing_env", warning: true, means: "As `spec.missing_env`, without `--strict-env`: a step that needs the value will fail with `template.missing_key`."},
	CodeReportGuard:     {warning: true, means: "Of `flow doctor`: a region of an Excel report counts on the default bound of its rows, or has none, so that it may grow over what is below it."},
	CodeLockKey:         {warning: true, means: "The key of a lock contains the id of the run, so that no two runs ever ask for the same one."},
	CodeProcessType:     {alias: "semantic:external_process_command_type", means: "`command` of `external.process` is neither a text nor a list of texts."},
	CodeProcessLog:      {alias: "semantic:external_process_log_mode", means: "`log.stdout` or `log.stderr` is none of `inherit`, `capture`, `file` and `discard`."},
	CodeProcessLogFile:  {alias: "semantic:external_process_log_file", means: "A log goes to a file, and `log.file_path` is missing."},
	CodeProcessDir:      {alias: "semantic:external_process_atomic_dir", means: "`idempotency.strategy: atomic_dir` lacks `temp_output_dir` or `final_output_dir`."},
	CodeIgnored:         {warning: true, means: "A key that is taken, as AetherFlow has it, and has no effect: the state of runs is in Postgres, locks have the leases of workers, and workers keep connections by themselves."},
	CodeYesNo:           {warning: true, means: "`yes`, `no`, `on` and `off` are texts where no boolean is expected. Write `true` or `false`, or quote the text."},
	CodeNotYet:          {means: "The flow asks for what can't be run here. The message says what to write instead, if there is something."},
	CodeTooLarge:        {means: "The flow has more jobs or steps, or its file more bytes, than one may have; or a profile has, that is to be registered."},
	CodeSecretLiteral:   {means: "A secret stands in the flow in clear: a password, a token or a key in a resource, or a password in a URL. Name it by `{{env.NAME}}`."},
	CodeSecretValue:     {means: "A value was given for a name that is a secret's. Workers read secrets themselves; see `flow.secrets` and `flow.public_env`."},
	CodeSecretStored:    {means: "A secret is named in `flow`, in `outputs` or in the key of a lock, which are stored."},
	CodeSecretInText:    {means: "A secret is a part of a text. It can only be the whole of an input: `password: \"{{env.DB_PASSWORD}}\"`."},
	CodeSyntax:          {alias: "template:syntax", means: "A text has braces that are no token of [the grammar](templating.md)."},
	CodeForbidden:       {alias: "template:syntax", means: "A text has a sequence of shells or of other templates: `$` before `{`, `{%`, `{#`, `{}`."},
	CodeUnknownRoot:     {alias: "template:unknown_root", means: "A token begins with a root that is not known where it stands."},
	CodeNotHere:         {means: "A token stands where there are no templates: in a key, an id, a type, `when`, `depends_on` and so on."},
	CodeDefaultBlank:    {warning: true, means: "The default of a token begins with a blank, which is part of it."},
	CodeTemplateLarge:   {means: "A text with tokens, or a document of them, is larger than templates may be."},
	CodeRun:             {means: "The id of the run, or that of the flow once it is rendered, can't be one."},
	CodeParameter:       {means: "A parameter can't be declared so, lacks a value that it must have, or is given one that it can't have."},
	CodeTree:            {means: "The tree that the flow compiles to breaks a rule of trees. The message is that of [trees](../tree.md)."},

	CodeBundlePath: {means: "A path in a bundle is absolute, leads out of it, or is none."},
	CodeBundleFile: {means: "A file that a manifest names is not in the bundle, or can't be read."},
	CodePlugin:     {means: "The description of a plugin of the bundle can't be used, or the plugin is called as an executor is that there is already."},

	CodeDuplicateSchedule: {means: "Two items of a scheduler file have the same id."},
	CodeCron:              {means: "`cron` has not five fields that are read as such."},
	CodeCronNever:         {means: "No day of any year fits the five fields."},
	CodeWeekday:           {warning: true, means: "`cron` numbers weekdays. They are those of crontabs here, where 0 and 7 are Sunday; AetherFlow counts from Monday. `cron_weekday: monday0` keeps its meaning."},
	CodeDays:              {warning: true, means: "`cron` names days of the month and of the week. A day counts that either names, as in crontabs; in AetherFlow both must fit."},
	CodeZone:              {warning: true, means: "A scheduler file names no zone, so that it is that of AetherFlow, Europe/Berlin."},
	CodeZoneUnknown:       {means: "There is no such time zone."},
	CodeFlowFile:          {means: "A flow that an item of a scheduler file names can't be read."},
	CodeFlowTwice:         {means: "Two files that a scheduler file names have the same `flow.id`, and say different things."},
	CodeRefusedSchedule:   {means: "The cluster does not take an item of a scheduler file as [a schedule](../schedules.md). The message says why."},
	CodeBundleFetch:       {means: "The bundle that an item of a scheduler file names can't be fetched, or only as it was fetched last, which the item does not allow; or two manifests of the file have the same `bundle.id`."},
	CodeInstances:         {warning: true, means: "`max_instances` is over 1, which means any number here."},
}

// ErrorsPage is the text of docs/flows/errors.md.
func ErrorsPage() string {
	var b strings.Builder
	b.WriteString("<!-- Generated from the table of codes in package flows by \"go generate ./flows\". Do not edit. -->\n\n# What can be wrong with a flow\n\n" +
		"`taskgrove flow validate` tells all that is wrong with a flow at once: each fault with its code, the path of the value, its line and column, and a message. The codes\n" +
		"are stable, the messages are not. `alias` is what AetherFlow calls the same thing, as far as it sees it.\n")
	for _, part := range []struct {
		title   string
		codes   map[Code]about
		warning bool
	}{{"Errors", ownCodes, false}, {"Warnings", ownCodes, true}, {"Warnings of --compat", compatCodes, true}} {
		fmt.Fprintf(&b, "\n## %s\n\n| code | alias | what it means |\n|---|---|---|\n", part.title)
		for _, code := range slices.Sorted(maps.Keys(part.codes)) {
			if c := part.codes[code]; c.warning == part.warning {
				alias := ""
				if c.alias != "" {
					alias = "`" + c.alias + "`"
				}
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", code, alias, c.means)
			}
		}
	}
	return b.String()
}
