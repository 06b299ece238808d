package hostile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/taskgrove/taskgrove/api/jsonrpc"
	"github.com/taskgrove/taskgrove/internal/policy"
)

// row is an operation by its request. ID in it stands for what it names.
type row struct {
	name, body string
	op         operation
}

func on(method string, kind about) operation { return operation{method: method, about: kind} }

func ending(method string, kind about) operation {
	return operation{method: method, about: kind, fresh: true}
}

// blindly is an operation whose answer doesn't say what it found.
func blindly(method string, kind about) operation {
	return operation{method: method, about: kind, blind: true}
}

func with(op operation, parts ...policy.Permission) operation {
	op.also = parts
	return op
}

// taking is an operation that takes another permission than its method does, for what it is about.
func taking(op operation, takes policy.Permission) operation {
	op.takes = takes
	return op
}

const oneTask = `[{"name":"n","schemas":{"method":"noop_executor"}}]`

// rpcRows are the methods of JSON-RPC.
var rpcRows = []row{
	{"tasks.create", oneTask, on("Submit", aboutOwn)},
	{"tasks.create for a user", `[{"name":"n","user_id":"ID","schemas":{"method":"noop_executor"}}]`, on("Submit", aboutUser)},
	{"tasks.create below", `{"name":"n","parent_id":"ID","schemas":{"method":"noop_executor"}}`, blindly("Add", aboutTree)},
	{"tasks.execute", `{"task_id":"ID"}`, on("Execute", aboutTree)},
	{"tasks.execute streaming", `{"task_id":"ID","use_streaming":true}`, on("Execute", aboutTree)},
	{"tasks.execute with a webhook", `{"task_id":"ID","webhook_config":{"url":"http://127.0.0.1:1/"}}`, with(on("Execute", aboutTree), policy.WebhooksWrite)},
	{"tasks.execute of tasks", `{"tasks":` + oneTask + `}`, on("Submit", aboutOwn)},
	{"tasks.execute of tasks with a webhook", `{"tasks":` + oneTask + `,"webhook_config":{"url":"http://127.0.0.1:1/"}}`, with(on("Submit", aboutOwn), policy.WebhooksWrite)},
	{"tasks.generate", `{"requirement":"x","temperature":9}`, blindly("Generate", aboutOwn)},
	{"tasks.generate for a user", `{"requirement":"x","temperature":9,"user_id":"ID"}`, blindly("Generate", aboutUser)},
	{"tasks.get", `{"task_id":"ID"}`, on("Task", aboutTree)},
	{"tasks.detail", `{"task_id":"ID"}`, on("Task", aboutTree)},
	{"tasks.tree", `{"task_id":"ID"}`, on("Task", aboutTree)},
	{"tasks.children", `{"parent_id":"ID"}`, on("Tasks", aboutTree)},
	{"tasks.list", `{"limit":1000}`, on("Tasks", aboutList)},
	{"tasks.list of a user", `{"user_id":"ID"}`, on("Tasks", aboutUser)},
	{"tasks.list of a tree", `{"root_id":"ID"}`, blindly("Tasks", aboutTree)},
	{"tasks.list of copies", `{"original_task_id":"ID"}`, blindly("Tasks", aboutList)},
	{"tasks.update", `{"task_id":"ID","priority":1}`, on("Update", aboutTree)},
	{"tasks.delete", `{"task_id":"ID"}`, on("Delete", aboutTree)},
	{"tasks.copy", `{"task_id":"ID","save":false}`, on("Copy", aboutTree)},
	{"tasks.cancel", `{"task_id":"ID"}`, on("Cancel", aboutTree)},
	{"tasks.skip", `{"task_id":"ID"}`, on("Skip", aboutTree)},
	{"tasks.running.cancel", `{"task_ids":["ID"]}`, on("Cancel", aboutTree)},
	{"tasks.running.list", `{"limit":1000}`, blindly("Trees", aboutList)},
	{"tasks.running.status", `{"task_ids":["ID"]}`, on("Task", aboutTree)},
	{"tasks.running.count", `{}`, blindly("Running", aboutList)},
	{"tasks.running.count of a user", `{"user_id":"ID"}`, on("Running", aboutUser)},
	{"tasks.resolve", `{"ref":"of-"}`, blindly("Resolve", aboutList)},
	{"tasks.why", `{"task_id":"ID"}`, on("Why", aboutTree)},
	{"tasks.signal", `{"task_id":"ID","name":"go"}`, blindly("Signal", aboutTree)},
	{"tasks.approve", `{"task_id":"ID","choice":"approve"}`, blindly("Approve", aboutTree)},
	{"tasks.approval.link", `{"task_id":"ID","name":"ops"}`, blindly("ApprovalLink", aboutTree)},
	{"artifacts.list", `{"task_id":"ID"}`, on("Artifacts", aboutTree)},
	{"artifacts.get", `{"task_id":"ID","name":"none"}`, blindly("OpenArtifact", aboutTree)},
}

