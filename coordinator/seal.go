package coordinator

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/taskgrove/taskgrove/internal/sealed"
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

// CheckKeys looks whether the master key opens what the cluster has sealed. The error is or wraps [sealed.ErrAway] when that can't be told now.
func (c *Coordinator) CheckKeys(ctx context.Context) error {
	if !c.keyring.Can() {
		return c.checkSecrets(ctx)
	}
	err := c.keyring.Verify(ctx)
	if err == nil {
		err = c.checkSecrets(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.cfg.Seal.source(), err)
	}
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
