package hostile

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/coordinator"
)

// reference is a field of a request that takes an id. ID stands for what it leads to, OWN for a tree of the caller's.
type reference struct {
	field, path, body string
	kind              about
}

// references are fields that take ids beside what a call is about, and those of lists.
var references = []reference{
	{"parent of a task in an array", "/tasks", rpc("tasks.create", `[{"id":"OWN-x","name":"a"},{"id":"OWN-y","name":"b","parent_id":"ID"}]`), aboutTree},
	{"dependency of a submission", "/tasks", rpc("tasks.create", `[{"id":"OWN-x","name":"a"},{"id":"OWN-y","name":"b","parent_id":"OWN-x","dependencies":[{"id":"ID"}]}]`), aboutTree},
	{"dependency of an added task", "/tasks", rpc("tasks.create", `{"name":"b","parent_id":"OWN","dependencies":[{"id":"ID"}]}`), aboutTree},
	{"dependency by an update", "/tasks", rpc("tasks.update", `{"task_id":"OWN","dependencies":[{"id":"ID"}]}`), aboutTree},
	{"task of a copy", "/tasks", rpc("tasks.copy", `{"task_id":"OWN","copy_mode":"custom","custom_task_ids":["ID"],"save":false}`), aboutTree},
	{"task that must be there", "/tasks", rpc("tasks.execute", `{"tasks":[{"id":"ID","name":"n","dependencies":["none"]}],"require_existing_tasks":true}`), aboutTree},
	{"tree of a list", "/tasks", rpc("tasks.list", `{"root_id":"ID"}`), aboutTree},
	{"parent of a list of one's own tree", "/tasks", rpc("tasks.list", `{"root_id":"OWN","parent_id":"ID"}`), aboutTree},
	{"tree of a list of one's own children", "/tasks", rpc("tasks.list", `{"root_id":"ID","parent_id":"OWN"}`), aboutTree},
	{"original of copies", "/tasks", rpc("tasks.list", `{"original_task_id":"ID"}`), aboutTree},
	{"original of copies by Connect", "/taskgrove.v1.Taskgrove/ListTasks", `{"originalId":"ID"}`, aboutTree},
	{"text that is resolved", "/tasks", rpc("tasks.resolve", `{"ref":"ID"}`), aboutTree},
	{"text of Resolve", "/taskgrove.v1.Taskgrove/Resolve", `{"ref":"ID"}`, aboutTree},
	{"several tasks", "/tasks", rpc("tasks.running.status", `{"task_ids":["ID","OWN"]}`), aboutTree},
	{"contexts", "/tasks", rpc("tasks.cancel", `{"context_ids":["ID"]}`), aboutTree},
	{"completion", "/mcp", rpc("completion/complete", `{"ref":{"type":"ref/resource","uri":"task://{id}"},"argument":{"name":"id","value":"ID"}}`), aboutTree},
	{"task of a message", "/", rpc("message/send", `{"message":{"messageId":"m","taskId":"ID","role":"user","parts":[{"kind":"text","text":"x"}]}}`), aboutAgent},
	{"reference of a message", "/", rpc("message/send", `{"message":{"messageId":"m","role":"user","referenceTaskIds":["ID"],"parts":[{"kind":"text","text":"x"}]}}`), aboutAgent},
	{"tree of a message", "/", rpc("message/send", `{"message":{"messageId":"m","role":"user","parts":[{"kind":"text","text":"x"}]},"metadata":{"task_id":"ID"}}`), aboutTree},
	{"tree that a message copies", "/", rpc("message/send", `{"message":{"messageId":"m","role":"user","parts":[{"kind":"text","text":"x"}]},"metadata":{"task_id":"ID","copy_execution":true}}`), aboutTree},
	{"context that a message cancels", "/", rpc("message/send", `{"message":{"messageId":"m","contextId":"ID","role":"user","parts":[{"kind":"text","text":"x"}]},"metadata":{"operation":"cancel"}}`), aboutTree},
	{"context of a list", "/", rpc("tasks/list", `{"contextId":"ID"}`), aboutAgent},
	{"task by an id of A2A", "/", rpc("tasks/get", `{"id":"ID"}`), aboutTree},
	{"webhook of a task of A2A", "/", rpc("tasks/pushNotificationConfig/get", `{"id":"ID","pushNotificationConfigId":"x"}`), aboutAgent},
	{"webhook by the id of a tree", "/system", rpc("webhooks.get", `{"webhook_id":"ID"}`), aboutTree},
	{"delivery", "/system", rpc("webhooks.resend", `{"delivery_id":"ID"}`), aboutDelivery},
	{"delivery by Connect", "/taskgrove.v1.Taskgrove/ResendDelivery", `{"deliveryId":"ID"}`, aboutDelivery},
	{"webhooks of a task", "/taskgrove.v1.Taskgrove/ListWebhooks", `{"taskId":"ID"}`, aboutTree},
	{"deliveries of a webhook", "/taskgrove.v1.Taskgrove/ListDeliveries", `{"webhookId":"ID"}`, aboutHook},
	{"usage of a tree", "/system", rpc("usage.list", `{"tree_id":"ID"}`), aboutTree},
	{"schedule that another begins with", "/system", rpc("schedules.create", `{"id":"","on":{"schedule":"ID"},"tree":`+oneTask+`}`), aboutSchedule},
	{"registered flow that is looked at", "/system", rpc("flows.validate", `{"flow":"ID"}`), aboutFlow},
	{"bundle that a run is to have", "/system", rpc("flows.run", `{"text":"flow: {}","bundle":{"id":"ID"}}`), aboutBundle},
	{"registered flow that is run", "/system", rpc("flows.run", `{"flow":"ID"}`), aboutFlow},
	{"schedule that another begins with, by an update", "/system", rpc("schedules.update", `{"id":"ID","on":{"schedule":"ID"},"tree":`+oneTask+`}`), aboutSchedule},
	{"API key that is rotated", "/taskgrove.v1.KeyService/RotateAPIKey", `{"id":"ID"}`, aboutKey},
	{"API key that is revoked", "/taskgrove.v1.KeyService/RevokeAPIKey", `{"id":"ID"}`, aboutKey},
}

