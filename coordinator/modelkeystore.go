package coordinator

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/dag"
	"github.com/taskgrove/taskgrove/internal/modelkey"
	"github.com/taskgrove/taskgrove/internal/sealed"
	"github.com/taskgrove/taskgrove/pg"
)

// Where there is a master key, the keys that users store lie in Postgres, each sealed for its namespace, user and provider, and coordinators
// have them in memory as Postgres has them: a change is stored before it counts, and what others tell is a reason to look.

const (
	keysLookEvery = 10 * time.Second
	keysYoung     = 30 * time.Second // younger changes may be on their way into Postgres
)

// keyStore is what a coordinator knows of the stored keys. The loop of stored keys owns it.
type keyStore struct {
	mark   pg.ModelKeysMark
	number int32 // of the data key that they were last seen to be under
	young  bool  // there were young changes
	loaded bool
}

// separator stands between the parts of names; no part has it.
const separator = "\x00"

// keeperOf is who keeps a user's keys in this namespace, as [modelkey.Users] knows them.
func (c *Coordinator) keeperOf(user string) string { return keeper(c.namespace, user) }

func keeper(namespace, user string) string {
	if namespace == DefaultNamespace || user == "" {
		return user
	}
	return namespace + separator + user
}

// keeperParts are the namespace and the user of a keeper.
func keeperParts(keeper string) (namespace, user string) {
	if namespace, user, ok := strings.Cut(keeper, separator); ok {
		return namespace, user
	}
	return DefaultNamespace, keeper
}

func modelKeyUse(namespace, user, provider string) sealed.Use {
	return sealed.Use{Namespace: sealed.Cluster, Kind: strings.Join([]string{sealed.LabelModelKeys, namespace, user, provider}, separator)}
}

// storeModelKey stores a change, if there is a master key.
func (c *Coordinator) storeModelKey(ctx context.Context, change *modelkey.Change) error {
	if !c.keyring.Can() {
		return nil
	}
	namespace, user := keeperParts(change.User)
	if change.Secret == "" {
		_, err := c.store.DeleteModelKeys(ctx, namespace, user, change.Provider, false)
		return err
	}
	envelope, err := c.keyring.Seal(ctx, modelKeyUse(namespace, user, change.Provider), []byte(change.Secret))
	if err != nil {
		return err
	}
	return c.store.SetModelKey(ctx, &pg.ModelKey{Namespace: namespace, User: user, Provider: change.Provider, Sealed: envelope, At: change.At, By: change.By})
}

// dropModelKeys deletes stored keys, and says whether there were any.
func (c *Coordinator) dropModelKeys(ctx context.Context, user, provider string, all bool) (bool, error) {
	if !c.keyring.Can() {
		return false, nil
	}
	gone, err := c.store.DeleteModelKeys(ctx, c.namespace, user, strings.ToLower(provider), all)
	return len(gone) > 0, err
}

// hearKeys takes what another coordinator tells. One of a version that stores no keys may be the only one that knows.
func (c *Coordinator) hearKeys(ctx context.Context, changes []modelkey.Change) {
	if len(changes) == 0 {
		return
	}
	if c.keyring.Can() && c.haveAll(dag.AccessLevel) {
		for _, change := range changes {
			if change.Secret == "" { // it may be younger than what a look has to leave alone
				c.userKeys.Apply(change)
			}
		}
		if err := c.loadModelKeys(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("stored keys of models could not be read", "error", err)
		}
		return
	}
	for _, change := range changes {
		c.userKeys.Apply(change)
		if err := c.storeModelKey(ctx, &change); err != nil {
			c.log.Warn("the key of a model that a user has stored is in memory only", "error", err)
		}
	}
}

// loadModelKeys has the keys in memory be those that are stored, if these have changed since, and seals those anew that are under an old data key.
func (c *Coordinator) loadModelKeys(ctx context.Context) error {
	if !c.keyring.Can() {
		return nil
	}
	mark, err := c.store.ModelKeysMark(ctx)
	if err != nil {
		return err
	}
	s := &c.keyStore
	if mark == (pg.ModelKeysMark{}) && !s.loaded { // nobody has ever stored one: no data key is made
		return nil
	}
	number, _, err := c.keyring.Derived(ctx, sealed.LabelModelKeys)
	if err != nil {
		return err
	}
	if s.loaded && mark == s.mark && number == s.number && !s.young {
		return nil
	}
	begin := time.Now()
	rows, err := c.store.ModelKeys(ctx)
	if err != nil {
		return err
	}
	var all []modelkey.Change
	for i := range rows {
		change, err := c.openModelKey(ctx, &rows[i], number)
		switch {
		case errors.Is(err, sealed.ErrAway):
			return err
		case err != nil:
			c.log.Warn("a stored key of a model can't be opened", "namespace", rows[i].Namespace, "user_id", rows[i].User, "error", err)
		default:
			all = append(all, change)
		}
	}
	young := c.userKeys.Become(all, begin.Add(-keysYoung))
	*s = keyStore{mark: mark, number: number, young: young, loaded: true}
	return nil
}

// openModelKey opens a stored key, and seals it anew if it is not under the data key of the number.
func (c *Coordinator) openModelKey(ctx context.Context, k *pg.ModelKey, number int32) (modelkey.Change, error) {
	use := modelKeyUse(k.Namespace, k.User, k.Provider)
	secret, err := c.keyring.Open(ctx, use, k.Sealed)
	if err != nil {
		return modelkey.Change{}, err
	}
	if under, err := sealed.Number(k.Sealed); err == nil && under != number {
		fresh, err := c.keyring.Seal(ctx, use, secret)
		if err == nil {
			err = c.store.ResealModelKey(ctx, k, fresh)
		}
		if err != nil {
			c.log.Warn("a stored key of a model stays under an old data key", "namespace", k.Namespace, "user_id", k.User, "error", err)
		}
	}
	return modelkey.Change{User: keeper(k.Namespace, k.User), Provider: k.Provider, Secret: string(secret), At: k.At, By: k.By}, nil
}
