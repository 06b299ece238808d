package sealed

import (
	"context"
	"errors"
	"fmt"
)

// Verify looks whether the master key is the one that the stored data keys are wrapped with. Without any stored it is content. The error is
// [ErrNoKey] for a wrong one, with the reason, and [ErrAway] if it can't tell now.
func (r *Keyring) Verify(ctx context.Context) error {
	keys, err := r.store.AllKeys(ctx)
	if err != nil {
		return away(err)
	}
	seen := map[string]bool{}
	for i := range keys {
		if seen[keys[i].Master] {
			continue
		}
		seen[keys[i].Master] = true
		if _, err := r.open(ctx, &keys[i]); err != nil {
			return err
		}
	}
	return nil
}

// Rotate gives a namespace another data key, which new values are sealed with. The one before is retired: it still opens.
// It returns the new one. A namespace without a key gets its first.
func (r *Keyring) Rotate(ctx context.Context, namespace int32) (*DataKey, error) {
	stored, err := r.store.CurrentKey(ctx, namespace)
	if err != nil {
		return nil, away(err)
	}
	var instead int32
	if stored != nil {
		instead = stored.Number
	}
	fresh, err := r.add(ctx, namespace, instead)
	if err != nil {
		return nil, away(err)
	}
	r.Forget()
	return fresh, nil
}

// Rewrap wraps all data keys anew that another master key than the current one wraps, and returns how many. What was done stays when it fails.
func (r *Keyring) Rewrap(ctx context.Context) (n int, err error) {
	keys, err := r.store.AllKeys(ctx)
	if err != nil {
		return 0, away(err)
	}
	master := r.kms.Name()
	for i := range keys {
		if keys[i].Master == master {
			continue
		}
		if err := r.rewrap(ctx, &keys[i], master); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (r *Keyring) rewrap(ctx context.Context, k *DataKey, master string) error {
	raw, err := r.unwrap(ctx, k)
	if err != nil {
		return err
	}
	defer clear(raw)
	wrapped, err := r.ask(ctx, func(ctx context.Context) ([]byte, error) { return r.kms.Wrap(ctx, raw, keyContext(k.Namespace)) })
	if err != nil {
		return fmt.Errorf("wrap data key %d: %w", k.Number, err)
	}
	if err := r.store.RewrapKey(ctx, k.Number, k.Wrapped, wrapped, master); err != nil {
		return away(err)
	}
	return nil
}

// IsAway reports whether an error means that the keys can't be had now, and may be later.
func IsAway(err error) bool { return errors.Is(err, ErrAway) }

// Reseal seals with the current data key what was sealed for the use. Errors: those of [Keyring.Open] and [Keyring.Seal].
func (r *Keyring) Reseal(ctx context.Context, use Use, envelope []byte) ([]byte, error) {
	plain, err := r.Open(ctx, use, envelope)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return r.Seal(ctx, use, plain)
}

// Prune forgets the keys that are not stored any more.
func (r *Keyring) Prune(ctx context.Context) error {
	keys, err := r.store.AllKeys(ctx)
	if err != nil {
		return away(err)
	}
	stored := make(map[int32]bool, len(keys))
	last := int32(0)
	for i := range keys {
		stored[keys[i].Number] = true
		last = max(last, keys[i].Number)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for number := range r.keys {
		if !stored[number] && number < last { // a later one may have been added since
			delete(r.keys, number)
		}
	}
	return nil
}

// Keys are the data keys that are stored, wrapped, by number.
func (r *Keyring) Keys(ctx context.Context) ([]DataKey, error) {
	keys, err := r.store.AllKeys(ctx)
	if err != nil {
		return nil, away(err)
	}
	return keys, nil
}

// Master is the name of the master key that wraps now.
func (r *Keyring) Master() string { return r.kms.Name() }
