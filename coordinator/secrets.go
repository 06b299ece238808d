package coordinator

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/attemptkey"
	"github.com/taskgrove/taskgrove/internal/failpoint"
	"github.com/taskgrove/taskgrove/internal/modelkey"
	"github.com/taskgrove/taskgrove/internal/sealed"
	"github.com/taskgrove/taskgrove/internal/workers"
	"github.com/taskgrove/taskgrove/pg"
)

// The tokens of attempts, and the keys under which their values travel, are made of one secret of the cluster, which changes: Postgres keeps its
// generations. A coordinator that meets a later generation than it knows looks it up, so that nothing is refused in between. An old one proves
// until no attempt is open that was claimed with it, however long that runs, and is kept for another while, to open logs.
//
// Where the cluster seals values at rest, a generation's secret is sealed, too. Values travel sealed while the current one is.

const (
	secretsTopic = "secrets"
	secretsEvery = 10 * time.Second
	secretsFresh = 30 * time.Second       // from then on nothing is granted or offered before another look
	lookPause    = 250 * time.Millisecond // between looks for generations that are not known
	retireEvery  = time.Minute
	// claimsFor is how long messages with old tokens may be claimed; what comes later is offered again.
	claimsFor = 10 * time.Minute
)

var secretUse = sealed.Use{Namespace: sealed.Cluster, Kind: "secret of tokens"}

// secrets are the generations as a coordinator knows them.
type secrets struct {
	mu      sync.Mutex // one look at a time
	looked  time.Time  // when the last one began that succeeded
	rows    []pg.TokenSecret
	opened  map[int32][]byte  // by number
	circles []modelkey.Circle // the current one first
	sealed  bool              // the current one
}

// firstSecrets are those of a cluster whose secret has never changed, until the first look.
func firstSecrets(secret []byte) secrets {
	return secrets{
		rows: []pg.TokenSecret{{Secret: secret, Claims: true, Proves: true}}, opened: map[int32][]byte{0: secret}, circles: []modelkey.Circle{modelkey.NewCircle(secret)},
	}
}

// lookForSecrets reads the generations anew, unless that was done since a time.
func (c *Coordinator) lookForSecrets(ctx context.Context, since time.Time) error {
	s := &c.secrets
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looked.After(since) {
		return nil
	}
	begin := time.Now()
	rows, err := c.store.TokenSecrets(ctx, claimsFor)
	if err != nil {
		return err
	}
	if err := c.takeSecrets(ctx, rows); err != nil {
		return err
	}
	s.looked = begin
	return nil
}

// takeSecrets opens generations and uses them. The caller holds mu.
func (c *Coordinator) takeSecrets(ctx context.Context, rows []pg.TokenSecret) error {
	s := &c.secrets
	if len(rows) == 0 {
		return errors.New("there is no secret of tokens")
	}
	if slices.EqualFunc(rows, s.rows, func(a, b pg.TokenSecret) bool {
		return a.Number == b.Number && a.Sealed == b.Sealed && a.Claims == b.Claims && a.Proves == b.Proves
	}) {
		return nil
	}
	opened := make(map[int32][]byte, len(rows))
	var list []workers.Generation
	var circles []modelkey.Circle
	for _, r := range rows {
		plain, err := c.openSecret(ctx, &r)
		if err != nil && r.Proves {
			return fmt.Errorf("open the secret of tokens of generation %d: %w", r.Number, err)
		}
		if err != nil {
			c.log.Warn("logs that are sealed with an old secret can't be read", "generation", r.Number, "error", err)
			continue
		}
		opened[r.Number] = plain
		list = append(list, workers.Generation{Number: uint32(r.Number), Secret: plain, Claims: r.Claims, Proves: r.Proves})
		if r.Proves {
			circles = append([]modelkey.Circle{modelkey.NewCircle(plain)}, circles...)
		}
	}
	s.rows, s.opened, s.circles, s.sealed = rows, opened, circles, rows[len(rows)-1].Sealed
	c.tokens.Use(list)
	c.sealing.Store(s.sealed)
	return nil
}

