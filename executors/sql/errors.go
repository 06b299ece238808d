package sql

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"

	sqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	sqlitedriver "modernc.org/sqlite"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
)

// connectError is why there is no connection.
type connectError struct {
	where string
	err   error
}

func (e *connectError) Error() string { return "connect to " + e.where + ": " + e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// statementError says which statement failed.
type statementError struct {
	number, of int
	statement  *statement
	err        error
}

func (e *statementError) Error() string {
	if e.of == 1 {
		return e.err.Error()
	}
	return fmt.Sprintf("statement %d of %d: %v", e.number, e.of, e.err)
}
func (e *statementError) Unwrap() error { return e.err }

// explain is the error as users see it: what the database says, without values of parameters and secrets, and marked as permanent if
// another attempt can't help.
func (j *job) explain(err error) error {
	if err == nil {
		return nil
	}
	s, _ := errors.AsType[*statementError](err)
	var text string
	if s != nil {
		text = describe(s.err, s.statement)
		if s.of > 1 {
			text = fmt.Sprintf("statement %d of %d: %s", s.number, s.of, text)
		}
	} else if c, ok := errors.AsType[*connectError](err); ok {
		text = "connect to " + c.where + ": " + describe(c.err, nil)
	} else {
		text = describe(err, nil)
	}
	shown := executors.WithKind(errors.New(executors.Text([]byte(j.mask(text)))), kindOf(err))
	if executors.IsPermanent(err) || permanent(err) {
		return executors.Permanent(shown)
	}
	return shown
}

// Kinds of errors beside the network's.
const (
	KindStatement = "sql_error"    // the database refuses or breaks off a statement
	KindConflict  = "sql_conflict" // another transaction was in the way
)

// kindOf is the kind of an error.
func kindOf(err error) string {
	if kind := executors.KindOf(err); kind != "" {
		return kind
	}
	if _, ok := errors.AsType[*connectError](err); ok {
		return executors.KindConnect
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case strings.HasPrefix(pg.Code, "40") || pg.Code == "55P03":
			return KindConflict
		case pg.Code == "57014" && strings.Contains(pg.Message, "statement timeout"), pg.Code == "25P03":
			return executors.KindTimeout
		}
		return KindStatement
	}
	if my, ok := errors.AsType[*sqldriver.MySQLError](err); ok {
		switch my.Number {
		case 1205, 1213:
			return KindConflict
		case 1969, 3024: // statement time, of MariaDB and of MySQL
			return executors.KindTimeout
		}
		return KindStatement
	}
	if lite, ok := errors.AsType[*sqlitedriver.Error](err); ok {
		if code := lite.Code() & 0xff; code == 5 || code == 6 { // SQLITE_BUSY, SQLITE_LOCKED
			return KindConflict
		}
		return KindStatement
	}
	for _, judge := range judges {
		if kind, _, known := judge(err); known {
			return kind
		}
	}
	if isA[net.Error](err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, sqldriver.ErrInvalidConn) {
		return executors.KindConnect
	}
	return KindStatement
}

// judges know the errors of drivers that the build tag etl puts in: their kind, and whether another attempt fails likewise.
var judges []func(err error) (kind string, permanent, known bool)

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// describe is what a driver's error says. Where it stands is told as in the text of the task.
func describe(err error, st *statement) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		text := fmt.Sprintf("%s: %s (SQLSTATE %s)", pg.Severity, pg.Message, pg.Code)
		if st != nil && pg.Position > 0 {
			text += fmt.Sprintf(" at character %d", st.place(int(pg.Position)))
		}
		for _, more := range []string{pg.Detail, pg.Hint} {
			if more != "" {
				text += "; " + more
			}
		}
		return prefixed(err, pg, text)
	}
	if c, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return withoutTLS(c.Unwrap().Error()) // the rest repeats who and where
	}
	return withoutTLS(err.Error())
}

// withoutTLS adds to what a driver says of a server that speaks none how to connect all the same.
func withoutTLS(text string) string {
	if strings.Contains(text, "server refused TLS connection") || strings.Contains(text, sqldriver.ErrNoTLS.Error()) {
		text += " (tls: disable connects without)"
	}
	return text
}

