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

// forms are who makes the bodies of notifications: the whole task, as the line has it.
var forms = map[line]string{line1: "a2a-1.0", line03: "a2a-0.3"}

// Forms make the bodies of push notifications, for [coordinator.WebhookConfig].
func (h *Handler) Forms(svc coordinator.Service) map[string]func(context.Context, *coordinator.Event) ([]byte, error) {
	out := map[string]func(context.Context, *coordinator.Event) ([]byte, error){}
	for l, name := range forms {
		out[name] = func(ctx context.Context, e *coordinator.Event) ([]byte, error) { return h.notification(ctx, svc, l, e) }
	}
	return out
}

// notification is the body that tells of an event of a tree: the newest task of A2A that it has, whole; nil: it has none.
func (h *Handler) notification(ctx context.Context, svc coordinator.Service, l line, e *coordinator.Event) ([]byte, error) {
	kept, err := svc.AgentTaskOf(ctx, e.TreeID)
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
	task := shown(kept, root, nil)
	if l == line03 {
		return encode(a2av0.FromV1Task(task)), nil
	}
	return encode(a2a.StreamResponse{Event: task}), nil
}

// pushConfigOf reads a configuration, in either line. headers and method are an extension (spec 6.5).
func pushConfigOf(raw json.RawMessage) (config *a2a.PushConfig, hook coordinator.Webhook, err error) {
	v, err := valuesOf(raw, "pushNotificationConfig", camel)
	if err != nil {
		return nil, hook, err
	}
	config = &a2a.PushConfig{}
	for name, to := range map[string]*string{"url": &config.URL, "id": &config.ID, "token": &config.Token, "method": &hook.Method} {
		if *to, err = v.text(name); err != nil {
			return nil, hook, err
		}
	}
	if config.URL == "" {
		return nil, hook, invalid("pushNotificationConfig.url is required")
	}
	hook.URL, hook.Headers = config.URL, map[string]string{}
	if given := v["headers"]; !absent(given) {
		if err := json.Unmarshal(given, &hook.Headers); err != nil {
			return nil, hook, invalid("pushNotificationConfig.headers must be an object of texts")
		}
	}
	if config.Token != "" {
		hook.Headers[headerToken] = config.Token
	}
	return config, hook, readAuthentication(v["authentication"], hook.Headers)
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
	headers["Authorization"] = strings.TrimSpace(scheme + " " + credentials)
	return nil
}

// pushes refuses notifications where nobody sends them.
func (h *Handler) pushes() error {
	if !h.cfg.Push {
		return fault(codeNoPush, "push notifications are not supported")
	}
	return nil
}

// maxConfigID bounds the id of a configuration, so that it fits into the name of a webhook.
const maxConfigID = 200

// hookName is what the webhook of a configuration is called within its tree, where each task of A2A has its own.
func hookName(taskID, configID string) string { return taskID + "/" + configID }

// attach has a webhook told of a task of A2A. Its configuration is shown without what is secret.
func (h *Handler) attach(ctx context.Context, x *exchange, kept *coordinator.AgentTask, raw json.RawMessage) (*a2a.PushConfig, error) {
	config, hook, err := pushConfigOf(raw)
	if err != nil {
		return nil, err
	}
	if config.ID == "" {
		config.ID = kept.ID
	}
	if len(config.ID) > maxConfigID {
		return nil, invalid("pushNotificationConfig.id must be at most %d bytes long", maxConfigID)
	}
	a := coordinator.Attachment{Webhook: hook, Name: hookName(kept.ID, config.ID), Form: forms[x.line]}
	if _, err := x.svc.Attach(ctx, kept.TaskID, a); err != nil {
		return nil, err
	}
	return &a2a.PushConfig{TaskID: a2a.TaskID(kept.ID), ID: config.ID, URL: config.URL}, nil
}

// setPushConfig answers tasks/pushNotificationConfig/set. A configuration that is there is replaced.
func (h *Handler) setPushConfig(ctx context.Context, x *exchange, taskID string, raw json.RawMessage) (*a2a.PushConfig, error) {
	kept, err := x.agentTask(ctx, taskID)
	if err != nil {
		return nil, err
	}
	config, _, err := pushConfigOf(raw)
	if err != nil {
		return nil, err
	}
	if config.ID == "" {
		config.ID = kept.ID
	}
	switch _, hook, err := h.hookOf(ctx, x, kept, config.ID); {
	case err == nil:
		if err := x.svc.DeleteWebhook(ctx, hook.ID); err != nil && !errors.Is(err, coordinator.ErrNotFound) {
			return nil, err
		}
	case !errors.Is(err, coordinator.ErrNotFound):
		return nil, err
	}
	return h.attach(ctx, x, kept, raw)
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
		err = x.svc.DeleteWebhook(ctx, hook.ID)
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
		if err := h.pushes(); err != nil {
			return nil, err
		}
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
