package coordinator

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/dag/scheduledoc"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/rawjson"
	"github.com/taskgrove/taskgrove/pg"
)

// Calls of the webhooks of schedules are signed as Standard Webhooks say: HMAC-SHA256 of "id.timestamp.body" under a secret of the schedule. Whoever has no such secret learns nothing, not even
// whether there is a schedule. What is taken is a run, which has the id of the call as its cause: a second call with that id finds it. Both are one row, so that no crash comes between.

// Bounds of calls of webhooks.
const (
	// TriggerPath is below which path of the HTTP listener webhooks of schedules lie: namespace and schedule follow.
	TriggerPath = "/triggers/"
	// MaxEventBytes is the most that the body of a call may have.
	MaxEventBytes = 256 << 10
	// EventRetryAfter is when a call may be tried again for which there was no room.
	EventRetryAfter = 10 * time.Second

	maxEventID        = 200 // bytes
	maxEventSignature = 4 << 10
	maxEventsOpen     = 1000 // runs of a schedule that have not ended, beyond which no further event is taken
	eventTries        = 5    // of one call, while the schedule is changed

	// DefaultSecretKeep is how long the secret before counts, unless it is said.
	DefaultSecretKeep = 24 * time.Hour
	// MaxSecretKeep is the most that it may.
	MaxSecretKeep = 30 * 24 * time.Hour
)

// ErrUnsigned says that a call is not signed with a secret of a webhook, or that there is no such webhook: whoever has no secret is not told which.
var ErrUnsigned = errors.New("the call is not signed with a secret of this webhook, or there is no such webhook")

// ErrEventsWait says that as many runs of a schedule wait, or are open, as may be. The caller may try again after [EventRetryAfter].
var ErrEventsWait = errors.New("too many runs of the schedule have not ended")

// ScheduleEvent is a call of a schedule's webhook, as it came.
type ScheduleEvent struct {
	Namespace, Schedule string
	ID                  string // header webhook-id: of several calls with it, the first counts
	Timestamp           string // header webhook-timestamp: seconds since 1970
	Signature           string // header webhook-signature: "v1,…", or several with spaces between
	Body                []byte // at most [MaxEventBytes]
}

// SecretRenewal asks for another secret of a schedule's webhook.
type SecretRenewal struct {
	ID     string        // of the schedule
	Secret string        // "whsec_…", as whoever calls has it; empty: a new one is made
	Keep   time.Duration // how long the secret before counts as well; at most [MaxSecretKeep]
}

// ScheduleSecret is the newest secret of a schedule's webhook. It is shown once.
type ScheduleSecret struct {
	Secret string // empty: the caller has it
	Path   string // of the HTTP listener
	URL    string // empty: the coordinator does not know by which name it is reached
	At     time.Time
	Until  time.Time // until when the secret before counts as well; zero: there is none that does
}

// RenewScheduleSecret needs the permission to change the schedule.
func (g *guarded) RenewScheduleSecret(ctx context.Context, r SecretRenewal) (*ScheduleSecret, error) {
	return ask(ctx, g, scheduleCall("RenewScheduleSecret", r.ID, detail("keep", r.Keep.String())), func() (*ScheduleSecret, error) { return g.next.RenewScheduleSecret(ctx, r) })
}

// TakeEvent needs no permission: the signature is one.
func (g *guarded) TakeEvent(ctx context.Context, e ScheduleEvent) (*ScheduleRun, error) {
	return ask(ctx, g, Call{Method: "TakeEvent"}, func() (*ScheduleRun, error) { return g.next.TakeEvent(ctx, e) })
}

// Check refuses what can't be asked for, with all that is wrong in one *[InvalidArgumentError] that shows nothing of a secret.
func (r SecretRenewal) Check() error {
	var faults faultList
	if r.Secret != "" {
		if _, err := signingKey(r.Secret); err != nil {
			faults.add("secret", "%v", err)
		}
	}
	if r.Keep < 0 || r.Keep > MaxSecretKeep {
		faults.add("keep", "must be from 0 seconds to %d days", MaxSecretKeep/(24*time.Hour))
	}
	return faults.err()
}

// PathOfTrigger is the path of a schedule's webhook.
func PathOfTrigger(namespace, schedule string) string {
	return TriggerPath + url.PathEscape(namespace) + "/" + url.PathEscape(schedule)
}

