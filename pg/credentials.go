package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// CredentialError says that there is nothing to log in with. Its text is for operators, and holds no password.
type CredentialError struct{ Reason error }

// Error gives the reason.
func (e *CredentialError) Error() string { return "postgres: " + e.Reason.Error() }

// Unwrap is the reason.
func (e *CredentialError) Unwrap() error { return e.Reason }

// refresh gives a connection that is about to be made the credentials of this moment: its password, and the certificates in the files that
// the URL names. Its error is a *[CredentialError].
func (cfg Config) refresh(ctx context.Context, c *pgx.ConnConfig) error {
	now, err := pgx.ParseConfig(cfg.URL)
	if err != nil {
		return &CredentialError{fmt.Errorf("url: %w", err)}
	}
	c.TLSConfig, c.Fallbacks, c.Password = now.TLSConfig, now.Fallbacks, now.Password
	if cfg.Password == nil {
		return nil
	}
	if c.Password, err = cfg.Password(ctx); err != nil {
		return &CredentialError{err}
	}
	return nil
}

// CheckCredentials is a *[CredentialError] when there is nothing to log in with.
func (cfg Config) CheckCredentials(ctx context.Context) error {
	return cfg.refresh(ctx, &pgx.ConnConfig{})
}

// connect makes a connection outside the pool, once change has had its configuration.
func (cfg Config) connect(ctx context.Context, change func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("postgres url: %w", err)
	}
	if err := cfg.refresh(ctx, c); err != nil {
		return nil, err
	}
	change(c)
	return pgx.ConnectConfig(ctx, c)
}
