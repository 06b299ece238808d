package coordinator

import "github.com/taskgrove/taskgrove/internal/policy"

// Permission is the right to make some calls: "trees.read". Package policy has them all.
type Permission = policy.Permission

// about says what a call is about, so that the policy knows whose that is.
type about uint8

const (
	aboutTask    about = iota + 1 // what it names: a task, an API key, or a task of the A2A protocol; else the owner that it names
	aboutList                     // the same; of a list that names neither, what the caller may see
	aboutStore                    // the owner that it names; what is stored becomes the caller's
	aboutGrant                    // the owner that it names, and whether the caller may give what it asks for
	aboutHook                     // the task, tree, webhook or schedule that it names; else as aboutWhole
	aboutNothing                  // nothing that anybody owns
	aboutWhole                    // all of the namespace, or of the cluster
	aboutAnswer                   // the task that it names, whose approval is answered: see mayAnswer
	aboutSelf                     // the caller: who has said who it is may ask
	aboutOpen                     // nothing at all: processes ask for themselves
)

// method is what stands behind every call of a method of [Service].
type method struct {
	permission Permission
	about      about
	operation  string // what refusals call it (spec 5.6)
	changes    bool   // it may change something, so that the record has it
}

// methods are all methods of [Service].
var methods = map[string]method{
	"Submit":              {policy.TreesCreate, aboutStore, "create tasks for", true},
	"Add":                 {policy.TreesCreate, aboutTask, "create tasks for", true},
	"Generate":            {policy.TreesCreate, aboutStore, "generate tasks for", true},
	"Task":                {policy.TreesRead, aboutTask, "access", false},
	"Attempts":            {policy.TreesRead, aboutTask, "access", false},
	"Why":                 {policy.TreesRead, aboutTask, "access", false},
	"Tree":                {policy.TreesRead, aboutTask, "access", false},
	"Snapshot":            {policy.TreesRead, aboutTask, "access", false},
	"Watch":               {policy.TreesRead, aboutTask, "access", false},
	"Logs":                {policy.TreesRead, aboutTask, "access", false},
	"Artifacts":           {policy.TreesRead, aboutTask, "access", false},
	"OpenArtifact":        {policy.TreesRead, aboutTask, "access", false},
	"Tasks":               {policy.TreesRead, aboutList, "list tasks for", false},
	"Trees":               {policy.TreesRead, aboutList, "list tasks for", false},
	"Running":             {policy.TreesRead, aboutList, "count tasks for", false},
	"Usage":               {policy.TreesRead, aboutList, "access", false},
	"Resolve":             {policy.TreesRead, aboutList, "access", false},
	"Execute":             {policy.TreesExecute, aboutTask, "execute", true},
	"Cancel":              {policy.TreesCancel, aboutTask, "cancel task for", true},
	"Skip":                {policy.TreesCancel, aboutTask, "skip task for", true},
	"Signal":              {policy.TreesSignal, aboutTask, "send signals to tasks of", true},
	"Approve":             {policy.ApprovalsAnswer, aboutAnswer, "answer approvals of", true},
	"ApprovalLink":        {policy.ApprovalsAnswer, aboutAnswer, "answer approvals of", true},
	"LinkedApproval":      {"", aboutOpen, "", false},
	"ApproveByLink":       {"", aboutOpen, "", true},
	"Update":              {policy.TreesUpdate, aboutTask, "update", true},
	"Delete":              {policy.TreesDelete, aboutTask, "delete", true},
	"Copy":                {policy.TreesCopy, aboutTask, "copy", true},
	"Executors":           {policy.ExecutorsRead, aboutNothing, "access", false},
	"Executor":            {policy.ExecutorsRead, aboutNothing, "access", false},
	"Workers":             {policy.ClusterRead, aboutWhole, "manage workers", false},
	"Coordinators":        {policy.ClusterRead, aboutWhole, "manage coordinators", false},
	"Pools":               {policy.ClusterRead, aboutWhole, "manage pools", false},
	"SetPoolRule":         {policy.PoolsWrite, aboutWhole, "manage pools", true},
	"DeletePoolRule":      {policy.PoolsWrite, aboutWhole, "manage pools", true},
	"PoolRules":           {policy.ClusterRead, aboutWhole, "manage pools", false},
	"SetLimit":            {policy.LimitsWrite, aboutWhole, "limit", true},
	"Limits":              {policy.LimitsRead, aboutWhole, "see limits", false},
	"DeleteLimit":         {policy.LimitsWrite, aboutWhole, "limit", true},
	"Locks":               {policy.LimitsRead, aboutWhole, "see limits", false},
	"BreakLock":           {policy.LimitsWrite, aboutWhole, "limit", true},
	"SetWeight":           {policy.LimitsWrite, aboutWhole, "limit", true},
	"Pause":               {policy.TreesCancel, aboutHook, "pause", true},
	"Resume":              {policy.TreesCancel, aboutHook, "resume", true},
	"Pauses":              {policy.TreesRead, aboutList, "see pauses of", false},
	"NextInstants":        {policy.TreesRead, aboutNothing, "access", false},
	"CreateSchedule":      {policy.SchedulesWrite, aboutStore, "schedule trees for", true},
	"GetSchedule":         {policy.SchedulesRead, aboutHook, "see schedules of", false},
	"Schedules":           {policy.SchedulesRead, aboutList, "see schedules of", false},
	"UpdateSchedule":      {policy.SchedulesWrite, aboutHook, "change schedules of", true},
	"PauseSchedule":       {policy.SchedulesRun, aboutHook, "run schedules of", true},
	"ResumeSchedule":      {policy.SchedulesRun, aboutHook, "run schedules of", true},
	"TriggerSchedule":     {policy.SchedulesRun, aboutHook, "run schedules of", true},
	"BackfillSchedule":    {policy.SchedulesRun, aboutHook, "run schedules of", true},
	"DeleteSchedule":      {policy.SchedulesWrite, aboutHook, "change schedules of", true},
	"RenewScheduleSecret": {policy.SchedulesWrite, aboutHook, "change schedules of", true},
	"TakeEvent":           {"", aboutOpen, "", false}, // what is taken is a run; the record has nothing of strangers
	"ScheduleRuns":        {policy.SchedulesRead, aboutHook, "see schedules of", false},
	"ValidateFlow":        {policy.FlowsRead, aboutNothing, "access", false},
	"ApplyFlow":           {policy.FlowsWrite, aboutStore, "keep flows for", true},
	"Flow":                {policy.FlowsRead, aboutHook, "see flows of", false},
	"Flows":               {policy.FlowsRead, aboutList, "see flows of", false},
	"DeleteFlow":          {policy.FlowsWrite, aboutHook, "change flows of", true},
	"RunFlow":             {policy.TreesCreate, aboutStore, "run flows for", true},
	"FlowRun":             {policy.TreesRead, aboutTask, "access", false},
	"FlowRuns":            {policy.TreesRead, aboutList, "list runs for", false},
	"CancelFlowRun":       {policy.TreesCancel, aboutTask, "cancel runs for", true},
	"ResumeFlowRun":       {policy.TreesExecute, aboutTask, "execute", true},
	"RestartFlowRun":      {policy.TreesCreate, aboutTask, "run flows for", true},
	"ApplyProfiles":       {policy.FlowsWrite, aboutStore, "keep profiles for", true},
	"Profile":             {policy.FlowsRead, aboutHook, "see profiles of", false},
	"Profiles":            {policy.FlowsRead, aboutList, "see profiles of", false},
	"DeleteProfile":       {policy.FlowsWrite, aboutHook, "change profiles of", true},
	"ApplyBundle":         {policy.FlowsWrite, aboutStore, "keep bundles for", true},
	"PutBundleFile":       {policy.FlowsWrite, aboutStore, "keep bundles for", true},
	"Bundles":             {policy.FlowsRead, aboutList, "see bundles of", false},
	"DeleteBundle":        {policy.FlowsWrite, aboutHook, "change bundles of", true},
	"SealStatus":          {policy.SealingRead, aboutWhole, "see the sealing keys of", false},
	"RotateDataKeys":      {policy.SealingWrite, aboutWhole, "manage the sealing keys of", true},
	"RewrapDataKeys":      {policy.SealingWrite, aboutWhole, "manage the sealing keys of", true},
	"RotateTokens":        {policy.SealingWrite, aboutWhole, "manage the sealing keys of", true},
	"Demand":              {policy.PoolsRead, aboutWhole, "see the demand of pools", false},
	"WatchDemand":         {policy.PoolsRead, aboutWhole, "see the demand of pools", false},
	"Verify":              {policy.ClusterVerify, aboutWhole, "verify the cluster", false},
	"Diagnose":            {policy.ClusterDiagnose, aboutWhole, "diagnose the cluster", false},
	"Ready":               {"", aboutOpen, "", false},
	"Attach":              {policy.WebhooksWrite, aboutTask, "access", true},
	"CheckAttachment":     {policy.WebhooksRead, aboutNothing, "access", false},
	"ListWebhooks":        {policy.WebhooksRead, aboutHook, "manage webhooks of", false},
	"GetWebhook":          {policy.WebhooksRead, aboutHook, "manage webhooks of", false},
	"UpdateWebhook":       {policy.WebhooksWrite, aboutHook, "manage webhooks of", true},
	"DeleteWebhook":       {policy.WebhooksWrite, aboutHook, "manage webhooks of", true},
	"TestWebhook":         {policy.WebhooksWrite, aboutHook, "manage webhooks of", true},
	"Deliveries":          {policy.WebhooksRead, aboutHook, "manage webhooks of", false},
	"CreateWebhook":       {policy.WebhooksWrite, aboutWhole, "manage webhooks", true},
	"Resend":              {policy.WebhooksWrite, aboutWhole, "manage webhooks", true},
	"KeepAgentTask":       {policy.TreesCreate, aboutTask, "create tasks for", false},
	"DropAgentTask":       {policy.TreesCreate, aboutTask, "create tasks for", false},
	"AgentTask":           {policy.TreesRead, aboutTask, "access", false},
	"AgentTaskOf":         {policy.TreesRead, aboutTask, "access", false},
	"AgentTasks":          {policy.TreesRead, aboutList, "list tasks for", false},
	"SetModelKey":         {policy.ModelKeysWrite, aboutList, "set LLM key for", true},
	"ModelKeys":           {policy.ModelKeysRead, aboutList, "get LLM key for", false},
	"CreateAPIKey":        {policy.KeysWrite, aboutGrant, "create API keys for", true},
	"APIKeys":             {policy.KeysRead, aboutList, "list API keys of", false},
	"RevokeAPIKey":        {policy.KeysWrite, aboutTask, "revoke API keys of", true},
	"RotateAPIKey":        {policy.KeysWrite, aboutTask, "rotate API keys of", true},
	"Record":              {policy.RecordRead, aboutWhole, "read the audit record", false},
	"ReadRecord":          {policy.RecordRead, aboutWhole, "read the audit record", false},
	"VerifyRecord":        {policy.RecordVerify, aboutWhole, "verify the audit record", false},
	"GrantRole":           {policy.BindingsWrite, aboutWhole, "give roles", true},
	"RevokeRole":          {policy.BindingsWrite, aboutWhole, "take roles", true},
	"Bindings":            {policy.BindingsRead, aboutWhole, "see who holds which role", false},
	"WhoAmI":              {"", aboutSelf, "", false},
	"CanI":                {"", aboutSelf, "", false},
	"ListRoles":           {"", aboutSelf, "", false},
	"DeleteModelKey":      {policy.ModelKeysWrite, aboutList, "delete LLM key for", true},
	"GetNamespace":        {policy.NamespacesRead, aboutWhole, "see namespaces", false},
	"ListNamespaces":      {policy.NamespacesRead, aboutWhole, "see namespaces", false},
	"CreateNamespace":     {policy.NamespacesWrite, aboutWhole, "make namespaces", true},
	"UpdateNamespace":     {policy.NamespacesWrite, aboutWhole, "change namespaces", true},
	"DeleteNamespace":     {policy.NamespacesWrite, aboutWhole, "delete namespaces", true},
	"Hold":                {policy.HoldsWrite, aboutTask, "hold", true},
	"Release":             {policy.HoldsWrite, aboutTask, "release", true},
	"Holds":               {policy.HoldsRead, aboutList, "see holds of", false},
	"Erase":               {policy.ErasuresWrite, aboutWhole, "erase", true},
	"Erasure":             {policy.ErasuresRead, aboutWhole, "see erasures", false},
	"Erasures":            {policy.ErasuresRead, aboutWhole, "see erasures", false},
}

// MethodPermissions are the permissions that the methods of [Service] take. Those that take none have an empty one.
func MethodPermissions() map[string]Permission {
	all := make(map[string]Permission, len(methods))
	for name, m := range methods {
		all[name] = m.permission
	}
	return all
}
