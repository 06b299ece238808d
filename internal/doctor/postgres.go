package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Postgres are the facts of a Postgres server, as one connection sees them.
type Postgres struct {
	Address string // host:port, or a socket; without user and password
	Err     error  // why nothing else is known; nil: it answers
	// Faults are what could not be looked at, by the check that it stands for.
	Faults map[string]error

	Role, Database string
	Superuser      bool
	SeesAll        bool // what other users' sessions do
	Version        int  // 170002
	Settings       map[string]string
	Standby        bool // in recovery
	Pooler         bool // stands between
	PoolerError    string
	TLS            Wire

	Schema   string   // that our tables are in; empty: there are none
	Missing  []string // rights that the role lacks, as in a grant
	Behind   []string // migrations that this version has and the database lacks
	Ahead    []string // that the database has and this version does not know
	Sessions int      // of clients
	Ours     int      // of those, of programs of ours
	Bytes    int64    // of the database
	WALBytes int64    // of the write-ahead log; below 0: the role may not see it
	XIDAge   int64    // transactions since the oldest row of a database that is not frozen
	Tables   []Table
	Open     []OpenTransaction
	Prepared []OpenTransaction
	Slots    []Slot
	SyncUp   int           // standbys that are synchronous now
	Skew     time.Duration // its clock less ours
	Within   time.Duration // that the skew is exact to
}

// Wire is how a connection is encrypted.
type Wire struct {
	Encrypted bool
	Local     bool      // the connection does not leave the machine, as far as its address says
	Ends      time.Time // when the first certificate of the other side ends; zero: unknown
}

// Table is a table that changes much.
type Table struct {
	Name       string
	Live, Dead int64
	Bytes      int64
	Off        bool      // autovacuum is, for it
	Vacuumed   time.Time // last, by hand or not; zero: never
}

// OpenTransaction is one that is open.
type OpenTransaction struct {
	PID     int
	Name    string // of the program, or of a prepared transaction
	User    string
	Idle    bool // it waits for its client
	Age     time.Duration
	Backing bool // its process is one of Postgres's own: a base backup, a vacuum
}

// Slot is a replication slot.
type Slot struct {
	Name   string
	Active bool
	Held   int64  // bytes of the log that it holds back; below 0: unknown
	State  string // reserved, extended, unreserved, lost
}

// Bounds of what is judged.
const (
	oldestPostgres = 150000
	skewNote       = 500 * time.Millisecond
	skewWarning    = 5 * time.Second
	certificateDue = 14 * 24 * time.Hour
	longOpen       = 10 * time.Minute
	veryLongOpen   = time.Hour
	idleOpen       = time.Minute // ours are ended after that
	preparedOpen   = 10 * time.Minute
	fewRows        = 10_000 // dead rows that nobody notices
	walNote        = 8 << 30
	walWarning     = 64 << 30
	slotWarning    = 4 << 30
	slotProblem    = 32 << 30
	xidWarning     = 1_000_000_000
	xidProblem     = 1_600_000_000
)

// JudgePostgres judges what is known of Postgres. coordinators is how many there are, and each how many connections one of them may have; 0: unknown.
func JudgePostgres(p *Postgres, coordinators, each int, now time.Time) []Finding {
	if p.Err != nil {
		return []Finding{find(PostgresReach, Problem, p.Address, "Postgres does not answer: "+oneLine(p.Err.Error()))}
	}
	j := judge{faults: p.Faults}
	if p.PoolerError != "" {
		j.pooler(p)
		return j.findings
	}
	j.add(find(PostgresReach, OK, p.Address, fmt.Sprintf("answers as role %q in database %q", p.Role, p.Database)))
	if p.Version < oldestPostgres {
		j.add(find(PostgresVersion, Problem, "", fmt.Sprintf("Postgres is %s, and 15 is the oldest that works", versionOf(p.Version))))
	} else {
		j.add(find(PostgresVersion, OK, "", "Postgres "+versionOf(p.Version)))
	}
	j.add(judgeWire(PostgresTLS, "Postgres", p.TLS, now)...)
	j.schema(p)
	j.unless(PostgresRights, func() { j.rights(p) })
	j.writes(p)
	j.pooler(p)
	j.unless(PostgresConnections, func() { j.connections(p, coordinators, each) })
	j.durability(p)
	j.unless(PostgresDisk, func() { j.disk(p) })
	j.unless(PostgresAutovacuum, func() { j.vacuum(p, now) })
	j.unless(PostgresXID, func() { j.xid(p) })
	j.unless(PostgresLong, func() { j.transactions(p) })
	j.unless(PostgresSlots, func() { j.slots(p) })
	j.add(judgeSkew(PostgresClock, "Postgres", p.Skew, p.Within))
	return j.findings
}