// systemRows are those of /system.
var systemRows = []row{
	{"config.llm_key.set", `{"user_id":"ID","api_key":"k","provider":"x"}`, on("SetModelKey", aboutUser)},
	{"config.llm_key.get", `{"user_id":"ID"}`, on("ModelKeys", aboutUser)},
	{"config.llm_key.delete", `{"user_id":"ID","provider":"y"}`, on("DeleteModelKey", aboutUser)},
	{"executors.list", `{}`, on("Executors", aboutAny)},
	{"executors.get", `{"executor_id":"noop_executor"}`, on("Executor", aboutAny)},
	{"usage.list", `{}`, blindly("Usage", aboutList)},
	{"usage.list of a tree", `{"tree_id":"ID"}`, blindly("Usage", aboutTree)},
	{"usage.list of a user", `{"user_id":"ID"}`, blindly("Usage", aboutUser)},
	{"limits.set", `{"key":"of nobody","max":1}`, on("SetLimit", aboutWhole)},
	{"limits.list", `{}`, on("Limits", aboutWhole)},
	{"limits.delete", `{"key":"of no task"}`, blindly("DeleteLimit", aboutWhole)},
	{"locks.list", `{}`, on("Locks", aboutWhole)},
	{"locks.break", `{"key":"nobodys","token":1}`, blindly("BreakLock", aboutWhole)},
	{"locks.break of nobody", `{"key":"nobodys"}`, blindly("BreakLock", aboutWhole)},
	{"limits.weight", `{"user_id":"nobody","weight":1}`, on("SetWeight", aboutWhole)},
	{"pauses.set", `{"tree_id":"ID"}`, on("Pause", aboutTree)},
	{"pauses.list", `{}`, blindly("Pauses", aboutList)},
	{"pauses.delete", `{"tree_id":"ID"}`, blindly("Resume", aboutTree)},
	{"schedules.next", `{"cron":"@daily"}`, on("NextInstants", aboutAny)},
	{"schedules.create", `{"id":"","cron":"@yearly","tree":` + oneTask + `}`, blindly("CreateSchedule", aboutOwn)},
	{"schedules.create for a user", `{"id":"","user_id":"ID","cron":"@yearly","tree":` + oneTask + `}`, blindly("CreateSchedule", aboutUser)},
	{"schedules.get", `{"id":"ID"}`, on("GetSchedule", aboutSchedule)},
	{"schedules.list", `{}`, blindly("Schedules", aboutList)},
	{"schedules.list of a user", `{"user_id":"ID"}`, on("Schedules", aboutUser)},
	{"schedules.update", `{"id":"ID","cron":"@yearly","tree":` + oneTask + `}`, on("UpdateSchedule", aboutSchedule)},
	{"schedules.pause", `{"id":"ID"}`, on("PauseSchedule", aboutSchedule)},
	{"schedules.resume", `{"id":"ID"}`, on("ResumeSchedule", aboutSchedule)},
	{"schedules.trigger", `{"id":"ID"}`, on("TriggerSchedule", aboutSchedule)},
	{"schedules.backfill", `{"id":"ID","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}`, on("BackfillSchedule", aboutSchedule)},
	{"schedules.runs", `{"id":"ID"}`, on("ScheduleRuns", aboutSchedule)},
	{"schedules.secret", `{"id":"ID"}`, on("RenewScheduleSecret", aboutSchedule)},
	{"schedules.delete", `{"id":"ID"}`, ending("DeleteSchedule", aboutSchedule)},
	{"flows.apply", `{"text":"flow: {}"}`, blindly("ApplyFlow", aboutOwn)},
	{"flows.get", `{"id":"ID"}`, on("Flow", aboutFlow)},
	{"flows.validate", `{"text":"flow: {}"}`, on("ValidateFlow", aboutAny)},
	{"flows.list", `{}`, blindly("Flows", aboutList)},
	{"flows.list of a user", `{"user_id":"ID"}`, on("Flows", aboutUser)},
	{"flows.run", `{"text":"flow: {}"}`, blindly("RunFlow", aboutOwn)},
	{"flows.run for a user", `{"user_id":"ID","text":"flow: {}"}`, blindly("RunFlow", aboutUser)},
	{"flows.delete", `{"id":"ID"}`, ending("DeleteFlow", aboutFlow)},
	{"bundles.apply", `{"id":"/"}`, blindly("ApplyBundle", aboutOwn)},
	{"bundles.put_file", `{"data":"e30="}`, blindly("PutBundleFile", aboutOwn)},
	{"bundles.list", `{}`, blindly("Bundles", aboutList)},
	{"bundles.list of a user", `{"user_id":"ID"}`, on("Bundles", aboutUser)},
	{"bundles.delete", `{"id":"ID"}`, ending("DeleteBundle", aboutBundle)},
	{"profiles.apply", `{"text":"{}"}`, blindly("ApplyProfiles", aboutOwn)},
	{"profiles.apply for a user", `{"text":"{}","user_id":"ID"}`, blindly("ApplyProfiles", aboutUser)},
	{"profiles.get", `{"name":"ID"}`, on("Profile", aboutProfile)},
	{"profiles.get of a version that is none", `{"name":"ID","version":2147483647}`, blindly("Profile", aboutProfile)},
	{"profiles.list", `{}`, blindly("Profiles", aboutList)},
	{"profiles.list of a user", `{"user_id":"ID"}`, on("Profiles", aboutUser)},
	{"profiles.delete", `{"name":"ID"}`, ending("DeleteProfile", aboutProfile)},
	{"runs.get", `{"run":"ID"}`, on("FlowRun", aboutRun)},
	{"runs.list", `{}`, blindly("FlowRuns", aboutList)},
	{"runs.list of a user", `{"user_id":"ID"}`, on("FlowRuns", aboutUser)},
	{"runs.resume", `{"run":"ID"}`, on("ResumeFlowRun", aboutRun)},
	{"runs.restart", `{"run":"ID"}`, on("RestartFlowRun", aboutRun)},
	{"runs.cancel", `{"run":"ID"}`, on("CancelFlowRun", aboutRun)},
	{"holds.set", `{"tree_id":"ID","reason":"case 7"}`, on("Hold", aboutTree)},
	{"holds.list", `{}`, blindly("Holds", aboutList)},
	{"holds.delete", `{"tree_id":"ID"}`, blindly("Release", aboutTree)},
	{"erasures.start", `{"user_id":"of-nobody","preview":true}`, on("Erase", aboutWhole)},
	{"erasures.get", `{"erasure_id":"of-nobody"}`, blindly("Erasure", aboutWhole)},
	{"erasures.list", `{}`, on("Erasures", aboutWhole)},
	{"webhooks.create", `{"url":"http://127.0.0.1:1/","events":["tree_failed"],"tree":"of nobody"}`, on("CreateWebhook", aboutWhole)},
	{"webhooks.list", `{}`, operation{method: "ListWebhooks", about: aboutWhole, whole: true, blind: true}},
	{"webhooks.list of a tree", `{"task_id":"ID"}`, on("ListWebhooks", aboutTree)},
	{"webhooks.get", `{"webhook_id":"ID"}`, on("GetWebhook", aboutHook)},
	{"webhooks.update", `{"webhook_id":"ID","enabled":true}`, blindly("UpdateWebhook", aboutHook)},
	{"webhooks.delete", `{"webhook_id":"ID"}`, ending("DeleteWebhook", aboutHook)},
	{"webhooks.test", `{"webhook_id":"ID"}`, blindly("TestWebhook", aboutHook)},
	{"webhooks.deliveries", `{"webhook_id":"ID"}`, on("Deliveries", aboutHook)},
	{"webhooks.resend", `{"delivery_id":"999999"}`, blindly("Resend", aboutWhole)},
}

