package failpoint

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestStopIsAtThePoint: a process that stops at a point has done nothing of what follows it, whichever of its threads came there.
func TestStopIsAtThePoint(t *testing.T) {
	if os.Getenv("FAILPOINT_CHILD") != "" {
		runtime.LockOSThread() // the point is not on this thread, to which a signal to the process would go
		done := make(chan struct{})
		go func() {
			defer close(done)
			Hit("p")
			os.Stdout.WriteString("past\n")
		}()
		<-done
		os.Exit(0)
	}
	for range 10 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestStopIsAtThePoint$")
		cmd.Env = append(os.Environ(), "FAILPOINT_CHILD=1", Variable+"=p=stop")
		said, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
			t.Fatalf("got %v, %v, want stopped", status, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(said)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "past") {
				t.Fatal("it went past the point")
			}
		}
		_ = cmd.Wait() // killed
	}
}