// judge collects findings.
type judge struct {
	findings []Finding
	faults   map[string]error
}

func (j *judge) add(f ...Finding) { j.findings = append(j.findings, f...) }

// unless judges a check, unless its facts could not be had.
func (j *judge) unless(id string, f func()) {
	if err := j.faults[id]; err != nil {
		j.add(Failed(id, "", err))
		return
	}
	f()
}

func versionOf(n int) string { return fmt.Sprintf("%d.%d", n/10000, n%10000) }

func judgeWire(id, what string, w Wire, now time.Time) []Finding {
	left := w.Ends.Sub(now)
	switch {
	case w.Encrypted && !w.Ends.IsZero() && left < 0:
		return []Finding{find(id, Problem, "", fmt.Sprintf("the certificate of %s ended on %s", what, w.Ends.UTC().Format(time.DateOnly)))}
	case w.Encrypted && !w.Ends.IsZero() && left < certificateDue:
		return []Finding{find(id, Warning, "", fmt.Sprintf("the certificate of %s ends on %s, in %s", what, w.Ends.UTC().Format(time.DateOnly), days(left)))}
	case w.Encrypted && !w.Ends.IsZero():
		return []Finding{find(id, OK, "", fmt.Sprintf("encrypted; the certificate lasts until %s", w.Ends.UTC().Format(time.DateOnly)))}
	case w.Encrypted:
		return []Finding{find(id, OK, "", "encrypted")}
	case w.Local:
		return []Finding{find(id, OK, "", "plain text, which does not leave the machine")}
	}
	return []Finding{find(id, Warning, "", fmt.Sprintf("the connection to %s is plain text, and leaves the machine", what))}
}

// JudgeTLS judges how a connection of the client is encrypted.
func JudgeTLS(id, what string, w Wire, now time.Time) []Finding { return judgeWire(id, what, w, now) }

func judgeSkew(id, what string, skew, within time.Duration) Finding {
	off := skew.Abs()
	switch {
	case off > within+skewWarning:
		return find(id, Warning, what, fmt.Sprintf("its clock is %s", apart(skew)))
	case off > within+skewNote:
		return find(id, Note, what, fmt.Sprintf("its clock is %s", apart(skew)))
	}
	return find(id, OK, what, fmt.Sprintf("its clock is right, within %s", max(off, within).Round(time.Millisecond)))
}

// JudgeSkew judges the clock of something against that of who asks. skew is its clock less ours.
func JudgeSkew(id, what string, skew, within time.Duration) Finding {
	return judgeSkew(id, what, skew, within)
}

func apart(skew time.Duration) string {
	way := "ahead"
	if skew < 0 {
		way = "behind"
	}
	return fmt.Sprintf("%s %s", skew.Abs().Round(10*time.Millisecond), way)
}

func days(d time.Duration) string {
	if n := int(d.Hours() / 24); n != 1 {
		return fmt.Sprintf("%d days", n)
	}
	return "1 day"
}