// callRows are the calls of gRPC and Connect.
var callRows = []row{
	{"Taskgrove/Submit", `{"tasks":[{"name":"n","executor":"noop_executor"}],"options":{"hold":true}}`, on("Submit", aboutOwn)},
	{"Taskgrove/SubmitTree", `{"tasks":[{"name":"n","executor":"noop_executor"}],"options":{"hold":true}}`, on("Submit", aboutOwn)},
	{"Taskgrove/SubmitTree for a user", `{"tasks":[{"name":"n","executor":"noop_executor"}],"options":{"hold":true,"userId":"ID"}}`, on("Submit", aboutUser)},
	{"Taskgrove/SubmitTrees", `{"trees":[{"tasks":[{"name":"n","executor":"noop_executor"}]},{"document":{"name":"m"}}],"options":{"hold":true}}`, on("Submit", aboutOwn)},
	{"Taskgrove/SubmitTrees for a user", `{"trees":[{"tasks":[{"name":"n","executor":"noop_executor"}]},{"document":{"name":"m"}}],"options":{"hold":true,"userId":"ID"}}`, on("Submit", aboutUser)},
	{"Taskgrove/AddTasks", `{"parentId":"ID","tasks":[{"name":"n","executor":"noop_executor"}]}`, blindly("Add", aboutTree)},
	{"Taskgrove/UpdateTask", `{"id":"ID","priority":1}`, on("Update", aboutTree)},
	{"Taskgrove/DeleteTask", `{"id":"ID"}`, on("Delete", aboutTree)},
	{"Taskgrove/CopyTask", `{"taskId":"ID","preview":true}`, on("Copy", aboutTree)},
	{"Taskgrove/CopyTask to start", `{"taskId":"ID","execute":{}}`, with(on("Copy", aboutTree), policy.TreesExecute)},
	{"Taskgrove/Generate", `{"requirement":"x","temperature":9}`, blindly("Generate", aboutOwn)},
	{"Taskgrove/Execute", `{"taskId":"ID"}`, on("Execute", aboutTree)},
	{"Taskgrove/GetTask", `{"id":"ID"}`, on("Task", aboutTree)},
	{"Taskgrove/GetTree", `{"id":"ID"}`, on("Tree", aboutTree)},
	{"Taskgrove/ListTasks", `{"limit":1000}`, on("Tasks", aboutList)},
	{"Taskgrove/ListTasks of a tree", `{"treeId":"ID"}`, on("Tasks", aboutTree)},
	{"Taskgrove/ListTasks of a parent", `{"parentId":"ID"}`, on("Tasks", aboutTree)},
	{"Taskgrove/ListTrees", `{"limit":1000}`, on("Trees", aboutList)},
	{"Taskgrove/ListTrees of a user", `{"userId":"ID"}`, on("Trees", aboutUser)},
	{"Taskgrove/Resolve", `{"ref":"of-"}`, blindly("Resolve", aboutList)},
	{"Taskgrove/ListAttempts", `{"taskId":"ID"}`, on("Attempts", aboutTree)},
	{"Taskgrove/Watch", `{"id":"ID"}`, on("Watch", aboutTree)},
	{"Taskgrove/SnapshotTree", `{"id":"ID"}`, on("Snapshot", aboutTree)},
	{"Taskgrove/SkipTask", `{"taskId":"ID"}`, on("Skip", aboutTree)},
	{"Taskgrove/Cancel", `{"id":"ID"}`, on("Cancel", aboutTree)},
	{"Taskgrove/Signal", `{"taskId":"ID","name":"go"}`, blindly("Signal", aboutTree)},
	{"Taskgrove/Approve", `{"taskId":"ID","choice":"approve"}`, blindly("Approve", aboutTree)},
	{"Taskgrove/LinkApproval", `{"taskId":"ID","name":"ops"}`, blindly("ApprovalLink", aboutTree)},
	{"Taskgrove/Logs", `{"taskId":"ID"}`, on("Logs", aboutTree)},
	{"Taskgrove/ListArtifacts", `{"taskId":"ID"}`, on("Artifacts", aboutTree)},
	{"Taskgrove/GetArtifact", `{"taskId":"ID","name":"none"}`, blindly("OpenArtifact", aboutTree)},
	{"Taskgrove/ListWorkers", `{}`, on("Workers", aboutWhole)},
	{"Taskgrove/ListCoordinators", `{}`, on("Coordinators", aboutWhole)},
	{"Taskgrove/ListPools", `{}`, on("Pools", aboutWhole)},
	{"Taskgrove/ListExecutors", `{}`, on("Executors", aboutAny)},
	{"Taskgrove/GetExecutor", `{"id":"noop_executor"}`, on("Executor", aboutAny)},
	{"Taskgrove/ListUsage", `{}`, blindly("Usage", aboutList)},
	{"Taskgrove/ListUsage of a tree", `{"treeId":"ID"}`, blindly("Usage", aboutTree)},
	{"Taskgrove/Why", `{"taskId":"ID"}`, on("Why", aboutTree)},
	{"Taskgrove/Verify", `{"treeId":"of-amy-in-default"}`, blindly("Verify", aboutWhole)},
	{"Taskgrove/CreateWebhook", `{"webhook":{"url":"http://127.0.0.1:1/"},"events":["tree_failed"],"tree":"of nobody"}`, on("CreateWebhook", aboutWhole)},
	{"Taskgrove/ListWebhooks", `{"taskId":"ID"}`, on("ListWebhooks", aboutTree)},
	{"Taskgrove/GetWebhook", `{"id":"ID"}`, on("GetWebhook", aboutHook)},
	{"Taskgrove/UpdateWebhook", `{"id":"ID","enabled":true}`, blindly("UpdateWebhook", aboutHook)},
	{"Taskgrove/DeleteWebhook", `{"id":"ID"}`, ending("DeleteWebhook", aboutHook)},
	{"Taskgrove/TestWebhook", `{"id":"ID"}`, blindly("TestWebhook", aboutHook)},
	{"Taskgrove/ListDeliveries", `{"webhookId":"ID"}`, on("Deliveries", aboutHook)},
	{"Taskgrove/ResendDelivery", `{"deliveryId":"999999"}`, blindly("Resend", aboutWhole)},
	{"KeyService/CreateAPIKey", `{"name":"k","expires":"60s"}`, on("CreateAPIKey", aboutOwn)},
	{"KeyService/CreateAPIKey for a user", `{"name":"k","expires":"60s","userId":"ID"}`, on("CreateAPIKey", aboutUser)},
	{"KeyService/ListAPIKeys", `{}`, blindly("APIKeys", aboutList)},
	{"KeyService/ListAPIKeys of a user", `{"userId":"ID"}`, on("APIKeys", aboutUser)},
	{"KeyService/RotateAPIKey", `{"id":"ID"}`, ending("RotateAPIKey", aboutKey)},
	{"KeyService/RevokeAPIKey", `{"id":"ID"}`, ending("RevokeAPIKey", aboutKey)},
	{"PoolService/SetPoolRule", `{"rule":{"pool":"of-no-worker","namespaces":["team-b"]}}`, blindly("SetPoolRule", aboutWhole)},
	{"PoolService/ListPoolRules", `{}`, on("PoolRules", aboutWhole)},
	{"PoolService/DeletePoolRule", `{"pool":"of-no-worker"}`, blindly("DeletePoolRule", aboutWhole)},
	{"LimitService/SetLimit", `{"target":{"key":"of nobody"},"max":1}`, on("SetLimit", aboutWhole)},
	{"LimitService/SetLimit of a pool", `{"target":{"pool":"of-no-worker"},"max":1}`, taking(on("SetLimit", aboutWhole), policy.PoolsWrite)},
	{"LimitService/Resume of a pool", `{"target":{"pool":"of-no-worker"}}`, taking(blindly("Resume", aboutWhole), policy.PoolsWrite)},
	{"LimitService/ListLimits", `{}`, on("Limits", aboutWhole)},
	{"LimitService/DeleteLimit", `{"target":{"key":"of no task"}}`, blindly("DeleteLimit", aboutWhole)},
	{"LimitService/ListLocks", `{}`, on("Locks", aboutWhole)},
	{"LimitService/BreakLock", `{"key":"nobodys","holder":"of-nobody"}`, blindly("BreakLock", aboutWhole)},
	{"LimitService/SetWeight", `{"userId":"nobody","weight":1}`, on("SetWeight", aboutWhole)},
	{"LimitService/Pause", `{"target":{"treeId":"ID"}}`, on("Pause", aboutTree)},
	{"LimitService/ListPauses", `{}`, blindly("Pauses", aboutList)},
	{"ScheduleService/NextInstants", `{"cron":"@daily"}`, on("NextInstants", aboutAny)},
	{"ScheduleService/CreateSchedule", `{"schedule":{"cron":"@yearly"}}`, blindly("CreateSchedule", aboutOwn)},
	{"ScheduleService/CreateSchedule for a user", `{"schedule":{"userId":"ID","cron":"@yearly"}}`, blindly("CreateSchedule", aboutUser)},
	{"ScheduleService/GetSchedule", `{"id":"ID"}`, on("GetSchedule", aboutSchedule)},
	{"ScheduleService/ListSchedules", `{}`, blindly("Schedules", aboutList)},
	{"ScheduleService/ListSchedules of a user", `{"userId":"ID"}`, on("Schedules", aboutUser)},
	{"ScheduleService/UpdateSchedule", `{"schedule":{"id":"ID","cron":"@yearly","tree":"eyJuYW1lIjoibiJ9"}}`, on("UpdateSchedule", aboutSchedule)},
	{"ScheduleService/PauseSchedule", `{"id":"ID"}`, on("PauseSchedule", aboutSchedule)},
	{"ScheduleService/ResumeSchedule", `{"id":"ID"}`, on("ResumeSchedule", aboutSchedule)},
	{"ScheduleService/TriggerSchedule", `{"id":"ID"}`, on("TriggerSchedule", aboutSchedule)},
	{"ScheduleService/BackfillSchedule", `{"id":"ID","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}`, on("BackfillSchedule", aboutSchedule)},
	{"ScheduleService/ListScheduleRuns", `{"id":"ID"}`, on("ScheduleRuns", aboutSchedule)},
	{"ScheduleService/RenewScheduleSecret", `{"id":"ID"}`, on("RenewScheduleSecret", aboutSchedule)},
	{"ScheduleService/DeleteSchedule", `{"id":"ID"}`, ending("DeleteSchedule", aboutSchedule)},
	{"FlowService/ApplyFlow", `{"text":"flow: {}"}`, blindly("ApplyFlow", aboutOwn)},
	{"FlowService/GetFlow", `{"id":"ID"}`, on("Flow", aboutFlow)},
	{"FlowService/ValidateFlow", `{"text":"flow: {}"}`, on("ValidateFlow", aboutAny)},
	{"FlowService/ListFlows", `{}`, blindly("Flows", aboutList)},
	{"FlowService/ListFlows of a user", `{"userId":"ID"}`, on("Flows", aboutUser)},
	{"FlowService/RunFlow", `{"text":"flow: {}"}`, blindly("RunFlow", aboutOwn)},
	{"FlowService/RunFlow for a user", `{"userId":"ID","text":"flow: {}"}`, blindly("RunFlow", aboutUser)},
	{"FlowService/DeleteFlow", `{"id":"ID"}`, ending("DeleteFlow", aboutFlow)},
	{"FlowService/ApplyBundle", `{"id":"/"}`, blindly("ApplyBundle", aboutOwn)},
	{"FlowService/PutBundleFile", `{"data":"e30="}`, blindly("PutBundleFile", aboutOwn)},
	{"FlowService/ListBundles", `{}`, blindly("Bundles", aboutList)},
	{"FlowService/ListBundles of a user", `{"userId":"ID"}`, on("Bundles", aboutUser)},
	{"FlowService/DeleteBundle", `{"id":"ID"}`, ending("DeleteBundle", aboutBundle)},
	{"FlowService/ApplyProfiles", `{"text":"{}"}`, blindly("ApplyProfiles", aboutOwn)},
	{"FlowService/ApplyProfiles for a user", `{"text":"{}","userId":"ID"}`, blindly("ApplyProfiles", aboutUser)},
	{"FlowService/GetProfile", `{"name":"ID"}`, on("Profile", aboutProfile)},
	{"FlowService/ListProfiles", `{}`, blindly("Profiles", aboutList)},
	{"FlowService/ListProfiles of a user", `{"userId":"ID"}`, on("Profiles", aboutUser)},
	{"FlowService/DeleteProfile", `{"name":"ID"}`, ending("DeleteProfile", aboutProfile)},
	{"FlowService/GetFlowRun", `{"run":"ID"}`, on("FlowRun", aboutRun)},
	{"FlowService/ListFlowRuns", `{}`, blindly("FlowRuns", aboutList)},
	{"FlowService/ListFlowRuns of a user", `{"userId":"ID"}`, on("FlowRuns", aboutUser)},
	{"FlowService/ResumeFlowRun", `{"run":"ID"}`, on("ResumeFlowRun", aboutRun)},
	{"FlowService/RestartFlowRun", `{"run":"ID"}`, on("RestartFlowRun", aboutRun)},
	{"FlowService/CancelFlowRun", `{"run":"ID"}`, on("CancelFlowRun", aboutRun)},
	{"LimitService/Resume", `{"target":{"treeId":"ID"}}`, blindly("Resume", aboutTree)},
	{"KeepingService/Hold", `{"treeId":"ID","reason":"case 7"}`, on("Hold", aboutTree)},
	{"KeepingService/ListHolds", `{}`, blindly("Holds", aboutList)},
	{"KeepingService/Release", `{"treeId":"ID"}`, blindly("Release", aboutTree)},
	{"KeepingService/Erase", `{"userId":"of-nobody","preview":true}`, on("Erase", aboutWhole)},
	{"KeepingService/GetErasure", `{"id":"of-nobody"}`, blindly("Erasure", aboutWhole)},
	{"KeepingService/ListErasures", `{}`, on("Erasures", aboutWhole)},
	{"AccessService/WhoAmI", `{}`, on("WhoAmI", aboutAny)},
	{"AccessService/CanI", `{}`, on("CanI", aboutAny)},
	{"AccessService/CanI of another", `{"user":"amy"}`, with(on("CanI", aboutWhole), policy.BindingsRead)},
	{"AccessService/ListRoles", `{}`, on("ListRoles", aboutAny)},
	{"AccessService/GrantRole", `{"binding":{"kind":"user","subject":"of-nobody","role":"worker"}}`, blindly("GrantRole", aboutWhole)},
	{"AccessService/RevokeRole", `{"binding":{"kind":"user","subject":"of-nobody","role":"worker"}}`, blindly("RevokeRole", aboutWhole)},
	{"AccessService/ListBindings", `{}`, on("Bindings", aboutWhole)},
	{"NamespaceService/CreateNamespace", `{"name":"of-nobody"}`, blindly("CreateNamespace", aboutWhole)},
	{"NamespaceService/GetNamespace", `{"name":"team-b"}`, on("GetNamespace", aboutWhole)},
	{"NamespaceService/ListNamespaces", `{}`, on("ListNamespaces", aboutWhole)},
	{"NamespaceService/UpdateNamespace", `{"name":"of-nobody","description":"d"}`, blindly("UpdateNamespace", aboutWhole)},
	{"NamespaceService/DeleteNamespace", `{"name":"of-nobody"}`, blindly("DeleteNamespace", aboutWhole)},
	{"DoctorService/Diagnose", `{}`, on("Diagnose", aboutWhole)},
	{"SealService/GetSealStatus", `{}`, on("SealStatus", aboutWhole)},
	{"SealService/RotateDataKeys", `{"namespace":"team-b"}`, blindly("RotateDataKeys", aboutWhole)},
	{"SealService/RewrapDataKeys", `{}`, blindly("RewrapDataKeys", aboutWhole)},
	{"SealService/RotateTokens", `{}`, blindly("RotateTokens", aboutWhole)},
	{"AuditService/ListAudit", `{"pageSize":1}`, blindly("Record", aboutWhole)},
	{"AuditService/ReadAudit", `{"before":"2020-01-01T00:00:00Z"}`, blindly("ReadRecord", aboutWhole)},
	{"AuditService/VerifyAudit", `{}`, blindly("VerifyRecord", aboutWhole)},
}

