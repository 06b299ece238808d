package ssh

import (
	"context"
	"strings"

	"github.com/pkg/sftp"

	"github.com/taskgrove/taskgrove/executors"
)

// Target is a host, and as whom to log in there, as the inputs of executors have it.
type Target = target

// Way is a target with the hosts to go through.
type Way struct {
	Target
	Jump []Target `json:"jump"`
}

// Check tells what is wrong with the fields, a sentence each.
func (w *Way) Check() []string {
	var faults []string
	for _, field := range []struct{ name, value string }{{"host", w.Host}, {"username", w.Username}} {
		if strings.TrimSpace(field.value) == "" {
			faults = append(faults, field.name+" is required in inputs")
		}
	}
	if len(faults) > 0 {
		return faults
	}
	if !w.hasCredentials() {
		faults = append(faults, "password, a key or agent is required in inputs")
	}
	return append(append(faults, w.check("")...), checkJumps(w.Jump)...)
}

// SFTP opens an SFTP session for an executor of another id, over a connection that attempts share. It ends soon after ctx; the caller ends it with done.
// Nothing has happened on the host when it fails.
func (e *Executor) SFTP(ctx context.Context, call *executors.Call, id string, way *Way) (client *sftp.Client, done func(), err error) {
	r, err := e.route(call, &input{target: way.Target, Jump: way.Jump})
	if err != nil {
		return nil, nil, as(id, err)
	}
	for try := 0; ; try++ {
		c, err := e.pool.take(ctx, r.key, 1, r.dial)
		if err != nil {
			return nil, nil, as(id, err)
		}
		client, end, err := c.files(ctx)
		if err == nil {
			return client, func() { end(); c.give(1) }, nil
		}
		c.give(1)
		if ctx.Err() != nil || try == maxStale || !isStale(err) {
			return nil, nil, as(id, err)
		}
	}
}

// as gives the errors of this package to another executor.
func as(id string, err error) error {
	if rest, ours := strings.CutPrefix(err.Error(), "["+ID+"] "); ours {
		return &renamed{"[" + id + "] " + rest, err}
	}
	return err
}

type renamed struct {
	text string
	err  error
}

func (r *renamed) Error() string { return r.text }
func (r *renamed) Unwrap() error { return r.err }
