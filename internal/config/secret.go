package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
)

// hidden replaces a secret in print.
const hidden = "***"

// Secret is text that must not be seen: it prints as *** in fmt, slog, JSON and anything else that asks for its text.
type Secret string

func (s *Secret) secret() {}

// Reveal returns the text itself.
func (s Secret) Reveal() string { return string(s) }

// Format prints the same for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// String is ***, or empty if there is nothing to hide.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements [encoding.TextMarshaler], which encoding/json uses, too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// PostgresURL is the address of a database, with its password.
type PostgresURL struct{ Secret }

func (u *PostgresURL) takes() string { return "postgres://user:password@host:port/database" }

// Decode implements envconfig.Decoder. It also reads the scheme postgresql+asyncpg (spec 10).
func (u *PostgresURL) Decode(text string) error {
	parsed, err := url.Parse(text)
	if err != nil {
		return errors.New("not a URL") // the error would show the password
	}
	switch parsed.Scheme {
	case "postgres", "postgresql":
	case "postgresql+asyncpg":
		parsed.Scheme = "postgresql"
		text = parsed.String()
	case "duckdb", "sqlite":
		return errors.New("a database of Postgres is needed; taskgrove import takes the tasks that are in another")
	default:
		return errors.New("not the URL of a Postgres database")
	}
	u.Secret = Secret(text)
	return nil
}

// NATSURL is the address of one or more NATS servers, with a password.
type NATSURL struct{ Secret }

func (u *NATSURL) takes() string {
	return "nats://user:password@host:port, several separated by commas"
}

// Decode implements envconfig.Decoder.
func (u *NATSURL) Decode(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		parsed, err := url.Parse(strings.TrimSpace(part))
		if err != nil || parsed.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, parsed.Scheme) {
			return errors.New("not the URL of a NATS server")
		}
	}
	u.Secret = Secret(text)
	return nil
}

// User is the user of the first address; empty: none.
func (u NATSURL) User() string {
	first, _, _ := strings.Cut(u.Reveal(), ",")
	parsed, err := url.Parse(strings.TrimSpace(first))
	if err != nil {
		return ""
	}
	return parsed.User.Username()
}

// WithUser replaces the user in every address whose user is called old.
func (u NATSURL) WithUser(old, user string) NATSURL {
	var out []string
	for part := range strings.SplitSeq(u.Reveal(), ",") {
		part = strings.TrimSpace(part)
		if parsed, err := url.Parse(part); err == nil && parsed.User != nil && parsed.User.Username() == old {
			if password, given := parsed.User.Password(); given {
				parsed.User = url.UserPassword(user, password)
			} else {
				parsed.User = url.User(user)
			}
			part = parsed.String()
		}
		out = append(out, part)
	}
	return NATSURL{Secret(strings.Join(out, ","))}
}

// ProxyURL is the address of a proxy, which may hold a password.
type ProxyURL struct{ Secret }

func (u *ProxyURL) takes() string {
	return "http://, https:// or socks5:// and host:port, with user:password@ before it if need be"
}

// Decode implements envconfig.Decoder.
func (u *ProxyURL) Decode(text string) error {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5"}, parsed.Scheme) {
		return errors.New("not the URL of a proxy")
	}
	u.Secret = Secret(text)
	return nil
}
