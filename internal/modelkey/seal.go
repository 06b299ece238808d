package modelkey

import (
	"crypto/rand"
	"errors"

	"golang.org/x/crypto/nacl/box"
)

// Opener opens the one answer that was sealed for it.
type Opener struct{ public, private *[32]byte }

// NewOpener makes one with a fresh pair of X25519 keys.
func NewOpener() (*Opener, error) {
	public, private, err := box.GenerateKey(rand.Reader)
	return &Opener{public, private}, err
}

// Public is what [Seal] takes.
func (o *Opener) Public() []byte { return o.public[:] }

// Open is the key that was sealed. Its error shows nothing of it.
func (o *Opener) Open(sealed []byte) (Key, error) {
	text, ok := box.OpenAnonymous(nil, sealed, o.public, o.private)
	if !ok {
		return Key{}, errors.New("the sealed key can't be opened")
	}
	return Parse(string(text))
}

// Seal makes a key readable only for the holder of the private key that belongs to a public one.
func Seal(k Key, public []byte) ([]byte, error) {
	if len(public) != 32 {
		return nil, errors.New("the public key must have 32 bytes")
	}
	return box.SealAnonymous(nil, []byte(k.Text()), (*[32]byte)(public), rand.Reader)
}
