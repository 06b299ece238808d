package coordinator

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// Owners knows whose things are.
type Owners interface {
	// OwnerOf is the user who owns what a call names in a namespace: its task, its API key, or the tree of its webhook or of its task of the A2A protocol;
	// empty: nobody. [ErrNotFound], which takes no less and no more time than an answer.
	OwnerOf(ctx context.Context, namespace string, call Call) (userID string, err error)
	// ApproversOf are who may answer the approval that a task waits for, by its word: users and roles; none: it does not say, or waits for none. attempt is
	// the one that waits. [ErrNotFound].
	ApproversOf(ctx context.Context, namespace, taskID string) (approvers []string, attempt int32, err error)
}

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

// noNamespace is the key of no namespace.
const noNamespace dag.NamespaceKey = -1

// OwnerOf is whose something is; see [Owners].
func (c *Coordinator) OwnerOf(ctx context.Context, namespace string, call Call) (string, error) {
	name, find := call.ID, c.store.OwnerOf
	switch {
	case call.Webhook != "":
		name, find = call.Webhook, c.store.OwnerOfWebhook
	case call.APIKey != "":
		name, find = call.APIKey, func(ctx context.Context, _ dag.NamespaceKey, id string) (string, error) {
			return c.ownerOfAPIKey(ctx, namespace, id)
		}
	case call.Schedule != "":
		name, find = call.Schedule, c.store.OwnerOfSchedule
	case call.Flow != "":
		name, find = call.Flow, c.store.OwnerOfFlow
	case call.Bundle != "":
		name, find = call.Bundle, c.store.OwnerOfBundle
	case call.Profile != "":
		name, find = call.Profile, c.store.OwnerOfProfile
	case call.Run != "":
		name, find = call.Run, func(ctx context.Context, here dag.NamespaceKey, run string) (string, error) {
			return c.store.OwnerOfRun(ctx, here, run, call.UserID)
		}
	case call.AgentTask != "":
		name, find = call.AgentTask, c.store.OwnerOfAgentTask
	}
	if !text(name) {
		return "", ErrNotFound
	}
	here, err := c.spaces.key(ctx, namespace)
	if errors.Is(err, ErrNotFound) { // looked for all the same, as that takes its time
		here, err = noNamespace, nil
	}
	owner := ""
	if err == nil {
		owner, err = find(ctx, here, name)
	}
	if (call.Method == "ApplyFlow" || call.Method == "ApplyBundle") && errors.Is(err, pg.ErrNotFound) { // it is to be whose the call says
		return call.UserID, nil
	}
	if err != nil {
		return "", c.internal("look up whose something is", err)
	}
	return owner, nil
}