func (j *judge) schema(p *Postgres) {
	switch {
	case j.faults[PostgresSchema] != nil:
		j.add(Failed(PostgresSchema, "", j.faults[PostgresSchema]))
	case p.Schema == "":
		j.add(find(PostgresSchema, Warning, "", "the database has no tables of Taskgrove yet"))
	case len(p.Ahead) > 0:
		j.add(find(PostgresSchema, Problem, "", fmt.Sprintf("the database was migrated by a newer version: this one does not know %s", some(p.Ahead)),
			"Use the version that migrated it, or a newer one."))
	case len(p.Behind) > 0:
		j.add(find(PostgresSchema, Problem, "", fmt.Sprintf("the database lacks %d migrations of this version: %s", len(p.Behind), some(p.Behind))))
	default:
		j.add(find(PostgresSchema, OK, "", fmt.Sprintf("all migrations are there, in schema %q", p.Schema)))
	}
}

// some are the first of the words.
func some(words []string) string {
	const most = 5
	if len(words) <= most {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
}

func (j *judge) rights(p *Postgres) {
	var grants []string
	for _, m := range p.Missing {
		grants = append(grants, fmt.Sprintf("grant %s to %q", m, p.Role))
	}
	switch {
	case len(grants) > 0:
		j.add(find(PostgresRights, Problem, "", fmt.Sprintf("role %q lacks rights: %s", p.Role, some(p.Missing)), grants...))
	case p.Superuser:
		j.add(find(PostgresRights, Note, "", fmt.Sprintf("role %q is a superuser; a coordinator needs much less", p.Role),
			"create role taskgrove login; then grant it what docs/reliability.md (Rights in Postgres) lists"))
	default:
		j.add(find(PostgresRights, OK, "", fmt.Sprintf("role %q has what it needs", p.Role)))
	}
}

func (j *judge) writes(p *Postgres) {
	switch {
	case p.Standby:
		j.add(find(PostgresWrites, Problem, "", "the server is a standby: it takes no writes"))
	case p.Settings["default_transaction_read_only"] == "on":
		j.add(find(PostgresWrites, Problem, "", "default_transaction_read_only is on: the server takes no writes",
			"alter system set default_transaction_read_only = off; select pg_reload_conf(); and the same of the database and the role: alter role NAME reset default_transaction_read_only"))
	default:
		j.add(find(PostgresWrites, OK, "", "it takes writes"))
	}
}

func (j *judge) pooler(p *Postgres) {
	switch {
	case p.PoolerError != "":
		j.add(find(PostgresPooler, Problem, "", oneLine(p.PoolerError)))
	case p.Pooler:
		j.add(find(PostgresPooler, OK, "", "a pooler is between, in transaction or session mode; each transaction brings its own settings"))
	default:
		j.add(find(PostgresPooler, OK, "", "no pooler is between"))
	}
}

func (j *judge) connections(p *Postgres, coordinators, each int) {
	most := p.number("max_connections") - p.number("superuser_reserved_connections") - p.number("reserved_connections")
	want := coordinators * each
	used := fmt.Sprintf("%d of %d connections are in use, %d by Taskgrove", p.Sessions, most, p.Ours)
	switch {
	case most <= 0:
		return
	case !p.Pooler && want > most:
		j.add(find(PostgresConnections, Warning, "", fmt.Sprintf("%d coordinators with %d connections each may want %d, and max_connections leaves %d for ordinary roles", coordinators, each, want, most)))
	case p.Sessions*10 >= most*9:
		j.add(find(PostgresConnections, Warning, "", used))
	default:
		j.add(find(PostgresConnections, OK, "", used))
	}
}

// number is a setting that is one; 0: it is not there.
func (p *Postgres) number(setting string) int {
	n, _ := strconv.Atoi(p.Settings[setting])
	return n
}

func (j *judge) durability(p *Postgres) {
	bad := 0
	for _, s := range []struct{ name, risk string }{
		{"fsync", "a crash of the machine may destroy the database"},
		{"full_page_writes", "a crash of the machine may destroy the database, unless its file system writes pages whole"},
		{"synchronous_commit", "a crash of Postgres loses the last commits"},
	} {
		if p.Settings[s.name] != "off" {
			continue
		}
		bad++
		severity := Problem
		if s.name == "synchronous_commit" {
			severity = Warning
		}
		j.add(find(PostgresDurability, severity, s.name, s.name+" is off: "+s.risk, fmt.Sprintf("alter system set %s = on; select pg_reload_conf()", s.name)))
	}
	if bad == 0 {
		j.add(find(PostgresDurability, OK, "", fmt.Sprintf("fsync and full_page_writes are on, synchronous_commit is %s", p.Settings["synchronous_commit"])))
	}
	if names := p.Settings["synchronous_standby_names"]; names != "" && !slices.Contains([]string{"off", "local"}, p.Settings["synchronous_commit"]) {
		switch {
		case j.faults[PostgresStandby] != nil:
			j.add(Failed(PostgresStandby, "", j.faults[PostgresStandby]))
		case p.SyncUp == 0 && p.SeesAll:
			j.add(find(PostgresStandby, Problem, "", fmt.Sprintf("synchronous_standby_names is %q, and no standby is synchronous: commits wait for one", names)))
		case p.SyncUp == 0:
			j.add(find(PostgresStandby, Note, "", fmt.Sprintf("synchronous_standby_names is %q; the role may not see whether such a standby is there", names), "grant pg_monitor to the role, to have that looked at"))
		default:
			j.add(find(PostgresStandby, OK, "", fmt.Sprintf("%d standbys are synchronous", p.SyncUp)))
		}
	}
}

func (j *judge) disk(p *Postgres) {
	const unseen = "; how much room is left on the disk can't be seen by SQL"
	text := fmt.Sprintf("the database has %s", size(p.Bytes))
	switch {
	case p.WALBytes < 0:
		j.add(find(PostgresDisk, OK, "", text+"; the role may not see how large the write-ahead log is (grant pg_monitor)"+unseen))
	case p.WALBytes > walWarning:
		j.add(find(PostgresDisk, Warning, "", fmt.Sprintf("%s, and the write-ahead log %s%s", text, size(p.WALBytes), unseen)))
	case p.WALBytes > walNote:
		j.add(find(PostgresDisk, Note, "", fmt.Sprintf("%s, and the write-ahead log %s%s", text, size(p.WALBytes), unseen)))
	default:
		j.add(find(PostgresDisk, OK, "", fmt.Sprintf("%s, and the write-ahead log %s%s", text, size(p.WALBytes), unseen)))
	}
}

// size is a number of bytes for people.
func size(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"}
	v, i := float64(n), 0
	for ; v >= 1024 && i < len(units)-1; i++ {
		v /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

func (j *judge) vacuum(p *Postgres, now time.Time) {
	before := len(j.findings)
	for _, s := range []string{"autovacuum", "track_counts"} {
		if p.Settings[s] == "off" {
			j.add(find(PostgresAutovacuum, Problem, "", s+" is off: dead rows are never removed"))
		}
	}
	for i := range p.Tables {
		if t := &p.Tables[i]; t.Off {
			j.add(find(PostgresAutovacuum, Problem, t.Name, fmt.Sprintf("autovacuum is off for table %s", t.Name), fmt.Sprintf("alter table %s reset (autovacuum_enabled)", t.Name)))
		}
	}
	if len(j.findings) == before {
		j.add(find(PostgresAutovacuum, OK, "", "autovacuum is on"))
	}
	before = len(j.findings)
	for i := range p.Tables {
		t := &p.Tables[i]
		severity := Note
		switch {
		case t.Dead < fewRows || t.Dead*2 < t.Live:
			continue
		case t.Dead > 20*fewRows && t.Dead > 2*t.Live:
			severity = Warning
		}
		last := "never"
		if !t.Vacuumed.IsZero() {
			last = now.Sub(t.Vacuumed).Round(time.Second).String() + " ago"
		}
		j.add(find(PostgresBloat, severity, t.Name, fmt.Sprintf("table %s (%s) has %d dead rows beside %d live ones; it was vacuumed last: %s", t.Name, size(t.Bytes), t.Dead, t.Live, last),
			"End what holds them first: see pg-long, pg-idle, pg-slots and pg-prepared.", fmt.Sprintf("vacuum (verbose) %s", t.Name)))
	}
	if len(j.findings) == before {
		j.add(find(PostgresBloat, OK, "", "the tables have few dead rows"))
	}
}

func (j *judge) xid(p *Postgres) {
	text := fmt.Sprintf("the oldest rows are %d million transactions old, of 2147 million at most", p.XIDAge/1_000_000)
	switch {
	case p.XIDAge > xidProblem:
		j.add(find(PostgresXID, Problem, "", text))
	case p.XIDAge > xidWarning:
		j.add(find(PostgresXID, Warning, "", text))
	default:
		j.add(find(PostgresXID, OK, "", text))
	}
}

func (j *judge) transactions(p *Postgres) {
	long, idle := 0, 0
	for _, o := range p.Open {
		who := fmt.Sprintf("process %d (%s, user %s)", o.PID, cleaned(o.Name), cleaned(o.User))
		end := fmt.Sprintf("select pg_terminate_backend(%d)", o.PID)
		look := fmt.Sprintf("select * from pg_stat_activity where pid = %d", o.PID)
		age := o.Age.Round(time.Second)
		switch {
		case o.Idle && o.Age > idleOpen:
			idle++
			severity := Warning
			if o.Age > longOpen {
				severity = Problem
			}
			j.add(find(PostgresIdle, severity, strconv.Itoa(o.PID), fmt.Sprintf("%s is idle in a transaction that began %s ago", who, age), look, end))
		case !o.Idle && o.Age > longOpen:
			long++
			severity := Note
			if o.Age > veryLongOpen {
				severity = Warning
			}
			j.add(find(PostgresLong, severity, strconv.Itoa(o.PID), fmt.Sprintf("%s has a transaction that began %s ago", who, age), look, end))
		}
	}
	unseen := ""
	if !p.SeesAll {
		unseen = ", as far as the role may see (grant pg_monitor shows all)"
	}
	if long == 0 {
		j.add(find(PostgresLong, OK, "", "no transaction is older than "+longOpen.String()+unseen))
	}
	if idle == 0 {
		j.add(find(PostgresIdle, OK, "", "no session has been idle in a transaction for longer than "+idleOpen.String()+unseen))
	}
	prepared := 0
	for _, o := range p.Prepared {
		if o.Age > preparedOpen {
			prepared++
			j.add(find(PostgresPrepared, Warning, o.Name, fmt.Sprintf("prepared transaction %q is %s old", cleaned(o.Name), o.Age.Round(time.Second)), fmt.Sprintf("rollback prepared '%s'", strings.ReplaceAll(cleaned(o.Name), "'", "''"))))
		}
	}
	if prepared == 0 {
		j.add(find(PostgresPrepared, OK, "", "none"))
	}
}

// cleaned is a name that somebody gave, in one line.
func cleaned(text string) string {
	if text = oneLine(text); text == "" {
		return "unnamed"
	}
	return text
}

func (j *judge) slots(p *Postgres) {
	before := len(j.findings)
	for _, s := range p.Slots {
		name := strings.ReplaceAll(s.Name, "'", "''")
		drop := fmt.Sprintf("Bring its reader back, or: select pg_drop_replication_slot('%s')", name)
		switch {
		case s.State == "lost":
			j.add(find(PostgresSlots, Warning, s.Name, fmt.Sprintf("slot %s has lost its log: its reader must begin anew", s.Name), drop))
		case s.Held > slotProblem:
			j.add(find(PostgresSlots, Problem, s.Name, fmt.Sprintf("slot %s holds back %s of the write-ahead log", s.Name, size(s.Held)), drop))
		case s.Held > slotWarning, !s.Active && s.Held > slotWarning/16:
			j.add(find(PostgresSlots, Warning, s.Name, fmt.Sprintf("slot %s%s holds back %s of the write-ahead log", s.Name, inactive(s), size(s.Held)), drop))
		case !s.Active:
			j.add(find(PostgresSlots, Note, s.Name, fmt.Sprintf("slot %s has no reader at the moment", s.Name), drop))
		}
	}
	if len(j.findings) == before {
		j.add(find(PostgresSlots, OK, "", "no slot holds much of the log back"))
	}
}

func inactive(s Slot) string {
	if s.Active {
		return ""
	}
	return ", which nobody reads,"
}
