package sql

import (
	"context"
	"errors"
	"math"

	"github.com/jackc/pgx/v5/pgconn"
)

// pgAhead is an attempt whose requests are all on their way: BEGIN, the settings, the statement, COMMIT. The server takes them in turn, and
// none after one that failed. So an attempt that only reads needs one round trip.
type pgAhead struct {
	pipeline *pgconn.Pipeline
	cancel   context.CancelFunc // ends what the server still does
}

// goesAhead reports whether the statement may be sent before BEGIN is answered, and COMMIT before the statement is. With more than reading,
// nobody could say what has happened if the connection broke; lists need the server's types first.
func (j *job) goesAhead() bool {
	if !j.readOnly || !j.transaction || j.fence != nil || len(j.statements) != 1 {
		return false
	}
	params := j.statements[0].params
	return len(params) <= math.MaxUint16 && !hasList(params)
}

// beginAhead sends everything and returns when the transaction has begun.
func (s *pgSession) beginAhead(ctx context.Context, j *job) error {
	st := &j.statements[0]
	ctx, cancel := context.WithCancel(ctx)
	p := s.conn.StartPipeline(ctx)
	s.ahead = &pgAhead{p, cancel}
	p.SendQueryParams(beginning(j), nil, nil, nil, nil)
	p.SendQueryParams(settings(ctx, j), nil, nil, nil, nil)
	p.SendFlushRequest() // so that who waits for BEGIN knows of it, and takes no failure of the statement for one of an old connection
	p.SendQueryParams(st.sql, pgTexts(st.params), nil, nil, nil)
	p.SendQueryParams("COMMIT", nil, nil, nil, nil)
	if err := p.Sync(); err != nil {
		return err
	}
	for range 2 {
		rows, err := s.ahead.next()
		if err != nil {
			return err
		}
		if _, err := rows.Close(); err != nil {
			return err
		}
	}
	return nil
}

// next is the answer to the next request, after the rest of the one before.
func (a *pgAhead) next() (*pgconn.ResultReader, error) {
	answer, err := a.pipeline.GetResults()
	if err != nil {
		return nil, err
	}
	rows, ok := answer.(*pgconn.ResultReader)
	if !ok {
		return nil, errors.New("the server's answers are out of order")
	}
	return rows, nil
}

// runAhead reads the answer to the statement.
func (s *pgSession) runAhead(out *sink) error {
	rows, err := s.ahead.next()
	if err != nil {
		return err
	}
	if s.stopped = s.read(rows, out, s.ahead.cancel); s.stopped {
		return nil
	}
	tag, err := rows.Close()
	out.affected = tag.RowsAffected()
	return err
}

// commitAhead reads the answer to COMMIT.
func (s *pgSession) commitAhead() error {
	rows, err := s.ahead.next()
	if err != nil {
		return err
	}
	tag, err := rows.Close()
	if err != nil {
		return err
	}
	if err := s.endAhead(); err != nil {
		return err
	}
	if tag.String() != "COMMIT" || s.conn.TxStatus() != 'I' {
		return errRolledBack
	}
	s.within = false
	return nil
}

// endAhead reads what is left of the answers.
func (s *pgSession) endAhead() error {
	if s.ahead == nil {
		return nil
	}
	err := s.ahead.pipeline.Close()
	s.ahead.cancel()
	s.ahead = nil
	return err
}