// prefixed keeps what we wrote before a driver's own text.
func prefixed(err error, inner error, text string) string {
	if before, ok := strings.CutSuffix(err.Error(), inner.Error()); ok && !strings.Contains(before, "failed to") {
		return before + text
	}
	return text
}

// mask hides passwords and the values of parameters, which databases like to quote. Short ones are hidden where they are quoted.
func (j *job) mask(text string) string {
	var values []string
	for _, s := range j.statements {
		for _, p := range s.params {
			switch p := p.(type) {
			case string:
				values = append(values, p)
			case nil, bool:
			default:
				values = append(values, fmt.Sprint(p))
			}
		}
	}
	for _, v := range values {
		if v == "" {
			continue
		}
		if len(v) > 32 { // databases cut long ones
			text = maskLong(text, v)
		}
		if len(v) >= 4 {
			text = strings.ReplaceAll(text, v, "***")
		}
		for _, q := range []string{`"%s"`, `'%s'`, `(%s)`, `'%s-`, `-%s'`, `(%s, `, `, %s)`, `, %s, `} {
			text = strings.ReplaceAll(text, fmt.Sprintf(q, v), fmt.Sprintf(q, "***"))
		}
	}
	for _, secret := range []string{j.target.password, url.PathEscape(j.target.password), url.QueryEscape(j.target.password), j.target.key} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}

// maskLong hides what begins like the value.
func maskLong(text, v string) string {
	for i := strings.Index(text, v[:32]); i >= 0; i = strings.Index(text, v[:32]) {
		n := 32
		for n < len(v) && i+n < len(text) && text[i+n] == v[n] {
			n++
		}
		text = text[:i] + "***" + text[i+n:]
	}
	return text
}

// permanent reports whether another attempt fails likewise. What is not known may pass.
func permanent(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return permanentState(pg.Code)
	}
	if my, ok := errors.AsType[*sqldriver.MySQLError](err); ok {
		return permanentMySQL(my)
	}
	if lite, ok := errors.AsType[*sqlitedriver.Error](err); ok {
		return permanentSQLite(lite.Code() & 0xff)
	}
	for _, judge := range judges {
		if _, permanent, known := judge(err); known {
			return permanent
		}
	}
	refusesTLS := errors.Is(err, sqldriver.ErrNoTLS) || strings.HasSuffix(err.Error(), "server refused TLS connection")
	return refusesTLS || executors.IsPermanent(network.Classed(err))
}

// permanentState judges an SQLSTATE: by its class, with the exceptions named. Classes that may pass are connections (08), conflicts
// between transactions (40), lack of resources (53), the operator's doing (57) and the server's own faults (58, XX).
func permanentState(code string) bool {
	switch code {
	case "55P03", "55006": // lock not available, object in use
		return false
	case "08P01": // protocol violation: a wrong number of parameters
		return true
	}
	if len(code) < 2 {
		return false
	}
	switch code[:2] {
	case "08", "40", "53", "57", "58", "XX":
		return false
	}
	return true
}

// permanentMySQL knows the numbers whose SQLSTATE is the general one, and else goes by the class.
func permanentMySQL(e *sqldriver.MySQLError) bool {
	switch e.Number {
	case 1040, 1203, 1226, // too many connections
		1205, 1213, 1020, 3572, // lock wait, deadlock, record has changed, lock not available
		1053, 1077, 1079, 1080, 3168, // shutdown
		1021, 1114, 1041, 1037, 1038, // disk, table, memory is full
		1290, 1836, 3100, // read-only for now: a replica
		1317, 1028, 1969, 3024, 1927, 1094, // interrupted, statement time, killed
		1158, 1159, 1160, 1161, 1152, 1184, 1189, 1190: // network
		return false
	}
	return permanentState(string(e.SQLState[:]))
}

// permanentSQLite judges a primary result code.
func permanentSQLite(code int) bool {
	switch code {
	case 5, 6, 7, 9, 10, 13, 15: // busy, locked, out of memory, interrupted, input or output, full, protocol
		return false
	}
	return true
}

// missingTable reports whether a statement's table is not there.
func missingTable(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == "42P01"
	}
	if my, ok := errors.AsType[*sqldriver.MySQLError](err); ok {
		return my.Number == 1146
	}
	lite, ok := errors.AsType[*sqlitedriver.Error](err)
	return ok && strings.Contains(lite.Error(), "no such table")
}
