package pg

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// MissingRightsError says which rights the database's role lacks. Its text is for operators: it names what to grant.
type MissingRightsError struct {
	Role    string
	Schema  string   // of our tables; empty: there is none to be seen
	Creates bool     // whether the role may create in it
	Missing []string // each as it stands in a grant: "insert, update on table task"
}

// Error names all that is missing.
func (e *MissingRightsError) Error() string {
	if len(e.Missing) == 0 {
		return fmt.Sprintf("the database lacks migrations, and they are for the owner of the tables: the role %q is not, or may not create in "+
			"schema %q; start one coordinator of this version as the owner (docs/reliability.md, Rights in Postgres)", e.Role, e.Schema)
	}
	return fmt.Sprintf("the role %q lacks rights (docs/reliability.md, Rights in Postgres): grant %s", e.Role, strings.Join(e.Missing, "; grant "))
}

func (e *MissingRightsError) read(row pgx.Row) error {
	return row.Scan(&e.Role, &e.Schema, &e.Creates, &e.Missing)
}

// CheckRights is a *[MissingRightsError] when the role may not do in the migrated schema what a coordinator does there: read and
// write the rows of its tables, read which migrations there are, and count with its sequences. To migrate takes more.
func (s *Store) CheckRights(ctx context.Context) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	e := &MissingRightsError{}
	if err := e.read(s.pool.QueryRow(ctx, sql("MissingRights"))); err != nil {
		return fmt.Errorf("look at the rights of the database's role: %w", err)
	}
	if len(e.Missing) > 0 {
		return e
	}
	return nil
}

// ExplainRefusal adds to Postgres's refusal to let the role of the URL do something (SQLSTATE 42501) which rights the role lacks, as a
// *[MissingRightsError]. Any other error stays as it is, and so does one that can't be explained.
func (cfg Config) ExplainRefusal(ctx context.Context, refusal error) error {
	if refused, ok := errors.AsType[*pgconn.PgError](refusal); !ok || refused.Code != "42501" {
		return refusal
	}
	conn, err := cfg.connect(ctx, func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = pgx.QueryExecModeExec }) // works through poolers, too
	if err != nil {
		return refusal
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it only looked
	e := &MissingRightsError{}
	if e.read(conn.QueryRow(ctx, sql("MissingRights"))) != nil {
		return refusal
	}
	return fmt.Errorf("%w: %w", e, refusal)
}
