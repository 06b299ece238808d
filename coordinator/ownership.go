package coordinator

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag"
)

// Owners knows whose tasks are.
type Owners interface {
	// OwnerOf is the owner of a task; empty: nobody. [ErrNotFound].
	OwnerOf(ctx context.Context, taskID string) (userID string, err error)
	// TreeOfWebhook is the tree whose execution a webhook is told of; empty: it is the cluster's. [ErrNotFound].
	TreeOfWebhook(ctx context.Context, id string) (treeID string, err error)
	// OwnerOfAPIKey is who calls with an API key. [ErrNotFound].
	OwnerOfAPIKey(ctx context.Context, id string) (userID string, err error)
}

// reach says what the policy of ownership looks at.
type reach uint8

const (
	reachTask  reach = iota + 1 // the owner of the task that the call names
	reachList                   // the owner that the call names, else only what is the caller's
	reachStore                  // the owner that the call names; what is stored becomes the caller's
	reachAll                    // nothing: who has said who it is may call
	reachAdmin                  // whether the caller is an admin
	reachHook                   // the owner of the task that the call names, or of the tree that the webhook is of; else as reachAdmin
	reachGrant                  // the owner that the call names, and whether the caller may give what it asks for
	reachKey                    // the owner of the API key that the call names
	reachOpen                   // nothing at all: processes ask for themselves
)

// Permission is the right to make some calls: "trees.read".
type Permission string

// method is what stands behind every call of a method of [Service].
type method struct {
	permission Permission
	reach      reach
	operation  string // what refusals call it (spec 5.6)
	changes    bool   // it may change something, so that the record has it
}

// methods are all methods of [Service].
var methods = map[string]method{
	"Submit":          {"trees.create", reachStore, "create tasks for", true},
	"Add":             {"trees.create", reachTask, "create tasks for", true},
	"Generate":        {"trees.create", reachStore, "generate tasks for", true},
	"Task":            {"trees.read", reachTask, "access", false},
	"Attempts":        {"trees.read", reachTask, "access", false},
	"Why":             {"trees.read", reachTask, "access", false},
	"Tree":            {"trees.read", reachTask, "access", false},
	"Watch":           {"trees.read", reachTask, "access", false},
	"Logs":            {"trees.read", reachTask, "access", false},
	"Tasks":           {"trees.read", reachList, "list tasks for", false},
	"Trees":           {"trees.read", reachList, "list tasks for", false},
	"Running":         {"trees.read", reachList, "count tasks for", false},
	"Usage":           {"trees.read", reachList, "access", false},
	"Resolve":         {"trees.read", reachList, "access", false},
	"Execute":         {"trees.execute", reachTask, "execute", true},
	"Cancel":          {"trees.cancel", reachTask, "cancel task for", true},
	"Update":          {"trees.update", reachTask, "update", true},
	"Delete":          {"trees.delete", reachTask, "delete", true},
	"Copy":            {"trees.copy", reachTask, "copy", true},
	"Executors":       {"executors.read", reachAll, "access", false},
	"Executor":        {"executors.read", reachAll, "access", false},
	"Workers":         {"cluster.read", reachAdmin, "manage workers", false},
	"Coordinators":    {"cluster.read", reachAdmin, "manage coordinators", false},
	"Pools":           {"cluster.read", reachAdmin, "manage pools", false},
	"Verify":          {"cluster.verify", reachAdmin, "verify the cluster", false},
	"Ready":           {"", reachOpen, "", false},
	"Attach":          {"webhooks.write", reachTask, "access", true},
	"CheckAttachment": {"webhooks.read", reachAll, "access", false},
	"ListWebhooks":    {"webhooks.read", reachHook, "manage webhooks of", false},
	"GetWebhook":      {"webhooks.read", reachHook, "manage webhooks of", false},
	"UpdateWebhook":   {"webhooks.write", reachHook, "manage webhooks of", true},
	"DeleteWebhook":   {"webhooks.write", reachHook, "manage webhooks of", true},
	"TestWebhook":     {"webhooks.write", reachHook, "manage webhooks of", true},
	"Deliveries":      {"webhooks.read", reachHook, "manage webhooks of", false},
	"CreateWebhook":   {"webhooks.write", reachAdmin, "manage webhooks", true},
	"Resend":          {"webhooks.write", reachAdmin, "manage webhooks", true},
	"KeepAgentTask":   {"trees.create", reachTask, "create tasks for", false},
	"DropAgentTask":   {"trees.create", reachTask, "create tasks for", false},
	"AgentTask":       {"trees.read", reachTask, "access", false},
	"AgentTaskOf":     {"trees.read", reachTask, "access", false},
	"AgentTasks":      {"trees.read", reachList, "list tasks for", false},
	"SetModelKey":     {"modelkeys.write", reachList, "set LLM key for", true},
	"ModelKeys":       {"modelkeys.read", reachList, "get LLM key for", false},
	"CreateAPIKey":    {PermissionKeys, reachGrant, "create API keys for", true},
	"APIKeys":         {"keys.read", reachList, "list API keys of", false},
	"RevokeAPIKey":    {PermissionKeys, reachKey, "revoke API keys of", true},
	"RotateAPIKey":    {PermissionKeys, reachKey, "rotate API keys of", true},
	"DeleteModelKey":  {"modelkeys.write", reachList, "delete LLM key for", true},
}