// triggerURL is where a schedule's webhook is called; empty: nobody has said by which name this coordinator is reached.
func (c *Coordinator) triggerURL(path string) string {
	if c.cfg.BaseURL == "" {
		return ""
	}
	return strings.TrimSuffix(c.cfg.BaseURL, "/") + path
}

// secretOwner binds sealed secrets to their schedule.
func secretOwner(schedule int64) string { return "schedule/" + strconv.FormatInt(schedule, 10) }

// RenewScheduleSecret gives a schedule's webhook another secret; see [Scheduler].
func (c *Coordinator) RenewScheduleSecret(ctx context.Context, r SecretRenewal) (*ScheduleSecret, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if !text(r.ID) {
		return nil, ErrNotFound
	}
	here, err := c.here(ctx)
	if err != nil {
		return nil, err
	}
	secret := r.Secret
	if secret == "" {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // it never fails
		secret = secretPrefix + base64.StdEncoding.EncodeToString(key)
	}
	for try := 1; ; try++ {
		out, err := c.renewSecret(ctx, here, r, secret)
		if errors.Is(err, pg.ErrChanged) && try < eventTries {
			continue
		}
		if err != nil {
			return nil, c.scheduleError("renew the secret of a schedule", err)
		}
		if r.Secret == "" {
			out.Secret = secret
		}
		return out, nil
	}
}

func (c *Coordinator) renewSecret(ctx context.Context, here dag.NamespaceKey, r SecretRenewal, secret string) (*ScheduleSecret, error) {
	was, err := c.store.SecretsOfSchedule(ctx, here, r.ID)
	if err != nil {
		return nil, err
	}
	spec, err := scheduledoc.ReadStored(r.ID, was.Spec)
	if err != nil {
		return nil, err
	}
	if spec.On == nil || spec.On.Webhook == nil {
		return nil, fmt.Errorf("%w: the schedule has no webhook: on: {webhook: {}} gives it one", ErrConflict)
	}
	seals := c.webhooks.seals
	if !seals.can() {
		return nil, &InvalidArgumentError{Field: "secret", Reason: "can't be stored, as there is no key to seal it with: set TASKGROVE_SEAL_KEY or TASKGROVE_SEAL_KEY_FILE"}
	}
	secrets := []string{secret}
	if r.Keep > 0 && was.Sealed != nil {
		before, err := c.openSecrets(ctx, was.Schedule, was.Sealed)
		if err != nil {
			return nil, err
		}
		if len(before) > 0 && before[0] != secret {
			secrets = append(secrets, before[0])
		}
	}
	plain, err := json.Marshal(secrets)
	if err != nil {
		return nil, err
	}
	envelope, err := seals.seal(ctx, plain, secretOwner(was.Schedule))
	if err != nil {
		return nil, err
	}
	keep := r.Keep
	if len(secrets) == 1 {
		keep = 0
	}
	at, until, err := c.store.RenewSecrets(ctx, was, envelope, keep)
	if err != nil {
		return nil, err
	}
	failpoint.Hit("coordinator.after-schedule-secret")
	path := PathOfTrigger(c.namespace, r.ID)
	out := &ScheduleSecret{Path: path, URL: c.triggerURL(path), At: at}
	if until != nil {
		out.Until = *until
	}
	return out, nil
}

// openSecrets are the secrets of a schedule, the newest first.
func (c *Coordinator) openSecrets(ctx context.Context, schedule int64, envelope []byte) (secrets []string, err error) {
	plain, err := c.webhooks.seals.open(ctx, envelope, secretOwner(schedule))
	if err != nil {
		return nil, fmt.Errorf("open secrets of a schedule: %w", err)
	}
	if err := json.Unmarshal(plain, &secrets); err != nil {
		return nil, errors.New("secrets of a schedule can't be read") // the text would show them
	}
	return secrets, nil
}

// Check refuses what is no signed call, whatever is called, with all that is wrong in one *[InvalidArgumentError] that names the headers. Those that were there several times are told as such.
func (e *ScheduleEvent) Check(twice ...string) error {
	var faults faultList
	for _, of := range []struct {
		header, value string
		reason        string // empty: it is as it must be
	}{
		{"webhook-id", e.ID, idFault(e.ID)},
		{"webhook-timestamp", e.Timestamp, timeFault(e)},
		{"webhook-signature", e.Signature, signatureFault(e.Signature)},
	} {
		switch {
		case slices.Contains(twice, of.header):
			faults.add(of.header, "must be there once")
		case of.value == "":
			faults.add(of.header, "is required: calls are signed as Standard Webhooks say")
		case of.reason != "":
			faults.add(of.header, "%s", of.reason)
		}
	}
	if len(e.Body) > MaxEventBytes {
		faults.add("body", "must be at most %d bytes", MaxEventBytes)
	}
	return faults.err()
}

