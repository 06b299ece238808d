package ssh

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// A command runs under a script, in the process group of the session, which sshd makes for each. The script's first line
// of input says what to run. It says on stderr, between the command's own output, when the command begins and ends:
//
//	MARK>PID   the process group, which the script leads
//	MARK=CODE  the command has ended; the script kills what is left of the group, itself included
//
// Meanwhile a guard in the group reads the rest of the input. The end of the input, which comes when the worker asks for it, when it dies and
// when the connection breaks, ends the group: SIGTERM, the grace time, SIGKILL.
//
// A command that reads stdin leaves no input for a guard. Then the guard runs in a second session, and the command waits until it does.
//
// So that a frozen worker, whose connection stays, loses its commands too, a fence in a session of its own ends the connection (it kills the
// process of sshd that has it) unless the worker moves the time for that. Where it can't, each guard is told: a line "SECONDS GRACE" moves the
// time when the group is ended.
//
// The fence also says whether the user's login shell is one that can read the script. Else, and where sshd makes no process group, sh reads it
// (launch), as one word in single quotes. So it holds no quote, newline or backslash, as csh and fish have rules of their own for them. They were
// tried with dash, bash, busybox, mksh and zsh as sh, and with these, fish and tcsh as login shells.
const (
	// launch makes the script the leader of a process group, if sshd has not, and runs it.
	launch = `exec /bin/sh -c 'kill -0 -$$ 2>/dev/null||exec setsid /bin/sh -c "$1" setsid;eval "$1"' sh '`

	// readHeader takes the header; z sleeps (not every sleep knows fractions).
	readHeader = `IFS= read -r tg_l||exit 125;eval "$tg_l";unset tg_l;z(){ sleep "$1" 2>/dev/null||sleep "${1%.*}";};`

	// guard: k ends the group, w reads what the worker says.
	guard = readHeader +
		`k(){ kill -TERM "-$tg_p";z "$1";kill -KILL "-$tg_p";};` +
		`w(){ trap "" TERM INT HUP QUIT;while :;do if [ "$tg_s" = . ];then return;elif [ "$tg_s" ];then ` +
		`[ "$tg_t" ]&&kill -KILL "$tg_t";(z "$tg_s"&&k "$tg_h")&tg_t=$!;fi;read -r tg_s tg_h||break;done;k "$tg_g";};`

	// runBegin, what runs tg_c with the output and input that it has, and runEnd are a script that runs a command.
	runBegin = guard + `exec 3<&0 </dev/null 4>&2 2>/dev/null;tg_p=$$;trap : TERM INT HUP QUIT;echo "$tg_m>$$" >&4;` +
		`if [ "$tg_i" ];then IFS= read -r tg_l <&3||exit 125;else w <&3 3<&- >/dev/null 2>&1 4>&1& exec 3</dev/null;fi;`
	runEnd = `echo "$tg_m=$?" >&4;kill -KILL "-$$"`

	// becomeProgram makes bash the program tg_x that the command names, which bash does with -c, and not with eval: that saves a process. What
	// is an alias, a function or the shell's own stays with eval: of the last two hash remembers nothing that -t could tell.
	becomeProgram = `[ "$tg_x" ]&&[ "$BASH_VERSION" ]&&! alias "$tg_x" >/dev/null 2>&1&&hash "$tg_x" 2>/dev/null&&hash -t "$tg_x" >/dev/null 2>&1&&` +
		`eval "exec $tg_c";`

	// runDirect is for a login shell that can read the script: it runs the command itself.
	runDirect = runBegin + `(tg_f;exec <&3 3<&- 2>&4 4>&-;` + becomeProgram + `eval "$tg_c");` + runEnd
	// runLaunched starts the login shell again for the command, without its .bashrc, which it has read (SHLVL).
	runLaunched = launch + runBegin + `(SHLVL=1;export SHLVL;tg_f;exec "${SHELL:-/bin/sh}" -c "$tg_c" <&3 3<&- 2>&4 4>&-);` + runEnd + `'`

	// guardScript guards the group tg_p of another session. Its line "." says that the group has ended.
	guardScript = launch + guard + `echo "$tg_m>$$" >&2;w >/dev/null 2>&1;kill -KILL "-$$"'`

	// fenceScript ends the connection in tg_s seconds. Each line says anew in how many; 0: never. It says MARK>N: N has 1 if it can, and 2 if
	// the login shell reads scripts.
	fenceScript = launch + readHeader + `tg_n=0;trap "" TERM INT HUP QUIT;` +
		`case $(ps -o comm= -p "$PPID" 2>/dev/null) in *sshd*)kill -0 "$PPID" 2>/dev/null&&tg_n=1;;esac;` +
		`case ${SHELL##*/} in bash|dash|sh|ash|ksh|mksh|zsh)tg_n=$((tg_n+2));;esac;` +
		`[ "$0" = setsid ]&&tg_n=0;echo "$tg_m>$tg_n" >&2;` +
		`while :;do [ "$tg_t" ]&&kill -KILL "$tg_t";tg_t=;[ "${tg_s:-0}" = 0 ]||{ (z "$tg_s"&&kill -KILL "$PPID")>/dev/null 2>&1& tg_t=$!;};` +
		`read -r tg_s||break;done;kill -KILL "-$$"'`

	// ourPrefix is what the scripts' variables begin with.
	ourPrefix = "tg_"
)

