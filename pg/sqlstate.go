package pg

import (
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// blame says whose fault an error of Postgres is, and so what may help.
type blame int

const (
	ours    blame = iota // a fault of this program, or one that nobody foresaw
	content              // what was to be written: it fails again however often it is tried
	others               // what ran beside it: the same call may succeed at once
	outage               // the server can't work now: the same call may succeed later
	refusal              // the server lacks what an administrator has to give
)

// sqlstates is what SQLSTATEs mean here (Postgres documentation, appendix A); the longest prefix counts. says is for clients,
// after "Postgres".
var sqlstates = []struct {
	prefix string
	blame  blame
	says   string
}{
	{"08", outage, "can't be reached"},
	{"25006", outage, "takes no writes: it is read-only"}, // a standby, or default_transaction_read_only
	{"25P03", outage, "ended a transaction that waited for too long"},
	{"25P04", outage, "ended a transaction that took too long"},
	{"53", outage, "lacks resources"},
	{"53100", outage, "has no disk space left"},
	{"53200", outage, "is out of memory"},
	{"53300", outage, "has no connection left"},
	{"55000", outage, "is not in the state for this"}, // a standby that has not caught up, say
	{"57P", outage, "is stopping or starting"},
	{"58", outage, "has trouble with its files"},

	{"40001", others, "had too many transactions that change the same rows"}, // after all tries, as 40P01
	{"40P01", others, "had too many transactions that wait for each other"},
	{"55P03", others, "kept rows locked for too long"},
	{"57014", others, "took too long"},

	{"28", refusal, "refuses the login"},
	{"3D000", refusal, "has no such database"},
	{"42501", refusal, "refuses permission"},

	{"22", content, ""},
	{"23", content, ""},
	{"54", content, ""},
}

// meaning looks a SQLSTATE up. ok is false if err is none of Postgres.
func meaning(err error) (b blame, says string, ok bool) {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return ours, "", false
	}
	longest := 0
	for _, s := range sqlstates {
		if strings.HasPrefix(e.Code, s.prefix) && len(s.prefix) > longest {
			b, says, longest = s.blame, s.says, len(s.prefix)
		}
	}
	return b, says, true
}

// Lasting reports whether the same write will fail again however often it is tried: Postgres rejected the data. The batch that
// holds it is to be halved.
func Lasting(err error) bool {
	b, _, _ := meaning(err)
	return b == content || Unreadable(err)
}

// Unreachable reports whether an error says that the database can't be reached now, or can't work for the time being, so that
// the same call may well succeed later.
func Unreachable(err error) bool {
	if b, _, ok := meaning(err); ok {
		return b == outage
	}
	if _, ok := errors.AsType[*PoolerError](err); ok {
		return false
	}
	if _, ok := errors.AsType[*FormerError](err); ok { // the newer one will be found
		return true
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*CredentialError](err); ok { // the file, or the service that makes tokens, may be back soon
		return true
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// Unavailable reports whether an error means the server, or what else goes on there, and not this program; why says so to
// clients. It is true wherever [Unreachable] is.
func Unavailable(err error) (why string, yes bool) {
	if e, ok := errors.AsType[*FormerError](err); ok {
		if e.Standby {
			return "Postgres is a standby", true
		}
		return "Postgres is a former primary, and the present one is not found yet", true
	}
	switch b, says, ok := meaning(err); {
	case ok && (b == others || b == outage || b == refusal):
		return "Postgres " + says, true
	case !ok && Unreachable(err):
		return "Postgres can't be reached", true
	}
	return "", false
}

// transient reports whether Postgres undid a transaction only because of others that ran beside it.
func transient(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40001" || e.Code == "40P01")
}
