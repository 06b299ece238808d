package ssh

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMarksAreTakenOut: wherever the stream is cut into pieces, and whatever looks like a mark.
func TestMarksAreTakenOut(t *testing.T) {
	t.Parallel()
	const mark = "aabaab"
	stream := "x" + mark + ">12\nyaab\naabaa" + mark + "=0\n" + mark + "?\n" + mark + "=-1\n" + mark + strings.Repeat("z", 100) + mark
	want := "xyaab\naabaa" + mark + "?\n" + mark + "=-1\n" + mark + strings.Repeat("z", 100) + mark
	for size := 1; size < len(stream); size++ {
		var out bytes.Buffer
		said := ""
		m := newMarks(mark, &out, func(kind byte, number int) { said += fmt.Sprintf("%c%d ", kind, number) })
		for rest := []byte(stream); len(rest) > 0; {
			n := min(size, len(rest))
			_, _ = m.Write(rest[:n])
			rest = rest[n:]
		}
		_ = m.Close()
		if out.String() != want || said != ">12 =0 " {
			t.Fatalf("in pieces of %d: got %q, said %q", size, out.String(), said)
		}
	}
}

func TestScriptsHoldWhatEveryShellReads(t *testing.T) {
	for _, script := range []string{runLaunched, guardScript, fenceScript} {
		inner, ok := strings.CutPrefix(script, launch)
		if inner, isWord := strings.CutSuffix(inner, "'"); !ok || !isWord || strings.ContainsAny(inner, "'\n\\") {
			t.Errorf("not one word in single quotes: %s", script)
		}
	}
}

// TestShells runs the script with every shell of this machine as login shell.
func TestShells(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dash", "bash", "zsh", "mksh", "ksh", "fish", "tcsh"} {
		shell, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		for way, script := range map[string]string{"launched": runLaunched, "direct": runDirect} {
			if way == "direct" && (name == "fish" || name == "tcsh") {
				continue
			}
			t.Run(name+" "+way, func(t *testing.T) {
				t.Parallel()
				h := header{command: "printenv A\nexit 3", env: []variable{{"A", "a 'b\n"}}}
				if out, code := runShell(t, shell, script, h, "", false); code != 3 || out != "a 'b\n\n" {
					t.Errorf("got %q, %d", out, code)
				}
				h = header{command: "printenv A", env: []variable{{"A", "a"}}} // a program alone
				if out, code := runShell(t, shell, script, h, "", false); code != 0 || out != "a\n" {
					t.Errorf("a program: got %q, %d", out, code)
				}
				h = header{command: "cat -", stdin: true}
				if out, code := runShell(t, shell, script, h, "\ninput", true); code != 0 || out != "input" {
					t.Errorf("a program with stdin: got %q, %d", out, code)
				}
				h = header{command: "echo ready; cat", stdin: true}
				if out, code := runShell(t, shell, script, h, "\ninput", true); code != 0 || out != "ready\ninput" {
					t.Errorf("with stdin: got %q, %d", out, code)
				}
				h = header{command: "sleep 600", limit: limit{50 * time.Millisecond, 5 * time.Second}}
				if out, code := runShell(t, shell, script, h, "", false); code != 143 || out != "" && out != "Terminated \n" { // ksh says so
					t.Errorf("at its limit: got %q, %d", out, code)
				}
				h = header{command: "sh -c 'echo ready; exec sleep 600'", grace: 5 * time.Second}
				if out, code := runShell(t, shell, script, h, "", true); code != 143 || out != "ready\n" && out != "ready\nTerminated \n" {
					t.Errorf("at the end of input: got %q, %d", out, code)
				}
			})
		}
	}
}

// TestBashDoesNotTakeForAProgramWhatIsNone: of commands that look like one.
func TestBashDoesNotTakeForAProgramWhatIsNone(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	start := filepath.Join(t.TempDir(), "start")
	text := "shopt -s expand_aliases\nalias uname='echo alias'\nsleep(){ echo function $1; }\n"
	if err := os.WriteFile(start, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		command, out string
		code         int
	}{
		{"uname -s", "alias -s\n", 0},
		{"sleep 600", "function 600\n", 0},
		{"echo builtin", "builtin\n", 0},
		{"exit 7", "", 7},
		{"time true", "", 0}, // it is the shell's
		{"kill -l 9", "KILL\n", 0},
		{"printenv SHLVL", "1\n", 0},
	} {
		h := header{command: row.command}
		out, code := runShell(t, bash, runDirect, h, "", false, "BASH_ENV="+start, "TIMEFORMAT=", "SHLVL=0")
		if out != row.out || code != row.code {
			t.Errorf("%s: got %q, %d, want %q, %d", row.command, out, code, row.out, row.code)
		}
	}
	if out, code := runShell(t, bash, runDirect, header{command: "nosuchprogram a"}, "", false); code != 127 || strings.Contains(out, "exec") {
		t.Errorf("what is not there: got %q, %d", out, code)
	}
}

func TestProgramOfACommand(t *testing.T) {
	for command, want := range map[string]string{
		"uptime": "uptime", "cat /proc/loadavg": "cat", "systemctl  restart my-app@1.service": "systemctl", "git.exe --a=b,c:d": "git.exe",
		"A=b printenv": "", "cat ~/x": "", "cat *": "", "cat $x": "", "cat <x": "", "a|b": "", "a;b": "", "a&": "", "a\nb": "", "a\n": "", " a": "", "a ": "", "": "",
		"'a'": "", `\a`: "", "a `b`": "", "a {b,c}": "", "a #": "", "! a": "", "[ a ]": "", "(a)": "", "-a": "", "/bin/a": "", "./a": "", "%1": "", "a !b": "", "é": "",
		"time ls": "", "if": "", "coproc a": "", "a?": "", "a\tb": "", "a^b^": "", "a\x00": "",
	} {
		if got := program(command); got != want {
			t.Errorf("%q: got %q, want %q", command, got, want)
		}
	}
}

// runShell runs a script as sshd does. It tells the output, stdout and then stderr, and the exit code by the script's mark.
func runShell(t *testing.T, shell, script string, h header, input string, end bool, env ...string) (output string, code int) {
	t.Helper()
	h.mark = newMark()
	if h.grace == 0 {
		h.grace = time.Second
	}
	var stdout, stderr bytes.Buffer
	code = -1
	cmd := exec.Command(shell, "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), append(env, "SHELL="+shell, "HOME="+cmd.Dir, "ZDOTDIR="+cmd.Dir)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	filter := newMarks(h.mark, &stderr, func(kind byte, number int) {
		if kind == '=' {
			code = number
		}
	})
	ready := make(chan struct{})
	cmd.Stdout, cmd.Stderr = &watched{to: &stdout, seen: ready}, filter
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	_, _ = io.WriteString(in, h.line()+input)
	if end {
		<-ready
		in.Close()
	}
	_ = cmd.Wait()
	_ = filter.Close()
	return stdout.String() + stderr.String(), code
}

// watched says when something was written.
type watched struct {
	to   io.Writer
	seen chan struct{}
	once sync.Once
}

func (w *watched) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.seen) })
	return w.to.Write(p)
}
