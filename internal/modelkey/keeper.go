package modelkey

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Bounds of a [Keeper].
const (
	MaxKept = 10_000
	KeptFor = 24 * time.Hour
)

// Keeper keeps keys in memory by what they came for: so many at most, and for so long. When there are more, the oldest is dropped. The zero
// value is ready for use. Safe for concurrent use.
type Keeper struct {
	mu   sync.Mutex
	keys map[int64]kept
}

type kept struct {
	key   Key
	run   int32
	since time.Time
}

// Put keeps the key of a run of an id, in place of that of an earlier one; a key that is not [Key.Given] only drops that.
func (k *Keeper) Put(id int64, run int32, key Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.keys, id)
	if !key.Given() {
		return
	}
	if k.keys == nil {
		k.keys = map[int64]kept{}
	}
	if len(k.keys) >= MaxKept {
		k.dropOldest()
	}
	k.keys[id] = kept{key, run, time.Now()}
}

// dropOldest makes room. The caller holds mu.
func (k *Keeper) dropOldest() {
	var oldest int64
	var since time.Time
	for id, one := range k.keys {
		if since.IsZero() || one.since.Before(since) {
			oldest, since = id, one.since
		}
	}
	delete(k.keys, oldest)
}

// Get is the key that is kept, and the run that it is for.
func (k *Keeper) Get(id int64) (key Key, run int32, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	one, ok := k.keys[id]
	if !ok || time.Since(one.since) >= KeptFor {
		delete(k.keys, id)
		return Key{}, 0, false
	}
	return one.key, one.run, true
}

// Before are those ids that were put before a time; the keys that are over their time are dropped.
func (k *Keeper) Before(before time.Time) []int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.keys, func(_ int64, one kept) bool { return time.Since(one.since) >= KeptFor })
	return slices.Collect(func(yield func(int64) bool) {
		for id, one := range k.keys {
			if one.since.Before(before) && !yield(id) {
				return
			}
		}
	})
}

// Drop forgets the keys of ids that were put before a time.
func (k *Keeper) Drop(ids []int64, before time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range ids {
		if k.keys[id].since.Before(before) {
			delete(k.keys, id)
		}
	}
}
