package smb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/taskgrove/taskgrove/executors"
)

// observed is a connection of which is noted what the library keeps to itself: whether a server has let a user in as a guest, for whom nothing is signed, and whether it wants data encrypted
// (MS-SMB2 2.2.6, 2.2.10). It bounds how long a message is, too.
type observed struct {
	net.Conn

	left  int    // bytes of the message that comes, after head
	head  []byte // its length, and its beginning
	wants int

	mu       sync.Mutex
	guest    bool // any answer has said so
	sessions encryption
	share    encryption
}

// encryption is whether all answers want it, and whether there was any.
type encryption struct{ some, none bool }

func (e *encryption) note(on bool) {
	if on {
		e.some = true
	} else {
		e.none = true
	}
}

func (e encryption) on() bool { return e.some && !e.none }

const (
	longest   = 4 << 20 // bytes of a message: those that the library asks for have 1 MiB and a little
	headBytes = 4 + 64 + 8

	flagGuest, flagNull, flagEncrypt = 1, 2, 4
	shareEncrypt                     = 0x8000
	commandSession, commandTree      = 1, 3
)

// Read implements [net.Conn]. Only one goroutine reads.
func (o *observed) Read(p []byte) (int, error) {
	n, err := o.Conn.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		if o.wants == 0 && o.left == 0 {
			o.head, o.wants = o.head[:0], 4
		}
		if o.wants > 0 {
			take := min(o.wants, len(rest))
			o.head, rest, o.wants = append(o.head, rest[:take]...), rest[take:], o.wants-take
			if o.wants == 0 {
				if bad := o.begun(); bad != nil {
					return 0, bad
				}
			}
			continue
		}
		take := min(o.left, len(rest))
		rest, o.left = rest[take:], o.left-take
	}
	return n, err
}

// begun has what was asked for of a message: first its length, and then its beginning.
func (o *observed) begun() error {
	length := int(binary.BigEndian.Uint32(o.head))
	if len(o.head) > 4 {
		o.left = length - (len(o.head) - 4)
		o.note(o.head[4:])
		return nil
	}
	if length > longest {
		return fmt.Errorf("a message of %d bytes is too long", length)
	}
	o.wants = min(length, headBytes-4)
	return nil
}

// note looks at the beginning of a message.
func (o *observed) note(m []byte) {
	if len(m) < headBytes-4 || m[0] != 0xFE || binary.LittleEndian.Uint32(m[8:]) != 0 { // no plain answer that says yes
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch command := binary.LittleEndian.Uint16(m[12:]); command {
	case commandSession:
		flags := binary.LittleEndian.Uint16(m[64+2:])
		o.guest = o.guest || flags&(flagGuest|flagNull) != 0
		o.sessions.note(flags&flagEncrypt != 0)
	case commandTree:
		o.share.note(binary.LittleEndian.Uint32(m[64+4:])&shareEncrypt != 0)
	}
}

// check says why a session that has begun is not to be used.
func (o *observed) check(signing bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if signing && o.guest {
		return executors.WithKind(executors.Permanent(errors.New("the server lets the user in as a guest only, for whom nothing is signed: the user or the password may be wrong; signing false allows it")), executors.KindConnect)
	}
	return nil
}

// forgetShare begins anew to look at what answers say of a share.
func (o *observed) forgetShare() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.share = encryption{}
}

// encrypts reports whether the server wants all data encrypted, or those of the share.
func (o *observed) encrypts() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sessions.on() || o.share.on()
}