func idFault(id string) string {
	if len(id) > maxEventID || !visible(id) {
		return fmt.Sprintf("must be at most %d visible ASCII characters", maxEventID)
	}
	return ""
}

func timeFault(e *ScheduleEvent) string {
	if _, err := e.time(); err != nil {
		return "must be whole seconds since 1970"
	}
	return ""
}

func signatureFault(signature string) string {
	if len(signature) > maxEventSignature {
		return fmt.Sprintf("must be at most %d bytes", maxEventSignature)
	}
	return ""
}

// visible reports whether a text is of visible ASCII.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// time is when the call says that it was made.
func (e *ScheduleEvent) time() (time.Time, error) {
	seconds, err := strconv.ParseUint(e.Timestamp, 10, 36) // the years up to 4147
	return time.Unix(int64(seconds), 0), err
}

// signedWith reports whether the call is signed with one of the keys. How long it takes tells nothing of them.
func (e *ScheduleEvent) signedWith(keys [][]byte) bool {
	signed := false
	for _, key := range keys {
		want, _ := strings.CutPrefix(signatures([][]byte{key}, e.ID, e.Timestamp, e.Body), "v1,")
		mac, _ := base64.StdEncoding.DecodeString(want)
		for one := range strings.FieldsSeq(e.Signature) {
			encoded, ours := strings.CutPrefix(one, "v1,")
			given, err := base64.StdEncoding.DecodeString(encoded)
			if ours && err == nil && hmac.Equal(given, mac) {
				signed = true
			}
		}
	}
	return signed
}

// untimely is why a call that is signed is too old, or comes too early; nil: it is not.
func (e *ScheduleEvent) untimely(now time.Time, tolerance time.Duration) error {
	at, err := e.time()
	if err != nil {
		return err
	}
	now = now.Truncate(time.Second)
	switch {
	case now.Sub(at) > tolerance:
		return &InvalidArgumentError{Field: "webhook-timestamp", Reason: fmt.Sprintf("is more than %s ago: sign the call anew", tolerance)}
	case at.Sub(now) > tolerance:
		return &InvalidArgumentError{Field: "webhook-timestamp", Reason: fmt.Sprintf("is more than %s ahead: look after the clock of whoever signs", tolerance)}
	}
	return nil
}

// strangersKey signs for calls of what is not there, so that these take as long.
var strangersKey = make([]byte, 32)

// verified is the schedule of a call that is signed, and in time. [ErrUnsigned].
func (c *Coordinator) verified(ctx context.Context, here dag.NamespaceKey, e *ScheduleEvent) (*pg.CalledSchedule, *scheduledoc.Webhook, error) {
	called, err := c.store.CalledSchedule(ctx, here, e.Schedule)
	if errors.Is(err, pg.ErrNotFound) {
		e.signedWith([][]byte{strangersKey})
		return nil, nil, ErrUnsigned
	}
	if err != nil {
		return nil, nil, c.internal("look for a webhook", err)
	}
	spec, err := scheduledoc.ReadStored(e.Schedule, called.Spec)
	if err != nil {
		return nil, nil, err
	}
	if spec.On == nil || spec.On.Webhook == nil || called.Secrets == nil {
		e.signedWith([][]byte{strangersKey})
		return nil, nil, ErrUnsigned
	}
	secrets, err := c.openSecrets(ctx, called.Key, called.Secrets)
	if err != nil {
		return nil, nil, c.internal("verify a call of a webhook", err)
	}
	var keys [][]byte
	for i, secret := range secrets {
		if key, err := signingKey(secret); err == nil && (i == 0 || called.Before) {
			keys = append(keys, key)
		}
	}
	if !e.signedWith(keys) {
		return nil, nil, ErrUnsigned
	}
	return called, spec.On.Webhook, e.untimely(called.Now, spec.On.Webhook.ToleranceOf())
}