// toolRows are the tools of MCP.
var toolRows = []row{
	{"execute_task", `{"task_id":"ID"}`, on("Execute", aboutTree)},
	{"create_task", `{"tasks":` + oneTask + `}`, on("Submit", aboutOwn)},
	{"get_task", `{"task_id":"ID"}`, on("Task", aboutTree)},
	{"update_task", `{"task_id":"ID","priority":1}`, on("Update", aboutTree)},
	{"delete_task", `{"task_id":"ID"}`, on("Delete", aboutTree)},
	{"list_tasks", `{"limit":1000}`, on("Tasks", aboutList)},
	{"get_task_status", `{"task_id":"ID"}`, on("Task", aboutTree)},
	{"cancel_task", `{"task_id":"ID"}`, on("Cancel", aboutTree)},
	{"get_task_tree", `{"task_id":"ID"}`, on("Task", aboutTree)},
	{"list_children", `{"task_id":"ID"}`, on("Tasks", aboutTree)},
	{"copy_task", `{"task_id":"ID"}`, on("Copy", aboutTree)},
	{"generate_task_tree", `{"requirement":"x","temperature":9}`, blindly("Generate", aboutOwn)},
	{"wait_for_task", `{"task_id":"ID","timeout":0.1}`, on("Task", aboutTree)},
	{"explain_task", `{"task_id":"ID"}`, on("Why", aboutTree)},
	{"pause_tree", `{"tree_id":"ID"}`, on("Pause", aboutTree)},
	{"resume_tree", `{"tree_id":"ID"}`, blindly("Resume", aboutTree)},
	{"skip_task", `{"task_id":"ID"}`, on("Skip", aboutTree)},
	{"signal_task", `{"task_id":"ID","name":"go"}`, blindly("Signal", aboutTree)},
	{"answer_approval", `{"task_id":"ID","choice":"approve"}`, blindly("Approve", aboutTree)},
	{"validate_flow", `{"text":"flow: {}"}`, on("ValidateFlow", aboutAny)},
	{"list_flows", `{}`, blindly("Flows", aboutList)},
	{"get_flow", `{"id":"ID"}`, on("Flow", aboutFlow)},
	{"list_profiles", `{}`, blindly("Profiles", aboutList)},
	{"get_profile", `{"name":"ID"}`, on("Profile", aboutProfile)},
	{"run_flow", `{"text":"flow: {}"}`, blindly("RunFlow", aboutOwn)},
	{"list_runs", `{}`, blindly("FlowRuns", aboutList)},
	{"get_run", `{"run":"ID"}`, on("FlowRun", aboutRun)},
	{"get_run_logs", `{"run":"ID"}`, on("FlowRun", aboutRun)},
	{"resume_run", `{"run":"ID"}`, on("ResumeFlowRun", aboutRun)},
	{"cancel_run", `{"run":"ID"}`, on("CancelFlowRun", aboutRun)},
	{"list_schedules", `{}`, blindly("Schedules", aboutList)},
	{"get_schedule", `{"id":"ID"}`, on("GetSchedule", aboutSchedule)},
	{"list_schedule_runs", `{"id":"ID"}`, on("ScheduleRuns", aboutSchedule)},
	{"next_instants", `{"cron":"@daily"}`, on("NextInstants", aboutAny)},
	{"trigger_schedule", `{"id":"ID"}`, on("TriggerSchedule", aboutSchedule)},
	{"pause_schedule", `{"id":"ID"}`, on("PauseSchedule", aboutSchedule)},
	{"resume_schedule", `{"id":"ID"}`, on("ResumeSchedule", aboutSchedule)},
	{"list_executors", `{}`, on("Executors", aboutAny)},
	{"get_executor", `{"executor_id":"noop_executor"}`, on("Executor", aboutAny)},
}

