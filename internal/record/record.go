// Package record is the form of the audit record: its entries, how they are written as lines of JSON, and the chain of hashes that they make.
//
// It owns the canonical encoding of an entry, the hash over it, and the check of a chain. It must not know where entries are kept, who is
// allowed what, or which calls there are.
package record

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Kind says what an entry tells.
type Kind string

// The kinds of entries.
const (
	Begun    Kind = "begun"   // a call that may change something is about to be made
	Ended    Kind = "ended"   // it was made; Of is its entry
	Refused  Kind = "refused" // a call was refused, or Count calls of one source were
	Happened Kind = "event"   // the cluster did something by itself
)

// Outcome says how a call ended.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"
	Failed  Outcome = "failed"
	Denied  Outcome = "refused" // it was not allowed
	Unknown Outcome = "unknown" // of a list only: no entry says how it ended
)

// Sum is a hash of the chain.
type Sum [32]byte

// String is the sum in hexadecimal digits.
func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// MarshalText writes hexadecimal digits.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Sum) UnmarshalText(text []byte) error {
	if len(text) != 2*len(s) {
		return fmt.Errorf("a hash has %d hexadecimal digits", 2*len(s))
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// Caller is who made a call.
type Caller struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	User    string `json:"user"`
	Issuer  string `json:"issuer"`
	KeyID   string `json:"key_id"`
	From    string `json:"from"`
	Surface string `json:"surface"`
}

// Entry is one entry of the record. Its fields are described in docs/audit.md.
type Entry struct {
	Seq         int64             `json:"seq"` // from 1, without gaps
	At          Time              `json:"at"`
	Kind        Kind              `json:"kind"`
	Of          int64             `json:"of"`        // of an Ended entry: the Seq of that which it ends
	Namespace   string            `json:"namespace"` // empty: of the cluster
	Method      string            `json:"method"`
	Permission  string            `json:"permission"`
	Outcome     Outcome           `json:"outcome"` // empty: not said by this entry
	Code        string            `json:"code"`
	Error       string            `json:"error"`
	Caller      Caller            `json:"caller"`
	Task        string            `json:"task"`
	Trace       string            `json:"trace"`
	Count       int64             `json:"count"` // how many calls it stands for
	Coordinator string            `json:"coordinator"`
	Details     map[string]string `json:"details"`
	Key         string            `json:"key"` // the id of the key of the hash; empty: it has none
	Prev        Sum               `json:"prev"`
	Hash        Sum               `json:"hash"`
}

// Time is a moment as the record has it: UTC, to the microsecond.
type Time struct{ time.Time }

// layout always has six digits after the second.
const layout = "2006-01-02T15:04:05.000000Z"

// At is a moment of the record.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Microsecond)} }

// String is the text of the moment in lines and in hashes.
func (t Time) String() string { return t.UTC().Format(layout) }

// MarshalJSON writes the text.
func (t Time) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// UnmarshalJSON reads the text, and no other form of the same moment.
func (t *Time) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	at, err := time.Parse(layout, text)
	if err != nil {
		return err
	}
	t.Time = at
	return nil
}

// Head is the newest entry of a chain at some time: who has noted it finds out later whether anything up to it was changed.
type Head struct {
	Seq  int64 `json:"seq"`
	Hash Sum   `json:"hash"`
}

// String is SEQ:HASH, as ParseHead reads it.
func (h Head) String() string { return fmt.Sprintf("%d:%s", h.Seq, h.Hash) }

// ParseHead reads SEQ:HASH.
func ParseHead(text string) (h Head, err error) {
	var digits string
	if n, err := fmt.Sscanf(text, "%d:%s", &h.Seq, &digits); err != nil || n != 2 || h.Seq < 1 {
		return h, fmt.Errorf("%.100q is no head: it is written SEQ:HASH", text)
	}
	if err := h.Hash.UnmarshalText([]byte(digits)); err != nil {
		return h, fmt.Errorf("%.100q is no head: %w", text, err)
	}
	return h, nil
}
