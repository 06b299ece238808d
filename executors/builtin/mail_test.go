package builtin_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/mail"
)

func init() { parts[mail.ID] = mailFeatures }

// mailFeatures uses a server that takes any mail; the package of the executor has a real one.
func mailFeatures(t *testing.T, _ *builtin.Config) conformance.Features {
	takes, silent := listen(t), listen(t)
	go func() {
		for {
			conn, err := takes.Accept()
			if err != nil {
				return
			}
			go takeMail(conn)
		}
	}()
	const secret = "hunter2-canary"
	in := func(l net.Listener, more string) string {
		return fmt.Sprintf(`{"host": "127.0.0.1", "port": %d, "from_addr": "a@example.org", "to": "b@example.org", "subject": "s", "body": "b"%s}`, l.Addr().(*net.TCPAddr).Port, more)
	}
	timedOut := fmt.Sprintf("connect to %s: the server did not answer for 300ms", silent.Addr())
	return conformance.Features{
		Quick:    in(takes, ""),
		Slow:     in(silent, `, "timeout": 600`),
		Missing:  map[string]string{`{"host": "h", "from_addr": "a@b", "subject": "s", "body": "b"}`: "[mail_send] to is required in inputs"},
		TimesOut: map[string]string{in(silent, `, "timeout": 0.3`): timedOut},
		Failing: []string{
			in(takes, `, "username": "u", "password": "`+secret+`"`),
			in(takes, `, "username": "u", "password": "`+secret+`", "starttls": true`),
		},
		Secret: secret,
		Demo:   map[string][]string{in(takes, ""): {"sent", "to", "subject", "html"}},
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// takeMail says yes to everything.
func takeMail(conn net.Conn) {
	defer conn.Close()
	fmt.Fprint(conn, "220 test\r\n")
	data := false
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		switch line := lines.Text(); {
		case data && line != ".":
			continue
		case strings.HasPrefix(line, "DATA"):
			data = true
			fmt.Fprint(conn, "354 go on\r\n")
			continue
		case strings.HasPrefix(line, "QUIT"):
			fmt.Fprint(conn, "221 bye\r\n")
			return
		}
		data = false
		fmt.Fprint(conn, "250 ok\r\n")
	}
}