func (c *Coordinator) openSecret(ctx context.Context, r *pg.TokenSecret) ([]byte, error) {
	switch plain, known := c.secrets.opened[r.Number]; {
	case known:
		return plain, nil
	case !r.Sealed:
		return r.Secret, nil
	case !c.keyring.Can():
		return nil, fmt.Errorf("%w: it is sealed, and this coordinator has none: set TASKGROVE_SEAL_KEY_FILE as for the others", sealed.ErrNoKey)
	}
	return c.keyring.Open(ctx, secretUse, r.Secret)
}

// checkSecrets looks whether this coordinator can open what tokens are made of. The error is or wraps [sealed.ErrNoKey] or [sealed.ErrAway].
func (c *Coordinator) checkSecrets(ctx context.Context) error {
	err := c.lookForSecrets(ctx, time.Now())
	if err == nil || errors.Is(err, sealed.ErrNoKey) || errors.Is(err, sealed.ErrChanged) {
		return err
	}
	return fmt.Errorf("%w: %w", sealed.ErrAway, err)
}

// freshSecrets sees to it that nothing is offered or granted with a secret that may have been superseded long ago: the process may have been
// frozen.
func (c *Coordinator) freshSecrets(ctx context.Context) error {
	return c.lookForSecrets(ctx, time.Now().Add(-secretsFresh))
}

// proof says what a token proves. A generation that is not known is looked up; unknown then means that nobody could say.
func (c *Coordinator) proof(ctx context.Context, k dag.Key, attempt int32, token []byte) workers.Proof {
	p := c.tokens.Check(k, attempt, token)
	switch {
	case p != workers.Unknown:
		return p
	case c.store == nil: // as in tests that only decode: there are no others
		return workers.Forged
	}
	asked := time.Now()
	if c.lookForSecrets(ctx, asked.Add(-lookPause)) != nil {
		return p
	}
	p = c.tokens.Check(k, attempt, token)
	if p != workers.Unknown {
		return p
	}
	c.secrets.mu.Lock()
	defer c.secrets.mu.Unlock()
	if c.secrets.looked.Before(asked) { // it may have begun since
		return p
	}
	return workers.Forged
}

// proves reports whether a token is that of the attempt.
func (c *Coordinator) proves(ctx context.Context, k dag.Key, attempt int32, token []byte) bool {
	return c.proof(ctx, k, attempt, token) == workers.Proved
}