const message1 = `{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"data":{"tasks":` + oneTask + `}}]}}`
const message03 = `{"message":{"messageId":"m","role":"user","parts":[{"kind":"data","data":{"tasks":` + oneTask + `}}]}}`

// agentRows are the methods of A2A, as of version 1.0 and as of 0.3.
var agentRows = []row{
	{"SendMessage|message/send", message1 + "|" + message03, on("Submit", aboutOwn)},
	{"SendStreamingMessage|message/stream", message1 + "|" + message03, on("Submit", aboutOwn)},
	{"GetTask|tasks/get", `{"id":"ID"}`, on("AgentTask", aboutAgent)},
	{"ListTasks|tasks/list", `{}`, blindly("AgentTasks", aboutList)},
	{"CancelTask|tasks/cancel", `{"id":"ID"}`, with(blindly("AgentTask", aboutAgent), policy.TreesCancel)},
	{"SubscribeToTask|tasks/resubscribe", `{"id":"ID"}`, blindly("AgentTask", aboutAgent)},
	{"CreateTaskPushNotificationConfig|tasks/pushNotificationConfig/set", `{"taskId":"ID","id":"c","url":"http://127.0.0.1:1/"}|{"taskId":"ID","pushNotificationConfig":{"id":"c","url":"http://127.0.0.1:1/"}}`,
		with(blindly("AgentTask", aboutAgent), policy.WebhooksRead, policy.WebhooksWrite)},
	{"GetTaskPushNotificationConfig|tasks/pushNotificationConfig/get", `{"taskId":"ID","id":"c"}|{"id":"ID","pushNotificationConfigId":"c"}`, with(blindly("AgentTask", aboutAgent), policy.WebhooksRead)},
	{"ListTaskPushNotificationConfigs|tasks/pushNotificationConfig/list", `{"taskId":"ID"}|{"id":"ID"}`, with(blindly("AgentTask", aboutAgent), policy.WebhooksRead)},
	{"DeleteTaskPushNotificationConfig|tasks/pushNotificationConfig/delete", `{"taskId":"ID","id":"d"}|{"id":"ID","pushNotificationConfigId":"d"}`, with(blindly("AgentTask", aboutAgent), policy.WebhooksRead)},
}