// header is the first line of a script's input: assignments, and a function that sets the command's environment. Nothing of it shows in the
// host's list of processes, but the command itself.
type header struct {
	mark    string
	grace   time.Duration
	limit   limit
	command string
	env     []variable
	stdin   bool
	group   int  // of the command, for [guardScript]
	fence   bool // for [fenceScript]
}

func (h *header) line() string {
	var b strings.Builder
	// A newline would end the line, so a variable stands for it.
	if n := "\n"; strings.Contains(h.command, n) || hasNewline(h.env) {
		b.WriteString(`tg_n=$(printf "\nx");tg_n=${tg_n%x};`)
	}
	stdin := ""
	if h.stdin {
		stdin = "1"
	}
	fmt.Fprintf(&b, "tg_m=%s;tg_g=%s;tg_s=%s;tg_h=%s;tg_t=;tg_i=%s;", h.mark, seconds(h.grace), seconds(h.limit.after), seconds(h.limit.grace), stdin)
	if h.fence {
		b.WriteString("\n")
		return b.String()
	}
	if h.group != 0 {
		fmt.Fprintf(&b, "tg_p=%d\n", h.group)
		return b.String()
	}
	b.WriteString("tg_c=" + quote(h.command) + ";tg_x=" + program(h.command) + ";tg_f(){ :")
	for _, v := range h.env {
		b.WriteString(";export " + v.Name + "=" + quote(v.Value))
	}
	b.WriteString(";}\n")
	return b.String()
}

var (
	// simpleCommand is a command of plain words: no shell makes anything else of them.
	simpleCommand = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9_.+-]*)( +[A-Za-z0-9_.+/:,@%=-]+)*$`)
	// reserved are words of shells' grammars, which a program may have as its name.
	reserved = strings.Fields("case coproc do done elif else end esac fi for foreach function if in nocorrect repeat select then time until while")
)

// program is the name of the program that a command of plain words runs, unless the shell knows better; empty for any other command.
func program(command string) string {
	words := simpleCommand.FindStringSubmatch(command)
	if words == nil || slices.Contains(reserved, words[1]) {
		return ""
	}
	return words[1]
}

func hasNewline(env []variable) bool {
	for _, v := range env {
		if strings.Contains(v.Value, "\n") {
			return true
		}
	}
	return false
}

// quote is a text as one word of a POSIX shell, without a newline in it.
func quote(s string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "\n", `'"$tg_n"'`).Replace(s) + "'"
}

// limit is when a command is ended unless the worker says something else: SIGTERM after a time, SIGKILL a grace time later. Zero: never.
type limit struct{ after, grace time.Duration }

// leaseLimit is the limit of a lease, so that the grace time is over at its end.
func leaseLimit(lease executors.Lease, grace time.Duration) limit {
	until := lease.Until()
	if until.IsZero() {
		return limit{}
	}
	left := max(time.Until(until), time.Millisecond)
	grace = min(grace, left/2)
	return limit{left - grace, grace}
}

func (l limit) line() string { return seconds(l.after) + " " + seconds(l.grace) + "\n" }

// seconds is a duration for sleep, rounded down; empty for 0.
func seconds(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d >= 10*time.Second:
		return strconv.Itoa(int(d.Seconds()))
	}
	return strconv.FormatFloat(max(d.Truncate(time.Millisecond).Seconds(), 0.001), 'f', 3, 64)
}

// newMark is a word that no output holds by chance, and that a command can't know.
func newMark() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// marks passes a stream on without a script's marks. It belongs to the goroutine that writes.
type marks struct {
	mark []byte
	to   io.Writer
	said func(kind byte, number int)
	held []byte // the beginning of a mark, perhaps
}

func newMarks(mark string, to io.Writer, said func(kind byte, number int)) *marks {
	return &marks{mark: []byte(mark), to: to, said: said}
}

// maxMarkBytes is more than a mark and its number have.
const maxMarkBytes = 64

// Write implements [io.Writer].
func (m *marks) Write(p []byte) (int, error) {
	m.held = append(m.held, p...)
	for {
		at := bytes.Index(m.held, m.mark)
		if at < 0 {
			m.pass(len(m.held) - overlap(m.held, m.mark))
			return len(p), nil
		}
		m.pass(at)
		end := bytes.IndexByte(m.held, '\n')
		if end < 0 && len(m.held) < maxMarkBytes {
			return len(p), nil
		}
		if kind, number, ok := m.parse(end); ok {
			m.said(kind, number)
			m.held = m.held[:copy(m.held, m.held[end+1:])]
			continue
		}
		m.pass(len(m.mark)) // somebody else wrote it
	}
}

// parse reads the line of a mark, which the held bytes begin with.
func (m *marks) parse(end int) (kind byte, number int, ok bool) {
	if end <= len(m.mark)+1 {
		return 0, 0, false
	}
	number, err := strconv.Atoi(string(m.held[len(m.mark)+1 : end]))
	return m.held[len(m.mark)], number, err == nil && number >= 0
}

// pass passes on the first n bytes that are held.
func (m *marks) pass(n int) {
	if n > 0 {
		_, _ = m.to.Write(m.held[:n])
		m.held = m.held[:copy(m.held, m.held[n:])]
	}
}

// Close passes on what is left, and closes what it was passed on to.
func (m *marks) Close() error {
	m.pass(len(m.held))
	if closer, ok := m.to.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// overlap is how many bytes at the end of b are a beginning of mark.
func overlap(b, mark []byte) int {
	for n := min(len(b), len(mark)-1); n > 0; n-- {
		if bytes.HasPrefix(mark, b[len(b)-n:]) {
			return n
		}
	}
	return 0
}
