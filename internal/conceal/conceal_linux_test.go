package conceal_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/taskgrove/taskgrove/internal/conceal"
)

// Children of the test: one that holds a secret, and one that looks for it.
const (
	role   = "CONCEAL_TEST_ROLE"
	secret = "CONCEAL_TEST_SECRET=hunter2"
)

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "open":
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "closed":
		fmt.Println("ready", conceal.Process(), os.Getenv("CONCEAL_TEST_SECRET"))
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "attack":
		attack(os.Args[1])
	default:
		os.Exit(m.Run())
	}
}

// attack prints what a process of the same user can learn of another one.
func attack(pid string) {
	environ, err := os.ReadFile("/proc/" + pid + "/environ")
	fmt.Println("environ:", bytes.Contains(environ, []byte("hunter2")), err)
	_, err = os.Open("/proc/" + pid + "/mem")
	fmt.Println("mem:", err == nil)
	_, err = os.ReadDir("/proc/" + pid + "/fd")
	fmt.Println("fd:", err == nil)
	number, _ := strconv.Atoi(pid)
	fmt.Println("ptrace:", unix.PtraceSeize(number) == nil)
}

// child runs this program again as the user nobody if this one is root, who may read everything.
func child(t *testing.T, as string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = []string{role + "=" + as, secret}
	cmd.Dir = "/"
	if os.Geteuid() == 0 {
		const nobody = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

// holder starts a child that keeps the secret until the test ends; said is its first line.
func holder(t *testing.T, as string) (pid int, said string) {
	t.Helper()
	cmd := child(t, as)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close(); _ = cmd.Wait() })
	said, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, strings.TrimSpace(said)
}

func seen(t *testing.T, pid int) string {
	t.Helper()
	out, err := child(t, "attack", strconv.Itoa(pid)).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestSameUserSeesNothing(t *testing.T) {
	pid, said := holder(t, "closed")
	if said != "ready <nil> hunter2" {
		t.Errorf("the process itself: got %q", said)
	}
	if got := seen(t, pid); !strings.Contains(got, "environ: false ") || !strings.HasSuffix(got, "mem: false\nfd: false\nptrace: false\n") {
		t.Errorf("another of the same user sees\n%s", got)
	}
	// Root may look, if it may trace; the environment is gone all the same.
	environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if bytes.Contains(environ, []byte("hunter2")) {
		t.Errorf("the environment is still there: %q", environ)
	}
}

// The attack works where nothing is closed; otherwise the test above would show nothing.
func TestSameUserSeesAnOpenProcess(t *testing.T) {
	pid, _ := holder(t, "open")
	if got := seen(t, pid); !strings.Contains(got, "environ: true ") {
		t.Errorf("the attack sees\n%s", got)
	}
}
