package coordinator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/taskgrove/taskgrove/internal/sealed"
	"github.com/taskgrove/taskgrove/pg"
)

// SealConfig says where the master key is, which is never in Postgres or NATS.
type SealConfig struct {
	Keys    string // base64 of 32 bytes each, with commas between; the first seals; empty: none
	KeyFile string // file with them; empty: none
	// KMS wraps data keys in place of the keys above, which then only open secrets of webhooks of before; nil: they wrap.
	KMS sealed.KMS
	// Values has values sealed before they reach Postgres.
	Values bool
}

// Check says what is wrong with the settings, in a text for operators that shows nothing of a key.
func (cfg SealConfig) Check() error {
	box, err := cfg.box()
	if err == nil && cfg.Values && cfg.KMS == nil && !box.Can() {
		return errors.New("TASKGROVE_SEAL_VALUES: there is no key to seal with: set TASKGROVE_SEAL_KEY_FILE or TASKGROVE_SEAL_KEY")
	}
	return err
}

// box has the keys of the settings; nil: there are none.
func (cfg SealConfig) box() (*sealed.Box, error) {
	keys := cfg.Keys
	if cfg.KeyFile != "" {
		text, err := os.ReadFile(cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("TASKGROVE_SEAL_KEY_FILE: %w", err) // it names the file
		}
		keys = string(text)
	}
	box, err := sealed.New(keys)
	if err == nil && !box.Can() && cfg.KeyFile != "" {
		err = errors.New("there is no key in it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", SealConfig{KeyFile: cfg.KeyFile}.source(), err)
	}
	return box, nil
}

// keyring seals under data keys that the master key wraps; nil: there is no master key.
func (cfg SealConfig) keyring(box *sealed.Box, store sealed.KeyStore) *sealed.Keyring {
	switch {
	case cfg.KMS != nil:
		return sealed.NewKeyring(cfg.KMS, store)
	case box.Can():
		return sealed.NewKeyring(box, store)
	}
	return nil
}

// seals seals secrets of the cluster: with the keys of the settings where there are some, as older coordinators open them, too; else with the keyring.
type seals struct {
	box  *sealed.Box
	ring *sealed.Keyring
}

func (s seals) can() bool { return s.box.Can() || s.ring.Can() }

func (s seals) seal(ctx context.Context, plain []byte, owner string) ([]byte, error) {
	if s.box.Can() {
		return s.box.Seal(plain, owner)
	}
	return s.ring.Seal(ctx, sealed.Use{Namespace: sealed.Cluster, Kind: owner}, plain)
}

func (s seals) open(ctx context.Context, envelope []byte, owner string) ([]byte, error) {
	if _, err := sealed.Number(envelope); err == nil && s.ring.Can() {
		return s.ring.Open(ctx, sealed.Use{Namespace: sealed.Cluster, Kind: owner}, envelope)
	}
	return s.box.Open(envelope, owner)
}

// CheckKeys looks whether the master key opens what the cluster has sealed, and has values sealed from now on where they are. The error is or
// wraps [sealed.ErrAway] when that can't be told now.
func (c *Coordinator) CheckKeys(ctx context.Context) error {
	state, _, err := c.store.Sealing(ctx)
	if err != nil && pg.Unreachable(err) {
		return fmt.Errorf("%w: %w", sealed.ErrAway, err)
	}
	if err != nil {
		return err
	}
	if !c.keyring.Can() {
		if state != pg.SealingOff {
			return fmt.Errorf("values of this cluster are sealed: set TASKGROVE_SEAL_KEY_FILE or TASKGROVE_SEAL_KEY as for the other coordinators: %w", sealed.ErrNoKey)
		}
		return c.checkSecrets(ctx)
	}
	err = c.keyring.Verify(ctx)
	if err == nil {
		err = c.checkSecrets(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.cfg.Seal.source(), err)
	}
	return nil
}

// sealingEvery is how often a coordinator looks whether values are to be sealed.
const sealingEvery = 5 * time.Second

// runSealing begins to seal values where the settings ask for it and no older process lives, and learns what other coordinators began.
func (c *Coordinator) runSealing(ctx context.Context) error {
	for {
		if err := c.keepSealing(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("values are not sealed as they should be", "error", err)
		}
		if !sleep(ctx, sealingEvery) {
			return nil
		}
	}
}

func (c *Coordinator) keepSealing(ctx context.Context) error {
	state, _, err := c.store.Sealing(ctx)
	if err != nil || state != pg.SealingOff || !c.cfg.Seal.Values || !c.keyring.Can() {
		return err
	}
	if err := c.store.SetSealing(ctx, pg.SealingOn); err != nil {
		return err
	}
	c.log.Info("values are sealed in Postgres from now on")
	return nil
}

// source says where the master key comes from.
func (cfg SealConfig) source() string {
	switch {
	case cfg.KMS != nil:
		return "key management service"
	case cfg.KeyFile != "":
		return "TASKGROVE_SEAL_KEY_FILE: " + cfg.KeyFile
	}
	return "TASKGROVE_SEAL_KEY"
}