// OwnOnly is the policy of spec 5.6: who has said who it is may do what it likes to its own tasks and to those of nobody, and an admin to all.
// Lists without an owner show what is the caller's, and all to an admin. What looks after the cluster itself is for admins. Whoever has not said
// who it is may do nothing.
func OwnOnly(owners Owners) Policy {
	return func(ctx context.Context, caller Caller, call Call) (Grant, error) {
		how, known := methods[call.Method]
		switch {
		case how.reach == reachOpen:
			return Grant{}, nil
		case caller.User == "":
			return Grant{}, ErrUnauthenticated
		case !known:
			return Grant{}, &DeniedError{User: caller.User, Operation: call.Method}
		case how.reach == reachAll:
			return Grant{}, nil
		case caller.Admin && (how.reach == reachAdmin || how.reach == reachHook):
			return Grant{}, nil
		case how.reach == reachHook && call.Webhook != "":
			var err error
			if call.ID, err = owners.TreeOfWebhook(ctx, call.Webhook); err != nil {
				return Grant{}, err
			}
		}
		if how.reach == reachAdmin || how.reach == reachHook && call.ID == "" {
			return Grant{}, &DeniedError{User: caller.User, Operation: how.operation}
		}
		owner := call.UserID
		var err error
		switch {
		case call.ID != "":
			owner, err = owners.OwnerOf(ctx, call.ID)
		case call.APIKey != "":
			owner, err = owners.OwnerOfAPIKey(ctx, call.APIKey)
		}
		if err != nil {
			return Grant{}, err
		}
		if owner != "" && owner != caller.User && !caller.Admin {
			return Grant{}, &DeniedError{User: caller.User, Operation: how.operation, Owner: owner}
		}
		if grant, may := mayGrant(caller, ownRoles(caller), call); !may && (how.reach == reachGrant || call.Method == "RotateAPIKey") {
			return Grant{}, &DeniedError{User: caller.User, Operation: how.operation}
		} else if how.reach == reachGrant {
			return grant, nil
		}
		return how.reach.grant(caller, call), nil
	}
}

// grant is how far a call that is allowed reaches.
func (r reach) grant(caller Caller, call Call) Grant {
	switch {
	case r == reachStore, call.Method == "Add", call.Method == "Copy":
		return Grant{UserID: caller.User}
	case r == reachList && call.ID == "" && !caller.Admin:
		return Grant{UserID: caller.User}
	}
	return Grant{}
}

// DeniedError says why a caller may not do something. It is an [ErrDenied]. Its text is safe to show.
type DeniedError struct {
	User      string // who
	Operation string // as spec 5.6 calls it
	Owner     string // whose what it asked for is; empty: the cluster itself was asked for
}

// Error is the protocol's text (spec 5.6).
func (e *DeniedError) Error() string {
	if e.Owner == "" {
		return fmt.Sprintf("Permission denied: User %s can't %s, which is for admins", e.User, strings.TrimSuffix(e.Operation, " of"))
	}
	return fmt.Sprintf("Permission denied: User %s can only %s their own resources, not user %s's resources", e.User, e.Operation, e.Owner)
}

// Unwrap makes it an [ErrDenied].
func (e *DeniedError) Unwrap() error { return ErrDenied }

// owned are the tasks of a submission with the owner that they get in place of the one that they name (spec 2.2). The one that they name must be
// one for which the caller may make the call; it is asked for when all have been read, and before anything is stored.
func (g *guarded) owned(ctx context.Context, call Call, owner string, tasks iter.Seq2[*dag.Task, error]) iter.Seq2[*dag.Task, error] {
	return func(yield func(*dag.Task, error) bool) {
		var named dag.Owners
		for t, err := range tasks {
			if t != nil && t.UserID != "" {
				named.Add(t.UserID)
				one := *t
				one.UserID = owner
				t = &one
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
		if fault := named.Fault(); fault != "" {
			yield(nil, &dag.InvalidTreeError{Problems: []*dag.InvalidTaskError{{Code: dag.WrongOwner, Index: -1, Reason: fault}}})
			return
		}
		if len(named) == 1 {
			call.UserID = named[0]
			if _, err := g.policy(ctx, g.caller, call); err != nil {
				yield(nil, err)
			}
		}
	}
}

// keyOfOwner is the idempotency key under which an owner's submission is kept: users do not share theirs. One that can't be kept stays, to be
// refused.
func keyOfOwner(owner, key string) string {
	if key == "" || utf8.RuneCountInString(key) > 255 || !text(key) {
		return key
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", len(owner), owner, key))
	return "user:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// TreeOfWebhook is the tree that a webhook is of; see [Owners].
func (c *Coordinator) TreeOfWebhook(ctx context.Context, id string) (string, error) {
	info, err := c.GetWebhook(ctx, id)
	if err != nil {
		return "", err
	}
	return info.TreeID, nil
}

// OwnerOf is whose a task is; see [Owners].
func (c *Coordinator) OwnerOf(ctx context.Context, taskID string) (string, error) {
	if !text(taskID) {
		return "", ErrNotFound
	}
	owner, err := c.store.OwnerOf(ctx, taskID)
	if errors.Is(err, ErrNotFound) {
		return "", err
	}
	if err != nil {
		return "", c.internal("look up the owner of a task", err)
	}
	return owner, nil
}

// ownRoles are the roles of a caller where policies know only users and admins.
func ownRoles(caller Caller) []RoleIn {
	if caller.Admin {
		return append([]RoleIn{{Role: "admin", Namespace: AllNamespaces}}, caller.Roles...)
	}
	return caller.Roles
}
