package coordinator

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/pg"
)

// Links to approvals are signed by a secret of the cluster, and stored nowhere. A link names the attempt that waits: as that takes one answer, the link
// counts once. It says which choices there were: another approval of the task is none of its business. Whoever changes the secrets of tokens
// (rotate-tokens) ends all links, once the old secret is gone.

// LinkOptions are about a link to an approval.
type LinkOptions struct {
	Name    string        // who it is for: the answer is by "link:NAME"; 1 to 100 characters
	Expires time.Duration // after which it does not count any more; 0: [LinkTime]; at most [MaxLinkTime]

	attempt int32 // as of [Approval]
}

// How long links count.
const (
	LinkTime    = 7 * 24 * time.Hour
	MaxLinkTime = 90 * 24 * time.Hour
)

const (
	maxLinkName  = 100
	maxLinkToken = 4 << 10
	// LinkPath is below which path of the HTTP listener links lie.
	LinkPath = "/approvals/"
	byLink   = "link:"
)

// ApprovalLink is a link to an approval.
type ApprovalLink struct {
	Token   string
	Path    string // of the HTTP listener
	URL     string // empty: the coordinator does not know by which name it is reached
	Expires time.Time
}

// LinkedApproval is what a link asks.
type LinkedApproval struct {
	TaskID, Name, Message string
	Choices               []string
	For                   string // the name of the link
	Since, Until          time.Time
	Expires               time.Time // of the link
	Choice                string    // with [Answerer.ApproveByLink]: what was answered
}

func (l *LinkedApproval) made() Details { return detail("task", l.TaskID, "by", byLink+l.For) }

// linkClaims are what a link says.
type linkClaims struct {
	Namespace string `json:"n"`
	Task      string `json:"t"`
	Attempt   int32  `json:"a"`
	Choices   []byte `json:"c"` // hash
	Expires   int64  `json:"e"` // seconds since 1970
	Name      string `json:"b"`
	Secret    int32  `json:"g"` // number of the generation
}

func choicesHash(choices []string) []byte {
	text, _ := json.Marshal(choices)
	sum := sha256.Sum256(text)
	return sum[:16]
}

// linkKey is the key of links of a generation of the cluster's secret.
func (c *Coordinator) linkKey(ctx context.Context, number int32, latest bool) (key []byte, found int32, err error) {
	if err := c.lookForSecrets(ctx, time.Now().Add(-secretsFresh)); err != nil {
		return nil, 0, unavailable(err)
	}
	s := &c.secrets
	s.mu.Lock()
	defer s.mu.Unlock()
	if latest {
		number = s.rows[len(s.rows)-1].Number
	}
	secret, ok := s.opened[number]
	if !ok {
		return nil, 0, ErrNotFound
	}
	key, err = hkdf.Key(sha256.New, secret, nil, "taskgrove: links to approvals", sha256.Size)
	return key, number, err
}

func signLink(key, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return mac.Sum(nil)
}

// ApprovalLink makes a link; see [Answerer].
func (c *Coordinator) ApprovalLink(ctx context.Context, taskID string, o LinkOptions) (*ApprovalLink, error) {
	if o.Expires == 0 {
		o.Expires = LinkTime
	}
	switch {
	case o.Name == "" || len([]rune(o.Name)) > maxLinkName || !dag.Storable(o.Name):
		return nil, &InvalidArgumentError{Field: "name", Reason: fmt.Sprintf("must be a text of 1 to %d characters: who the link is for", maxLinkName)}
	case o.Expires < time.Second || o.Expires > MaxLinkTime:
		return nil, &InvalidArgumentError{Field: "expires", Reason: fmt.Sprintf("must be from 1 s to %s", MaxLinkTime)}
	case !text(taskID):
		return nil, ErrNotFound
	}
	t, err := c.shownTask(ctx, taskID)
	if err != nil {
		return nil, c.internal("make a link", err)
	}
	w := t.Waiting
	if w == nil || w.Kind != dag.AwaitApproval || o.attempt != 0 && o.attempt != w.Attempt {
		if err := c.neverApproved(t); err != nil {
			return nil, err
		}
		return nil, &AnswerError{TaskID: taskID, State: t.State}
	}
	key, number, err := c.linkKey(ctx, 0, true)
	if err != nil {
		return nil, err
	}
	now, err := c.store.Clock(ctx)
	if err != nil {
		return nil, c.internal("make a link", err)
	}
	expires := now.Add(o.Expires).Truncate(time.Second)
	body, err := json.Marshal(linkClaims{c.namespace, taskID, w.Attempt, choicesHash(w.Rules().Choices), expires.Unix(), o.Name, number})
	if err != nil {
		return nil, err
	}
	token := base64.RawURLEncoding.EncodeToString(body) + "." + base64.RawURLEncoding.EncodeToString(signLink(key, body))
	out := &ApprovalLink{Token: token, Path: LinkPath + token, Expires: expires}
	if c.cfg.BaseURL != "" {
		out.URL = strings.TrimSuffix(c.cfg.BaseURL, "/") + out.Path
	}
	return out, nil
}

