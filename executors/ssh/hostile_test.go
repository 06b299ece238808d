package ssh_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cryptossh "golang.org/x/crypto/ssh"

	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/ssh"
)

// deaf is a server that lets everybody in, gives signs of life, and answers nothing else from some point on: "open" takes no session, "request" takes
// no request, "run" runs nothing, "read" reads nothing of the second session, and none ever closes a session.
type deaf struct {
	port int
	key  string
	open atomic.Int32 // connections
}

func newDeaf(t *testing.T, from string) *deaf {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	signer, err := cryptossh.NewSignerFromKey(private)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	d := &deaf{port: l.Addr().(*net.TCPAddr).Port, key: cryptossh.FingerprintSHA256(signer.PublicKey())}
	config := &cryptossh.ServerConfig{NoClientAuth: true, PasswordCallback: func(cryptossh.ConnMetadata, []byte) (*cryptossh.Permissions, error) { return nil, nil }}
	config.AddHostKey(signer)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go d.serve(c, config, from)
		}
	}()
	return d
}

func (d *deaf) serve(c net.Conn, config *cryptossh.ServerConfig, from string) {
	defer c.Close()
	conn, channels, requests, err := cryptossh.NewServerConn(c, config)
	if err != nil {
		return
	}
	d.open.Add(1)
	defer d.open.Add(-1)
	go func() {
		for r := range requests {
			if r.WantReply {
				_ = r.Reply(true, nil)
			}
		}
	}()
	var later atomic.Bool
	go func() {
		for one := range channels {
			if from == "open" {
				continue
			}
			ch, asked, err := one.Accept()
			if err != nil {
				return
			}
			go func() {
				for r := range asked {
					if from != "request" && r.WantReply {
						_ = r.Reply(true, nil)
					}
					if from == "read" && !later.Swap(true) {
						says(ch)
					}
				}
			}()
		}
	}()
	_ = conn.Wait()
}

// says answers as a host whose shell can read scripts and can't end the connection.
func says(ch cryptossh.Channel) {
	line, _ := bufio.NewReader(ch).ReadString('\n')
	_, mark, _ := strings.Cut(line, "tg_m=")
	mark, _, _ = strings.Cut(mark, ";")
	_, _ = io.WriteString(ch.Stderr(), mark+">2\n")
}

// TestAHostThatAnswersNothing: attempts end when they must, and leave no connection behind, however many there were.
func TestAHostThatAnswersNothing(t *testing.T) {
	t.Parallel()
	much := map[string]any{} // more than the host takes without reading
	for i := range 30 {
		much[fmt.Sprint("V", i)] = strings.Repeat("x", 100_000)
	}
	var all sync.WaitGroup
	for _, from := range []string{"open", "request", "run", "read"} {
		for name, more := range map[string]map[string]any{
			"command": {}, "plain": {"plain": true}, "stdin": {"stdin": "x"}, "much": {"stdin": "x", "env": much}, "upload": {"upload": []any{map[string]any{"to": "x", "content": "x"}}},
		} {
			d := newDeaf(t, from)
			e := newExecutor(t, ssh.Config{IdleTimeout: 100 * time.Millisecond})
			in := map[string]any{"host": "127.0.0.1", "port": d.port, "username": "u", "password": "p", "host_key": d.key, "command": "true"}
			maps.Copy(in, more)
			all.Go(func() { // at once, whatever the number of cores: all of it is waiting
				if err := leaves(t, e, d, in); err != nil {
					t.Errorf("%s %s: %v", from, name, err)
				}
			})
		}
	}
	all.Wait()
}

// leaves runs three attempts that end after 300 ms, and waits until the host has no connection of theirs.
func leaves(t *testing.T, e *ssh.Executor, d *deaf, in map[string]any) error {
	for range 3 {
		call, _ := conformance.Call(t, in)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		done := make(chan error, 1)
		go func() { _, err := e.Run(ctx, call); done <- err }()
		select {
		case err := <-done:
			if err == nil {
				return errors.New("it was run")
			}
		case <-time.After(40 * time.Second):
			return fmt.Errorf("it still runs %v after its end", time.Since(began))
		}
	}
	for end := time.Now().Add(40 * time.Second); d.open.Load() > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%d connections are left", d.open.Load())
		}
	}
	return nil
}
