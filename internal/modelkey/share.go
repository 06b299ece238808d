package modelkey

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"time"

	"golang.org/x/crypto/nacl/secretbox"
)

// shareWithin is how old a message may be that is believed.
const shareWithin = 2 * time.Minute

// Message is what those who keep keys tell one another.
type Message struct {
	From    string   `json:"f"` // who sent it
	Asks    bool     `json:"a,omitempty"`
	Changes []Change `json:"c,omitempty"`
	Sent    int64    `json:"s"` // seconds since 1970
}

// Circle seals messages so that only those who know one secret can read or write them. Safe for concurrent use.
type Circle struct{ key [32]byte }

// NewCircle is that of a secret.
func NewCircle(secret []byte) Circle {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("taskgrove: stored keys of models, 1"))
	return Circle{[32]byte(mac.Sum(nil))}
}

// Seal seals a message, with the time.
func (c Circle) Seal(m Message) ([]byte, error) {
	m.Sent = time.Now().Unix()
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	var nonce [24]byte
	_, _ = rand.Read(nonce[:]) // never fails
	return secretbox.Seal(nonce[:], text, &nonce, &c.key), nil
}

// Open is the message that was sealed. One that is old is refused: it may be repeated by who can't read it. Errors show nothing of it.
func (c Circle) Open(sealed []byte) (m Message, err error) {
	if len(sealed) < 24 {
		return m, errors.New("it is too short")
	}
	text, ok := secretbox.Open(nil, sealed[24:], (*[24]byte)(sealed[:24]), &c.key)
	if !ok {
		return m, errors.New("it can't be opened")
	}
	if json.Unmarshal(text, &m) != nil {
		return Message{}, errors.New("it can't be read")
	}
	if age := time.Since(time.Unix(m.Sent, 0)).Abs(); age > shareWithin {
		return Message{}, errors.New("it is old")
	}
	return m, nil
}