// openLink is what a token says, if it is one of ours and its time is not over.
func (c *Coordinator) openLink(ctx context.Context, token string) (*linkClaims, error) {
	head, tail, ok := strings.Cut(token, ".")
	if !ok || len(token) > maxLinkToken {
		return nil, ErrNotFound
	}
	body, err := base64.RawURLEncoding.Strict().DecodeString(head)
	mac, err2 := base64.RawURLEncoding.Strict().DecodeString(tail)
	claims := &linkClaims{}
	if errors.Join(err, err2) != nil || json.Unmarshal(body, claims) != nil {
		return nil, ErrNotFound
	}
	key, _, err := c.linkKey(ctx, claims.Secret, false)
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(mac, signLink(key, body)) {
		return nil, ErrNotFound
	}
	now, err := c.store.Clock(ctx)
	if err != nil {
		return nil, c.internal("open a link", err)
	}
	if now.Unix() >= claims.Expires {
		return nil, ErrNotFound
	}
	return claims, nil
}

// linked is the task that a link is about, as long as that waits for it.
func (c *Coordinator) linked(ctx context.Context, claims *linkClaims) (*LinkedApproval, error) {
	there := c.In(claims.Namespace).(*Coordinator)
	t, err := there.shownTask(ctx, claims.Task)
	if err != nil {
		return nil, c.internal("open a link", err)
	}
	w := t.Waiting
	if w == nil || w.Kind != dag.AwaitApproval || w.Attempt != claims.Attempt || string(choicesHash(w.Rules().Choices)) != string(claims.Choices) {
		before, err := c.store.AnsweredBy(ctx, t.Key, claims.Attempt)
		if err != nil {
			return nil, c.internal("open a link", err)
		}
		return nil, answerError(claims.Task, &pg.SignalResult{State: t.State, Before: before})
	}
	out := &LinkedApproval{TaskID: t.ID, Name: t.Name, Message: w.Rules().Message, Choices: w.Rules().Choices, For: claims.Name, Since: w.Since, Expires: time.Unix(claims.Expires, 0)}
	if w.Due != nil {
		out.Until = *w.Due
	}
	return out, nil
}

// LinkedApproval shows what a link asks; see [Answerer].
func (c *Coordinator) LinkedApproval(ctx context.Context, token string) (*LinkedApproval, error) {
	claims, err := c.openLink(ctx, token)
	if err != nil {
		return nil, err
	}
	return c.linked(ctx, claims)
}

// ApproveByLink answers what a link asks; see [Answerer].
func (c *Coordinator) ApproveByLink(ctx context.Context, token string, a Approval) (*LinkedApproval, error) {
	claims, err := c.openLink(ctx, token)
	if err != nil {
		return nil, err
	}
	out, err := c.linked(ctx, claims)
	if err != nil {
		return nil, err
	}
	if a.Payload != nil {
		return nil, &InvalidArgumentError{Field: "payload", Reason: "a link carries none"}
	}
	a.by, a.attempt = byLink+claims.Name, claims.Attempt
	if _, err := c.In(claims.Namespace).(*Coordinator).Approve(ctx, claims.Task, a); err != nil {
		return nil, err
	}
	out.Choice = a.Choice
	return out, nil
}
