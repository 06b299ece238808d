package a2a

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"

	"github.com/taskgrove/taskgrove/coordinator"
)

// headerToken carries what a client gave to know its notifications by (spec 6.5).
const headerToken = "X-A2A-Notification-Token"

const headerAuthorization = "Authorization"

// forms are who makes the bodies of notifications: the whole task, as the line has it.
var forms = map[line]string{line1: "a2a-1.0", line03: "a2a-0.3"}

// Forms make the bodies of push notifications, for [coordinator.WebhookConfig]. svc is the coordinator that sends them.
func Forms(svc coordinator.Service) map[string]coordinator.WebhookForm {
	out := map[string]coordinator.WebhookForm{}
	for l, name := range forms {
		out[name] = func(ctx context.Context, hook string, e *coordinator.Event) ([]byte, error) {
			return notification(ctx, svc, l, hook, e)
		}
	}
	return out
}

// notification is the body that tells of an event: the task of A2A that the webhook is of, whole; nil: it is gone. Like a stream, it shows the task at
// work up to the end of the execution, with what happened as its status (spec 6.4).
func notification(ctx context.Context, svc coordinator.Service, l line, hook string, e *coordinator.Event) ([]byte, error) {
	id, _, _ := strings.Cut(hook, "/")
	kept, err := svc.AgentTask(ctx, id)
	if errors.Is(err, coordinator.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	root, err := svc.Task(ctx, kept.Tree.ID)
	if errors.Is(err, coordinator.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	final := e.Type == coordinator.EventFinal
	if final && e.Tree != nil {
		kept.Tree = e.Tree
	}
	task := shown(kept, root, nil)
	t := &teller{task: task}
	switch {
	case final:
		task.Status.State, task.Artifacts = states[e.Status], []*a2a.Artifact{resultOf(kept.Tree, root)}
	default:
		task.Status, task.Artifacts = t.update(e).Status, nil
	}
	if l == line03 {
		return encode(a2av0.FromV1Task(task)), nil
	}
	return encode(a2a.StreamResponse{Event: task}), nil
}

// push is a configuration of notifications, as the webhook that it becomes.
type push struct {
	id      string // the client's own; empty: the task's
	webhook coordinator.Webhook
	form    string
}

// readPush reads a configuration, in either line, and refuses one that can't be kept. headers and method are an extension (spec 6.5).
func (x *exchange) readPush(ctx context.Context, raw json.RawMessage) (*push, error) {
	v, err := valuesOf(raw, "pushNotificationConfig", camel)
	if err != nil {
		return nil, err
	}
	p := &push{form: forms[x.line]}
	p.webhook.Headers = map[string]string{}
	token := ""
	for _, field := range []struct {
		name string
		to   *string
	}{{"url", &p.webhook.URL}, {"id", &p.id}, {"token", &token}, {"method", &p.webhook.Method}} {
		if *field.to, err = v.text(field.name); err != nil {
			return nil, err
		}
	}
	if p.webhook.URL == "" {
		return nil, invalid("pushNotificationConfig.url is required")
	}
	if len(p.id) > maxConfigID {
		return nil, invalid("pushNotificationConfig.id must be at most %d bytes long", maxConfigID)
	}
	if given := v["headers"]; !absent(given) {
		if err := json.Unmarshal(given, &p.webhook.Headers); err != nil {
			return nil, invalid("pushNotificationConfig.headers must be an object of texts")
		}
	}
	if token != "" {
		p.webhook.Headers[headerToken] = token
	}
	if err := readAuthentication(v["authentication"], p.webhook.Headers); err != nil {
		return nil, err
	}
	return p, pushFault(x.svc.CheckAttachment(ctx, p.attachment("")))
}

// attachment is the webhook of a task of A2A; the id of a configuration is that of its task, unless the client gave one.
func (p *push) attachment(taskID string) coordinator.Attachment {
	if p.id == "" {
		p.id = taskID
	}
	return coordinator.Attachment{Webhook: p.webhook, Name: hookName(taskID, p.id), Form: p.form}
}

// pushFault names the fields of a configuration as A2A has them.
func pushFault(err error) error {
	arg, ok := errors.AsType[*coordinator.InvalidArgumentError](err)
	if !ok {
		return err
	}
	field, ours := strings.CutPrefix(arg.Field, "webhook.")
	switch {
	case !ours:
		return err
	case field == "headers."+headerToken:
		field = "token"
	case field == "headers."+headerAuthorization:
		field = "authentication"
	}
	return invalid("pushNotificationConfig.%s: %s", field, arg.Reason)
}

// readAuthentication puts the credentials into the header that says who sends.
func readAuthentication(raw json.RawMessage, headers map[string]string) error {
	auth, err := valuesOf(raw, "authentication", camel)
	if err != nil {
		return err
	}
	scheme, err := auth.text("scheme")
	if err != nil {
		return err
	}
	if many := auth["schemes"]; scheme == "" && !absent(many) {
		var schemes []string
		if err := json.Unmarshal(many, &schemes); err != nil {
			return invalid("authentication.schemes must be an array of strings")
		}
		if len(schemes) > 0 {
			scheme = schemes[0]
		}
	}
	credentials, err := auth.text("credentials")
	if err != nil || credentials == "" {
		return err
	}
	headers[headerAuthorization] = strings.TrimSpace(scheme + " " + credentials)
	return nil
}

// maxConfigID bounds the id of a configuration, so that it fits into the name of a webhook.
const maxConfigID = 200

// hookName is what the webhook of a configuration is called within its tree, where each task of A2A has its own.
func hookName(taskID, configID string) string { return taskID + "/" + configID }

// setPushConfig answers tasks/pushNotificationConfig/set. A configuration that is there is replaced.
func (h *Handler) setPushConfig(ctx context.Context, x *exchange, taskID string, raw json.RawMessage) (*a2a.PushConfig, error) {
	kept, err := x.agentTask(ctx, taskID)
	if err != nil {
		return nil, err
	}
	p, err := x.readPush(ctx, raw) // before the one that is there goes
	if err != nil {
		return nil, err
	}
	a := p.attachment(kept.ID)
	switch _, hook, err := h.hookOf(ctx, x, kept, p.id); {
	case err == nil:
		if err := x.svc.DeleteWebhook(ctx, hook.ID, 0); err != nil && !errors.Is(err, coordinator.ErrNotFound) {
			return nil, err
		}
	case !errors.Is(err, coordinator.ErrNotFound):
		return nil, err
	}
	info, err := x.svc.Attach(ctx, kept.TaskID, a)
	if err != nil {
		return nil, pushFault(err)
	}
	return &a2a.PushConfig{TaskID: a2a.TaskID(kept.ID), ID: p.id, URL: info.URL}, nil
}

// hooks are the configurations of a task, each with its webhook.
func (h *Handler) hooks(ctx context.Context, x *exchange, kept *coordinator.AgentTask) (configs []*a2a.PushConfig, hooks []*coordinator.WebhookInfo, err error) {
	page, err := x.svc.ListWebhooks(ctx, coordinator.WebhookFilter{TaskID: kept.TaskID, Limit: 1000})
	if err != nil {
		return nil, nil, err
	}
	for _, hook := range page.Items {
		if id, ours := strings.CutPrefix(hook.Name, hookName(kept.ID, "")); ours {
			configs = append(configs, &a2a.PushConfig{TaskID: a2a.TaskID(kept.ID), ID: id, URL: hook.URL})
			hooks = append(hooks, hook)
		}
	}
	return configs, hooks, nil
}

// hookOf is the configuration of that id, the first if the id is empty; [coordinator.ErrNotFound].
func (h *Handler) hookOf(ctx context.Context, x *exchange, kept *coordinator.AgentTask, id string) (*a2a.PushConfig, *coordinator.WebhookInfo, error) {
	configs, hooks, err := h.hooks(ctx, x, kept)
	if err != nil {
		return nil, nil, err
	}
	for i, config := range configs {
		if id == "" || config.ID == id {
			return config, hooks[i], nil
		}
	}
	return nil, nil, coordinator.ErrNotFound
}

// pushConfig answers tasks/pushNotificationConfig/get.
func (h *Handler) pushConfig(ctx context.Context, x *exchange, taskID, id string) (*a2a.PushConfig, error) {
	kept, err := x.agentTask(ctx, taskID)
	if err != nil {
		return nil, err
	}
	config, _, err := h.hookOf(ctx, x, kept, id)
	if errors.Is(err, coordinator.ErrNotFound) {
		return nil, fault(codeNotFound, "Task %s has no push notification config %s", taskID, id)
	}
	return config, err
}

// pushConfigs answers tasks/pushNotificationConfig/list.
func (h *Handler) pushConfigs(ctx context.Context, x *exchange, taskID string) ([]*a2a.PushConfig, error) {
	kept, err := x.agentTask(ctx, taskID)
	if err != nil {
		return nil, err
	}
	configs, _, err := h.hooks(ctx, x, kept)
	return configs, err
}

// deletePushConfig answers tasks/pushNotificationConfig/delete. One that is not there is as good as deleted.
func (h *Handler) deletePushConfig(ctx context.Context, x *exchange, taskID, id string) error {
	kept, err := x.agentTask(ctx, taskID)
	if err != nil {
		return err
	}
	_, hook, err := h.hookOf(ctx, x, kept, id)
	if err == nil {
		err = x.svc.DeleteWebhook(ctx, hook.ID, 0)
	}
	if errors.Is(err, coordinator.ErrNotFound) {
		return nil
	}
	return err
}

// The calls of the JSON-RPC binding. In 0.3 the configuration is a member of its own, and the task's id has two names.

func (v values) pushIDs() (taskID, id string, err error) {
	for _, name := range []string{"taskId", "id"} {
		if taskID == "" {
			if taskID, err = v.text(name); err != nil {
				return "", "", err
			}
		}
	}
	if id, err = v.text("pushNotificationConfigId"); err != nil {
		return "", "", err
	}
	if id == "" && !absent(v["taskId"]) { // 1.0
		id, err = v.text("id")
	}
	if err == nil && taskID == "" {
		err = invalid("id is required")
	}
	return taskID, id, err
}

func (h *Handler) rpcPush(do func(ctx context.Context, x *exchange, v values, taskID, id string) (any, error)) func(context.Context, *exchange, json.RawMessage) (any, error) {
	return func(ctx context.Context, x *exchange, params json.RawMessage) (any, error) {
		v, err := valuesOf(params, "params", camel)
		if err != nil {
			return nil, err
		}
		taskID, id, err := v.pushIDs()
		if err != nil {
			return nil, err
		}
		return do(ctx, x, v, taskID, id)
	}
}

func (h *Handler) rpcPushSet(ctx context.Context, x *exchange, v values, taskID, _ string) (any, error) {
	raw := v.object()
	if x.line == line03 {
		raw = v["pushNotificationConfig"]
	}
	config, err := h.setPushConfig(ctx, x, taskID, raw)
	return x.line.pushConfig(config), err
}

func (h *Handler) rpcPushGet(ctx context.Context, x *exchange, _ values, taskID, id string) (any, error) {
	config, err := h.pushConfig(ctx, x, taskID, id)
	return x.line.pushConfig(config), err
}

func (h *Handler) rpcPushList(ctx context.Context, x *exchange, _ values, taskID, _ string) (any, error) {
	configs, err := h.pushConfigs(ctx, x, taskID)
	if err != nil {
		return nil, err
	}
	if x.line == line1 {
		return &a2a.ListTaskPushConfigResponse{Configs: configs}, nil
	}
	list := []any{}
	for _, config := range configs {
		list = append(list, a2av0.FromV1PushConfig(config))
	}
	return list, nil
}

func (h *Handler) rpcPushDelete(ctx context.Context, x *exchange, _ values, taskID, id string) (any, error) {
	return nil, h.deletePushConfig(ctx, x, taskID, id)
}

// pushConfig is a configuration as the line has it.
func (l line) pushConfig(config *a2a.PushConfig) any {
	if l == line03 && config != nil {
		return a2av0.FromV1PushConfig(config)
	}
	return config
}
