package ssh_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

// guest is a user of this machine for a test, who has a password and is not root.
type guest struct{ name, password string }

var guests atomic.Int64

// newGuest makes one, which only root can.
func newGuest(t *testing.T) guest {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("the test needs a user of its own, whom only root can make")
	}
	for _, program := range []string{"useradd", "userdel", "chpasswd"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skipf("the test makes a user for itself: %v", err)
		}
	}
	g := guest{fmt.Sprintf("tgtest%d-%d", os.Getpid(), guests.Add(1)), "s3cret canary'$"}
	if out, err := exec.Command("useradd", "--no-create-home", "--home-dir", "/", "--shell", "/bin/sh", g.name).CombinedOutput(); err != nil {
		t.Fatalf("useradd: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("userdel", "--force", g.name).CombinedOutput(); err != nil {
			t.Errorf("userdel: %v: %s", err, out)
		}
	})
	passwd := exec.Command("chpasswd")
	passwd.Stdin = strings.NewReader(g.name + ":" + g.password)
	if out, err := passwd.CombinedOutput(); err != nil {
		t.Fatalf("chpasswd: %v: %s", err, out)
	}
	return g
}
