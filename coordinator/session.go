package coordinator

import (
	"context"
	"errors"
	"time"

	"github.com/taskgrove/taskgrove/pg"
)

// maxSessions are how many sessions a user may have at once. A new one ends the oldest.
const maxSessions = 20

// BeginSession makes a session of a browser for somebody who has signed in. The text, which is the browser's alone, stands for what the caller's
// token said, until it ends.
func (c *Coordinator) BeginSession(ctx context.Context, who Caller, life time.Duration) (string, error) {
	secret := newKeyText(SessionPrefix)
	hash := keyHash(secret)
	ended, err := c.store.EndOldSessions(ctx, who.User, maxSessions-1)
	if err != nil {
		return "", c.internal("end old sessions", err)
	}
	for _, id := range ended {
		c.tellKey(id)
	}
	k := &pg.APIKey{ID: "session_" + newKeyID()[len("key_"):], Hash: hash[:], Session: true, Owner: who.User, Issuer: who.Issuer, Groups: who.Groups, Roles: roleTexts(who.Roles)}
	if err := c.store.AddAPIKey(ctx, k, life, maxSessions); err != nil {
		return "", c.internal("begin a session", err)
	}
	return secret, nil
}

// EndSession ends a session: within [KeyFresh], no coordinator believes it. One that has ended, or never was, changes nothing.
func (c *Coordinator) EndSession(ctx context.Context, secret string) error {
	hash := keyHash(secret)
	id, err := c.store.EndSession(ctx, hash[:])
	switch {
	case errors.Is(err, pg.ErrNotFound):
		return nil
	case err != nil:
		return c.internal("end a session", err)
	}
	c.tellKey(id)
	return nil
}
