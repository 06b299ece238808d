package dag

import "hash/maphash"

// index finds tasks by identity: open addressing over task numbers, so that it costs some 8 to 22 bytes a task and
// holds no pointers. The seed is random: nobody can choose ids that collide.
type index struct {
	seed  maphash.Seed
	slots []slot // a power of two of them, at most 3/4 in use
	used  int
}

type slot struct {
	hash uint32
	task int32 // plus one; zero is free
}

func (x *index) hash(identity string) uint32 { return uint32(maphash.String(x.seed, identity)) }

// find is the task of the identity, or a negative number.
func (b *Builder) find(identity string) int32 {
	x := &b.known
	if x.used == 0 {
		return unresolved
	}
	s, _ := b.probe(x.hash(identity), identity)
	return s.task - 1
}

// enter makes the task known. When another one has its identity already, it returns that one and changes nothing,
// otherwise a negative number.
func (b *Builder) enter(task int32) (first int32) {
	x := &b.known
	if (x.used+1)*4 > len(x.slots)*3 {
		x.grow()
	}
	identity := b.identity(task)
	h := x.hash(identity)
	s, at := b.probe(h, identity)
	if s.task != 0 {
		return s.task - 1
	}
	x.slots[at] = slot{h, task + 1}
	x.used++
	return unresolved
}

// probe is the slot of the identity, or the free one where it belongs.
func (b *Builder) probe(h uint32, identity string) (s slot, at uint32) {
	slots := b.known.slots
	mask := uint32(len(slots) - 1)
	for at = h & mask; ; at = (at + 1) & mask {
		s = slots[at]
		if s.task == 0 || s.hash == h && b.identity(s.task-1) == identity {
			return s, at
		}
	}
}

func (x *index) grow() {
	old := x.slots
	x.slots = make([]slot, max(16, 2*len(old)))
	mask := uint32(len(x.slots) - 1)
	for _, s := range old {
		if s.task == 0 {
			continue
		}
		at := s.hash & mask
		for x.slots[at].task != 0 {
			at = (at + 1) & mask
		}
		x.slots[at] = s
	}
}