// moreRows are operations on what a message of A2A, a resource or a prompt of MCP names.
var moreRows = []struct {
	name, path, body string
	op               operation
}{
	{"A2A SendMessage to a task", "/", rpc("message/send", `{"message":{"messageId":"m","taskId":"ID","role":"user","parts":[{"kind":"text","text":"x"}]}}`), blindly("AgentTask", aboutAgent)},
	{"A2A SendMessage for a tree", "/", rpc("message/send", `{"message":{"messageId":"m","role":"user","parts":[{"kind":"text","text":"x"}]},"metadata":{"task_id":"ID"}}`),
		with(blindly("Tree", aboutTree), policy.TreesCreate, policy.TreesExecute)},
	{"MCP task://", "/mcp", rpc("resources/read", `{"uri":"task://ID"}`), on("Task", aboutTree)},
	{"MCP tasks://", "/mcp", rpc("resources/read", `{"uri":"tasks://"}`), blindly("Tasks", aboutList)},
	{"MCP explain_failure", "/mcp", rpc("prompts/get", `{"name":"explain_failure","arguments":{"task_id":"ID"}}`), on("Task", aboutTree)},
	{"MCP summarize_tree", "/mcp", rpc("prompts/get", `{"name":"summarize_tree","arguments":{"task_id":"ID"}}`), on("Task", aboutTree)},
}