// TakeEvent takes a call of a schedule's webhook; see [Scheduler].
func (c *Coordinator) TakeEvent(ctx context.Context, e ScheduleEvent) (*ScheduleRun, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	there, ok := c.In(e.Namespace).(*Coordinator)
	if !ok || !text(e.Schedule) || !text(e.Namespace) {
		e.signedWith([][]byte{strangersKey})
		return nil, ErrUnsigned
	}
	here, err := there.here(ctx)
	if errors.Is(err, ErrNotFound) || isA[*InvalidArgumentError](err) {
		e.signedWith([][]byte{strangersKey})
		return nil, ErrUnsigned
	}
	if err != nil {
		return nil, err
	}
	called, webhook, err := there.verified(ctx, here, &e)
	if err != nil {
		return nil, err
	}
	failpoint.Hit("coordinator.after-event-verified")
	parameters, err := payloadOf(webhook, e.Body)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		run, err := there.takeEvent(ctx, here, called.Key, &e, parameters)
		switch {
		case errors.Is(err, pg.ErrChanged) && try < eventTries:
			continue
		case errors.Is(err, pg.ErrNotFound): // it is gone since
			return nil, ErrUnsigned
		case errors.Is(err, ErrEventsWait):
			return nil, err
		case err != nil:
			return nil, there.scheduleError("take an event", err)
		}
		failpoint.Hit("coordinator.after-event-commit")
		wake(c.wakeSchedules)
		wake(c.wakeFollowups)
		return showRun(e.Schedule, run), nil
	}
}

// payloadOf are the parameters that the body of a call gives. *[InvalidArgumentError].
func payloadOf(webhook *scheduledoc.Webhook, body []byte) (json.RawMessage, error) {
	storable := rawjson.Storable(body, 0)
	if storable == nil {
		return nil, &InvalidArgumentError{Field: "body", Reason: fmt.Sprintf("must be JSON, nested no deeper than %d levels", rawjson.MaxDepth)}
	}
	if err := rawjson.CheckNames(storable); err != nil {
		return nil, &InvalidArgumentError{Field: "body", Reason: cut(clean(err.Error()))}
	}
	parameters, fault := webhook.Pick(storable)
	if fault.Reason != "" {
		return nil, &InvalidArgumentError{Field: fault.Field, Reason: fault.Reason}
	}
	var members map[string]any
	if err := json.Unmarshal(parameters, &members); err != nil { // it is JSON
		return nil, &InvalidArgumentError{Field: "body", Reason: "has a number that is too large to be one of a task"}
	}
	if namesSecret(members) {
		return nil, &InvalidArgumentError{Field: "body", Reason: "a value names a secret, which only the tree may"}
	}
	return parameters, nil
}

// takeEvent stores the run of a call, or finds it.
func (c *Coordinator) takeEvent(ctx context.Context, here dag.NamespaceKey, key int64, e *ScheduleEvent, parameters json.RawMessage) (*pg.Fire, error) {
	of, err := c.store.Schedule(ctx, here, e.Schedule)
	if err != nil {
		return nil, err
	}
	if of.Key != key { // another one of that id
		return nil, pg.ErrNotFound
	}
	cause := "webhook " + e.ID
	spec, err := scheduledoc.ReadStored(of.ID, of.Spec)
	if err != nil {
		return nil, err
	}
	flow, err := c.scheduledFlow(ctx, here, spec)
	if err != nil {
		return nil, err
	}
	return c.store.TakeEvent(ctx, key, of.Revision, pg.Fire{Kind: dag.FireEvent, Cause: cause}, func(f *pg.ScheduleFacts) (out pg.ScheduleDecision, err error) {
		if f.Of.PausedAt != nil {
			return out, fmt.Errorf("%w: the schedule is paused", ErrConflict)
		}
		rules, err := rulesOf(of)
		if err != nil {
			return out, err
		}
		state := stateOf(f, rules)
		if len(state.Waiting) >= dag.MaxWaitingRuns || len(f.Open) >= maxEventsOpen {
			return out, ErrEventsWait
		}
		if err := c.checkRunParameters(ctx, &pg.ScheduleFacts{Now: f.Now, Of: of}, dag.FireEvent, parameters, flow); err != nil {
			return out, err
		}
		d := state.Event(f.Now)
		out = decisionOf(&d)
		for i := range out.New {
			if one := &out.New[i]; one.Kind == dag.FireEvent {
				one.Cause, one.Parameters, one.IntervalStart = cause, parameters, &f.Now
			}
		}
		return out, nil
	})
}
