// Package modelkey owns the key of a language model that comes with a request (spec 5.7): how it is written, how coordinators keep it, and how it
// travels to a worker. It knows no task, no queue and no store.
package modelkey

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Header is the HTTP header that carries a key, and in lower case the metadata of gRPC.
const Header = "X-LLM-API-KEY"

// MaxBytes is the longest text of a key, with its provider.
const MaxBytes = 4096

// Key is a key of a language model. The zero value is none. However it is printed, it shows nothing of itself.
type Key struct{ provider, secret string }

// Parse reads "<key>" or "<provider>:<key>", which is split at the first colon; if a half is empty, the whole is the key. An empty text is no key.
// Errors show nothing of the text.
func Parse(text string) (Key, error) {
	switch {
	case len(text) > MaxBytes:
		return Key{}, fmt.Errorf("must be at most %d bytes long", MaxBytes)
	case strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }):
		return Key{}, errors.New("must be of visible ASCII characters, without spaces")
	}
	if provider, secret, ok := strings.Cut(text, ":"); ok && provider != "" && secret != "" {
		return Key{strings.ToLower(provider), secret}, nil
	}
	return Key{secret: text}, nil
}

// Given reports whether there is a key.
func (k Key) Given() bool { return k.secret != "" }

// For is the key in plain text if it is for a provider; else empty. One without a provider is for all.
func (k Key) For(provider string) string {
	if k.provider == "" || k.provider == strings.ToLower(provider) {
		return k.secret
	}
	return ""
}

// Text is the key as [Parse] reads it.
func (k Key) Text() string {
	if k.provider == "" {
		return k.secret
	}
	return k.provider + ":" + k.secret
}

// Secrets are the texts that must not be seen.
func (k Key) Secrets() []string { return []string{k.Text(), k.secret} }

const stars = "***"

// String implements [fmt.Stringer].
func (k Key) String() string { return stars }

// Format implements [fmt.Formatter]: no verb shows the fields.
func (k Key) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(stars)) }

// LogValue implements [slog.LogValuer].
func (k Key) LogValue() slog.Value { return slog.StringValue(stars) }

// MarshalText implements [encoding.TextMarshaler].
func (k Key) MarshalText() ([]byte, error) { return []byte(stars), nil }