// aboutDelivery is a delivery of a webhook, which is asked for as a whole.
const aboutDelivery about = 100

// leads: whatever field names what the caller may not touch, the answer is as for what is not there; and nothing has changed. An admin of a namespace
// sees all of it, and nothing of another.
func (m *matrix) leads(t *testing.T) {
	others, far, absent := m.shared[0], m.shared[2], m.shared[3]
	for _, x := range []*thing{others, far} {
		d, err := m.c.Coordinators[0].P.In(x.lives).TestWebhook(t.Context(), x.ids[aboutHook])
		must(t, err)
		x.ids[aboutDelivery] = d.ID
	}
	absent.ids[aboutDelivery] = "999999"
	before := m.state(t, others, far)
	for _, c := range m.callers {
		sees := c.user == "admin"
		if !sees && c.user != "submitter" {
			continue
		}
		for _, r := range references {
			answers := map[string]string{}
			for _, x := range []*thing{absent, far, others} {
				if x == others && sees {
					continue
				}
				id := x.ids[r.kind]
				got := m.as(c.user, http.MethodPost, r.path, strings.NewReplacer("ID", id, "OWN", c.own.ids[aboutTree]).Replace(r.body))
				if r.kind == aboutDelivery { // a number
					id = "Delivery " + id
				}
				answers[x.name] = varies.ReplaceAllString(strings.ReplaceAll(got, id, "ID"), "…")
				if x != absent && answers[x.name] != answers[absent.name] {
					t.Errorf("%s, by %s: of what is %s:\n%s\nof what is not there:\n%s", r.field, c.user, x.name, answers[x.name], answers[absent.name])
				}
			}
		}
	}
	if after := m.state(t, others, far); after != before {
		t.Errorf("what others named has changed: before\n%s\nafter\n%s", before, after)
	}
}

// state is what there is of things.
func (m *matrix) state(t *testing.T, things ...*thing) (all string) {
	for _, x := range things {
		svc := m.c.Coordinators[0].P.In(x.lives)
		task, err := svc.Task(t.Context(), x.ids[aboutTree])
		must(t, err)
		hook, err := svc.GetWebhook(t.Context(), x.ids[aboutHook])
		must(t, err)
		copies, err := svc.Tasks(t.Context(), coordinator.TaskFilter{OriginalID: task.ID})
		must(t, err)
		keys, err := svc.APIKeys(t.Context(), coordinator.APIKeyFilter{UserID: x.user})
		must(t, err)
		all += fmt.Sprintf("%s %s of %q %s, %v, %s of %q, %d copies, %d keys\n", task.ID, task.Name, task.UserID, task.State, task.Dependencies, hook.ID, hook.UserID, len(copies.Items), len(keys.Items))
	}
	return all
}