// methodsOfParts are methods of the service that come with operations whose rows name the first one.
var methodsOfParts = map[string]string{
	"KeepAgentTask":   "A2A SendMessage keeps the task of the message",
	"AgentTaskOf":     "A2A SendMessage with a known idempotency key",
	"Attach":          "A2A CreateTaskPushNotificationConfig",
	"CheckAttachment": "A2A CreateTaskPushNotificationConfig",
}

// steering are methods of our own that are skills of A2A, too.
var steering = []string{"tasks.skip", "tasks.signal", "tasks.approve"}

// onlyGRPC is the call that Connect has not: a stream of tasks.
const onlyGRPC = "Taskgrove/Submit"

// operations are all operations of all surfaces.
func operations() (all []*operation) {
	add := func(name string, op operation, call func(o *owners, user, id string) string) {
		op.name, op.call = name, call
		all = append(all, &op)
	}
	post := func(name, path, body string, op operation, headers ...string) {
		add(name, op, func(o *owners, user, id string) string {
			return o.as(user, http.MethodPost, path, strings.ReplaceAll(body, "ID", id), headers...)
		})
	}
	ours := map[string]bool{}
	for _, method := range jsonrpc.Methods() {
		ours[method.Name] = method.Ours
	}
	for _, r := range rpcRows {
		method, _, _ := strings.Cut(r.name, " ")
		post("JSON-RPC /tasks "+r.name, "/tasks", rpc(method, r.body), r.op)
		switch {
		case ours[method] && !slices.Contains(steering, method), method == "tasks.execute", method == "tasks.create": // which is no alias, or means another thing there
		case method == "tasks.cancel": // finds first what of A2A is meant
			r.op.finds = true
			fallthrough
		default:
			post("A2A alias "+r.name, "/", rpc(method, r.body), r.op)
		}
	}
	for _, r := range systemRows {
		method, _, _ := strings.Cut(r.name, " ")
		post("JSON-RPC /system "+r.name, "/system", rpc(method, r.body), r.op)
	}
	for path, op := range map[string]operation{"": on("Task", aboutTree), "/tree": on("Task", aboutTree), "/children": on("Tasks", aboutTree), "/why": on("Why", aboutTree), "/attempts": on("Attempts", aboutTree), "/artifacts": on("Artifacts", aboutTree), "/artifacts/none": blindly("OpenArtifact", aboutTree)} {
		add("GET /tasks/ID"+path, op, func(o *owners, user, id string) string { return o.as(user, http.MethodGet, "/tasks/"+id+path, "") })
	}
	add("GET /tasks", on("Tasks", aboutList), func(o *owners, user, _ string) string { return o.as(user, http.MethodGet, "/tasks?limit=1000", "") })
	add("SSE /tasks/ID/events", on("Watch", aboutTree), func(o *owners, user, id string) string { return o.begin(user, "/tasks/"+id+"/events") })
	add("WebSocket subscribe", on("Watch", aboutTree), (*owners).socket)
	for _, r := range toolRows {
		post("MCP "+r.name, "/mcp", rpc("tools/call", `{"name":"`+r.name+`","arguments":`+r.body+`}`), r.op)
	}
	for _, r := range moreRows {
		post(r.name, r.path, r.body, r.op)
	}
	for _, r := range agentRows {
		new1, old, _ := strings.Cut(r.name, "|")
		body1, body03, differ := strings.Cut(r.body, "|")
		if !differ {
			body03 = body1
		}
		post("A2A "+new1, "/", rpc(new1, body1), r.op, "A2A-Version", "1.0")
		post("A2A "+old, "/", rpc(old, body03), r.op)
		add("gRPC /lf.a2a.v1.A2AService/"+new1, r.op, func(o *owners, user, id string) string {
			return o.invoke(user, "/lf.a2a.v1.A2AService/"+new1, strings.ReplaceAll(body1, "ID", id))
		})
	}
	for _, r := range callRows {
		method, _, _ := strings.Cut(r.name, " ")
		add("gRPC "+r.name, r.op, func(o *owners, user, id string) string {
			return o.invoke(user, "/taskgrove.v1."+method, strings.ReplaceAll(r.body, "ID", id))
		})
		if r.name == onlyGRPC {
			continue
		}
		add("Connect "+r.name, r.op, func(o *owners, user, id string) string {
			return o.connect(user, "/taskgrove.v1."+method, strings.ReplaceAll(r.body, "ID", id))
		})
	}
	slices.SortStableFunc(all, func(a, b *operation) int { return last(a) - last(b) })
	return all
}

