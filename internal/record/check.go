package record

import (
	"fmt"
	"slices"
	"strconv"
)

// Trimmed is the method of entries that tell of the deletion of old entries: their details [Through] and [ThroughHash] are the last one that
// went.
const Trimmed = "Record.Trim"

// Names of details of a [Trimmed] entry.
const (
	Through     = "through"
	ThroughHash = "hash"
)

// Fault is what is wrong with a chain.
type Fault struct {
	Seq  int64 // of the entry at which it was noticed
	Kind string
	Text string
}

// The kinds of faults.
const (
	FaultMissing  = "missing"      // entries that should be there are not
	FaultOrder    = "order"        // an entry stands where it does not belong
	FaultLink     = "link"         // an entry does not follow the one before it
	FaultEdited   = "edited"       // an entry is not what was hashed
	FaultKey      = "key"          // a hash is not made with the key that it must have
	FaultTrimmed  = "cut_off"      // the oldest entries are gone, and no entry tells of their deletion
	FaultHead     = "head"         // what was noted elsewhere is not there
	FaultHeadGone = "head_expired" // a noted head is older than what is kept
)

// Checker checks a chain, entry by entry. One goroutine.
type Checker struct {
	keys    Keys
	heads   []Head
	partial bool // entries may be missing

	first, last *Entry
	gaps        []gap
	keyed       bool // an entry with a key came
	found       map[int64]bool
	entries     int64
	unchecked   int64 // entries whose key is not known
}

// gap are entries that are not there. Retention may have deleted them, before the check or while it went on: then a later entry tells of it.
type gap struct {
	from   int64 // the first that is not there
	before *Entry
}

// maxGaps is how many gaps may wait for an entry that accounts for them.
const maxGaps = 100

// NewChecker makes a checker of a whole chain, or, if partial, of some of its entries: then only what they say themselves is checked, and the
// links between those that follow each other. Hashes by keys that are not among keys can't be checked. heads were noted elsewhere.
func NewChecker(keys Keys, partial bool, heads ...Head) *Checker {
	return &Checker{keys: keys, partial: partial, heads: heads, found: map[int64]bool{}}
}

// Entries is how many entries came, and Unchecked how many of them have a hash by a key that is not known: of those only the links were checked.
func (c *Checker) Entries() (entries, unchecked int64) { return c.entries, c.unchecked }

// Head is the last entry that came.
func (c *Checker) Head() Head {
	if c.last == nil {
		return Head{}
	}
	return Head{c.last.Seq, c.last.Hash}
}

// Add looks at the next entry.
func (c *Checker) Add(e *Entry) (faults []Fault) {
	fault := func(kind, format string, args ...any) {
		faults = append(faults, Fault{e.Seq, kind, fmt.Sprintf(format, args...)})
	}
	c.entries++
	switch last := c.last; {
	case last == nil:
		c.first = e
		if e.Seq > 1 && !c.partial {
			c.gaps = append(c.gaps, gap{1, e})
		}
		if e.Seq == 1 && e.Prev != (Sum{}) {
			fault(FaultLink, "the first entry follows another one")
		}
	case e.Seq <= last.Seq:
		fault(FaultOrder, "entry %d comes after entry %d", e.Seq, last.Seq)
	case e.Seq > last.Seq+1:
		if one := (gap{last.Seq + 1, e}); !c.partial && len(c.gaps) < maxGaps {
			c.gaps = append(c.gaps, one)
		} else if !c.partial {
			faults = append(faults, one.fault())
		}
	case e.Prev != last.Hash:
		fault(FaultLink, "entry %d does not follow entry %d as it is", e.Seq, last.Seq)
	}
	c.checkHash(e, fault)
	if e.Kind == Happened && e.Method == Trimmed {
		c.gaps = slices.DeleteFunc(c.gaps, func(g gap) bool {
			return e.Details[Through] == strconv.FormatInt(g.before.Seq-1, 10) && e.Details[ThroughHash] == g.before.Prev.String()
		})
	}
	for _, h := range c.heads {
		if h.Seq == e.Seq {
			c.found[h.Seq] = true
			if h.Hash != e.Hash {
				fault(FaultHead, "entry %d is another one than was noted", e.Seq)
			}
		}
	}
	c.last = e
	return faults
}

func (c *Checker) checkHash(e *Entry, fault func(kind, format string, args ...any)) {
	key := Key{}
	switch known := false; {
	case e.Key != "":
		c.keyed = true
		if key, known = c.keys.find(e.Key); !known {
			c.unchecked++
			if len(c.keys) > 0 {
				fault(FaultKey, "the hash of entry %d is by a key %.32q that is not known here", e.Seq, e.Key)
			}
			return
		}
	case c.keyed:
		fault(FaultKey, "the hash of entry %d is by no key, and those before it are", e.Seq)
	}
	if key.sum(e) != e.Hash {
		fault(FaultEdited, "entry %d is not as it was hashed", e.Seq)
	}
}

// fault is what is wrong if nothing accounts for a gap.
func (g gap) fault() Fault {
	if g.from == 1 {
		return Fault{g.before.Seq, FaultTrimmed, fmt.Sprintf("entries before %d are gone, and no entry tells of their deletion", g.before.Seq)}
	}
	return Fault{g.before.Seq, FaultMissing, fmt.Sprintf("entries %d to %d are missing", g.from, g.before.Seq-1)}
}

// End says what only the end shows.
func (c *Checker) End() (faults []Fault) {
	for _, g := range c.gaps {
		faults = append(faults, g.fault())
	}
	if !c.partial && len(c.keys) > 0 && c.last != nil && c.last.Key == "" {
		faults = append(faults, Fault{c.last.Seq, FaultKey, fmt.Sprintf("the hash of entry %d, the last one, is by no key, though there is one", c.last.Seq)})
	}
	for _, h := range c.heads {
		switch {
		case c.found[h.Seq]:
		case c.first != nil && h.Seq < c.first.Seq:
			faults = append(faults, Fault{h.Seq, FaultHeadGone, fmt.Sprintf("entry %d, which was noted, is older than all that is kept", h.Seq)})
		default:
			faults = append(faults, Fault{h.Seq, FaultHead, fmt.Sprintf("entry %d, which was noted, is not there", h.Seq)})
		}
	}
	return faults
}