// climbs: nobody gets further by a copy, an update, a webhook, an API key, an idempotency key or a cursor.
func (m *matrix) climbs(t *testing.T) {
	amys, mine := m.shared[0], &thing{}
	for _, c := range m.callers {
		if c.user == "submitter" {
			mine = c.own
		}
	}
	svc := m.c.Coordinators[0].P
	refusedTo := func(user, what, path, body string) {
		t.Helper()
		if got := m.as(user, http.MethodPost, path, body); !strings.Contains(got, "Permission denied") {
			t.Errorf("%s by %s: got %.400s", what, user, got)
		}
	}
	for what, roles := range map[string]string{"an admin's key": `"admin"`, "a key of another namespace": `"team-b:submitter"`, "a key for all": `"*:submitter"`, "a key of the cluster": `"*:admin"`} {
		refusedTo("submitter", what, "/taskgrove.v1.KeyService/CreateAPIKey", `{"name":"k","roles":[`+roles+`]}`)
		refusedTo("operator", what, "/taskgrove.v1.KeyService/CreateAPIKey", `{"name":"k","roles":[`+roles+`]}`)
	}
	refusedTo("admin", "a key of the cluster", "/taskgrove.v1.KeyService/CreateAPIKey", `{"name":"k","roles":["*:admin"]}`)
	refusedTo("operator", "a copy", "/tasks", rpc("tasks.copy", `{"task_id":"`+amys.ids[aboutTree]+`"}`))
	refusedTo("operator", "a start of a copy", "/tasks", rpc("tasks.execute", `{"task_id":"`+amys.ids[aboutTree]+`","copy_execution":true}`))
	refusedTo("submitter", "a tree in another's name", "/tasks", rpc("tasks.create", `[{"name":"n","user_id":"amy"}]`))
	refusedTo("submitter", "a webhook of all trees", "/system", rpc("webhooks.create", `{"url":"http://127.0.0.1:1/","events":["tree_failed"],"user_id":"submitter"}`))
	// What an admin copies stays its owner's.
	copied, err := svc.Copy(t.Context(), amys.ids[aboutTree], coordinator.CopyOptions{})
	must(t, err)
	if task, err := svc.Task(t.Context(), copied.TreeID); err != nil || task.UserID != "amy" {
		t.Errorf("a copy is %q's, %v", task.UserID, err)
	}
	for _, body := range []string{`{"task_id":"%s","user_id":"amy"}`, `{"task_id":"%s","updates":{"user_id":"amy"}}`} {
		m.as("submitter", http.MethodPost, "/tasks", rpc("tasks.update", fmt.Sprintf(body, mine.ids[aboutTree])))
		if task, err := svc.Task(t.Context(), mine.ids[aboutTree]); err != nil || task.UserID != "submitter" {
			t.Errorf("an update gave the tree to %q: %v", task.UserID, err)
		}
	}
	m.as("submitter", http.MethodPost, "/system", rpc("webhooks.update", `{"webhook_id":"`+mine.ids[aboutHook]+`","user_id":"amy","events":["tree_failed"],"tree":"n"}`))
	if hook, err := svc.GetWebhook(t.Context(), mine.ids[aboutHook]); err != nil || hook.TreeID != mine.ids[aboutTree] {
		t.Errorf("a webhook of one's own tree has become %+v, %v", hook, err)
	}
	// The same idempotency key is another's: neither answer nor fault of the first.
	trees := map[string]bool{}
	for _, user := range []string{"submitter", "submitter-everywhere", "admin"} {
		got := m.as(user, http.MethodPost, "/tasks", rpc("tasks.create", oneTask), "Idempotency-Key", "shared")
		_, after, _ := strings.Cut(got, `"id":"`)
		id, _, _ := strings.Cut(after, `"`)
		if trees[id] || !strings.Contains(got, `"user_id":"`+user+`"`) {
			t.Errorf("an idempotency key of another gives %s the tree %.300s", user, got)
		}
		trees[id] = true
	}
	// A cursor of another namespace, or of who sees more, leads to nothing more.
	for _, x := range m.shared[:3] {
		page, err := m.c.Coordinators[0].P.In(x.lives).Trees(t.Context(), coordinator.TreeFilter{Limit: 1})
		must(t, err)
		for _, got := range []string{
			m.as("submitter", http.MethodGet, "/tasks?limit=1000&cursor="+page.Next, ""),
			m.as("submitter", http.MethodPost, "/taskgrove.v1.Taskgrove/ListTrees", `{"limit":1000,"cursor":"`+page.Next+`"}`),
		} {
			if strings.Contains(got, "of-amy") || strings.Contains(got, "of-nobody") {
				t.Errorf("a cursor of trees in %s shows %.300s", x.lives, got)
			}
		}
	}
}