// last puts to the end what adds tasks to a tree: it is at work then.
func last(op *operation) int {
	if op.method == "Add" {
		return 1
	}
	return 0
}

// offered are the operations that the surfaces have by their own account.
func (m *matrix) offered() (names []string) {
	for _, method := range jsonrpc.Methods() {
		if method.Name != "system.health" { // tells of nobody's things
			names = append(names, "JSON-RPC "+method.Path+" "+method.Name)
		}
	}
	tools := m.as("root", http.MethodPost, "/mcp", rpc("tools/list", `{}`))
	for _, after := range strings.Split(tools, `"name":"`)[1:] {
		if tool, _, _ := strings.Cut(after, `"`); strings.Contains(tool, "_") && !strings.Contains(tool, " ") {
			names = append(names, "MCP "+tool)
		}
	}
	stream, err := reflectionpb.NewServerReflectionClient(m.grpc).ServerReflectionInfo(metadata.AppendToOutgoingContext(m.t.Context(), "authorization", "Bearer "+m.tokens["root"]))
	must(m.t, err)
	must(m.t, stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}))
	answer, err := stream.Recv()
	must(m.t, err)
	for _, one := range answer.GetListServicesResponse().GetService() {
		service, ours := strings.CutPrefix(one.Name, "taskgrove.v1.")
		if !ours {
			continue
		}
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(one.Name))
		must(m.t, err)
		methods := found.(protoreflect.ServiceDescriptor).Methods()
		for i := range methods.Len() {
			call := service + "/" + string(methods.Get(i).Name())
			if names = append(names, "gRPC "+call); call != onlyGRPC {
				names = append(names, "Connect "+call)
			}
		}
	}
	if len(names) < 120 {
		m.t.Errorf("the surfaces offer %d operations", len(names))
	}
	return names
}

// described is a call by its path.
func (o *owners) described(path string) protoreflect.MethodDescriptor {
	service, method, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	must(o.t, err)
	return found.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method))
}

// invoke makes a call of gRPC with a message in JSON. It answers the first message, or the error with its code and details.
func (o *owners) invoke(user, path, body string) string {
	call := o.described(path)
	in, out := dynamicpb.NewMessage(call.Input()), dynamicpb.NewMessage(call.Output())
	must(o.t, protojson.Unmarshal([]byte(body), in))
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(o.t.Context(), "authorization", "Bearer "+o.tokens[user]), patience)
	defer cancel()
	if o.in != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "taskgrove-namespace", o.in)
	}
	stream, err := o.grpc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, path)
	must(o.t, err)
	_ = stream.SendMsg(in) // of a stream that was refused meanwhile, the answer tells why
	_ = stream.CloseSend()
	switch err := stream.RecvMsg(out); {
	case errors.Is(err, io.EOF):
		return "OK"
	case err != nil:
		s := status.Convert(err)
		return s.Code().String() + " " + s.Message() + " " + protojson.Format(s.Proto())
	}
	text, err := protojson.Marshal(out)
	must(o.t, err)
	return "OK " + string(text)
}

// connect makes the same call by the protocol of Connect, in JSON.
func (o *owners) connect(user, path, body string) string {
	call := o.described(path)
	if !call.IsStreamingServer() && !call.IsStreamingClient() {
		return o.as(user, http.MethodPost, path, body)
	}
	var framed bytes.Buffer
	framed.WriteByte(0)
	_ = binary.Write(&framed, binary.BigEndian, uint32(len(body)))
	framed.WriteString(body)
	return o.as(user, http.MethodPost, path, framed.String(), "Content-Type", "application/connect+json")
}