// runSecrets keeps the generations known, and brings about those that are due.
func (c *Coordinator) runSecrets(ctx context.Context) error {
	heard, err := c.queue.SubscribeEvents(ctx, secretsTopic, 16)
	if err != nil {
		return err
	}
	var retired time.Time
	for {
		if err := c.keepSecrets(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("the secret of tokens is not as it should be", "error", err)
		}
		if time.Since(retired) > retireEvery {
			retired = time.Now()
			c.retireSecrets(ctx)
		}
		select {
		case _, ok := <-heard:
			if !ok {
				return ctx.Err()
			}
		case <-time.After(secretsEvery - rand.N(secretsEvery/4)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// keepSecrets looks, and begins another generation if the current one is not sealed as it should be.
func (c *Coordinator) keepSecrets(ctx context.Context) error {
	if err := c.lookForSecrets(ctx, time.Now()); err != nil {
		return err
	}
	c.secrets.mu.Lock()
	current := c.secrets.rows[len(c.secrets.rows)-1]
	c.secrets.mu.Unlock()
	due, err := c.secretDue(ctx, &current)
	if due {
		_, err = c.nextSecret(ctx, current.Number)
	}
	return err
}

// wantsSealing reports whether values are to be sealed.
func (c *Coordinator) wantsSealing() bool { return c.cfg.Seal.Values && c.keyring.Can() }

// secretDue reports whether another generation is due: the current one is to be sealed and is not, or its data key was rotated.
func (c *Coordinator) secretDue(ctx context.Context, current *pg.TokenSecret) (bool, error) {
	if !c.wantsSealing() || !current.Sealed {
		return c.wantsSealing(), nil
	}
	under, err := sealed.Number(current.Secret)
	if err != nil {
		return false, err
	}
	now, _, err := c.keyring.Derived(ctx, sealed.LabelMessages)
	return err == nil && now != under, err
}

// isLevel reports whether an older process has to end first.
func isLevel(err error) bool {
	_, ok := errors.AsType[*dag.LevelError](err)
	return ok
}

// RotateTokens begins another generation of the secret that tokens and keys of attempts are made of, and gives its number. Attempts that run are
// not disturbed. *[dag.LevelError] while a live process does not know generations.
func (c *Coordinator) RotateTokens(ctx context.Context) (int, error) {
	if err := c.lookForSecrets(ctx, time.Now()); err != nil {
		return 0, c.internal("read the secrets of tokens", err)
	}
	c.secrets.mu.Lock()
	latest := c.secrets.rows[len(c.secrets.rows)-1].Number
	c.secrets.mu.Unlock()
	added, err := c.nextSecret(ctx, latest)
	if err != nil {
		return 0, err
	}
	if !added {
		return 0, fmt.Errorf("%w: another one has just begun, or %d generations are in use by attempts that run", ErrUnavailable, pg.MaxTokenSecrets)
	}
	return int(latest) + 1, nil
}

// nextSecret begins the generation after the latest, and tells the others. It reports false when another process was faster.
func (c *Coordinator) nextSecret(ctx context.Context, latest int32) (bool, error) {
	secret := make([]byte, 32)
	_, _ = crand.Read(secret) // never fails
	seals := c.wantsSealing()
	if seals {
		var err error
		if secret, err = c.keyring.Seal(ctx, secretUse, secret); err != nil {
			return false, fmt.Errorf("seal a secret of tokens: %w", err)
		}
	}
	added, err := c.store.AddTokenSecret(ctx, latest, secret, seals)
	if err != nil {
		return false, err
	}
	if added {
		failpoint.Hit("coordinator.after-secret-commit")
		c.log.Info("the secret of tokens has changed", "generation", latest+1, "sealed", seals)
	}
	err = c.lookForSecrets(ctx, time.Now())
	_ = c.queue.PublishEvent(secretsTopic, nil) // the others look by themselves, too
	return added, err
}

// retireSecrets retires what proves for nobody any more, and forgets what opens no log any more.
func (c *Coordinator) retireSecrets(ctx context.Context) {
	n, err := c.store.RetireTokenSecrets(ctx, claimsFor)
	if err == nil {
		err = c.store.ForgetTokenSecrets(ctx, c.queue.LogsAge()+time.Hour)
	}
	switch {
	case err != nil && ctx.Err() == nil:
		c.log.Warn("old secrets of tokens could not be retired", "error", err)
	case n > 0:
		c.log.Info("old secrets of tokens prove nothing any more", "generations", n)
	}
}

// seals reports whether values travel sealed.
func (c *Coordinator) seals() bool { return c.sealing.Load() }

// keyFor is what a worker gets with a grant of an attempt; nil: the cluster does not seal.
func (c *Coordinator) keyFor(k dag.Key, attempt int32, token []byte) []byte {
	if !c.seals() {
		return nil
	}
	key := c.tokens.Key(k, attempt, token)
	if key == nil {
		return nil
	}
	return key.Raw()
}

// attemptKey is the key of an attempt whose token was proved.
func (c *Coordinator) attemptKey(k dag.Key, attempt int32, token []byte) *attemptkey.Key {
	return c.tokens.Key(k, attempt, token)
}

// circle is what seals messages among coordinators.
func (c *Coordinator) circle() modelkey.Circle {
	c.secrets.mu.Lock()
	defer c.secrets.mu.Unlock()
	return c.secrets.circles[0]
}

// openShared opens a message of another coordinator, which may know a later generation.
func (c *Coordinator) openShared(ctx context.Context, data []byte) (m modelkey.Message, err error) {
	for begin := time.Now(); ; {
		c.secrets.mu.Lock()
		circles := c.secrets.circles
		c.secrets.mu.Unlock()
		var first error
		for _, circle := range circles {
			m, err := circle.Open(data)
			if err == nil {
				return m, nil
			}
			first = cmp.Or(first, err)
		}
		c.secrets.mu.Lock()
		fresh := c.secrets.looked.After(begin.Add(-lookPause))
		c.secrets.mu.Unlock()
		if fresh || c.lookForSecrets(ctx, begin) != nil {
			return m, first
		}
	}
}
