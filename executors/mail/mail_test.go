package mail_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	netmail "net/mail"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/mail"
	"github.com/taskgrove/taskgrove/executors/mail/mailtest"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

const secret = mailtest.Password

// server is an SMTP server of the tests.
type server struct{ *mailtest.Server }

func start(t *testing.T, mode string) *server { return &server{mailtest.Start(t, mode)} }

func executor(dir string) *mail.Executor {
	return mail.New(mail.Config{Place: func(string) workdir.Place { return workdir.Place{Dir: dir} }, MaxBytes: 1 << 20}, network.New(network.Config{Guard: network.Guard{Loopback: true}}))
}

// call is an attempt at the server, with more inputs; one that is nil is left out.
func (s *server) call(t *testing.T, more map[string]any) (*executors.Call, *conformance.Recorder) {
	t.Helper()
	all := map[string]any{"host": "localhost", "port": s.Port, "from_addr": "Flows <flows@example.org>", "to": "to@example.org", "subject": "Hello", "body": "text"}
	for name, value := range more {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	return conformance.Call(t, all)
}

func run(t *testing.T, e *mail.Executor, call *executors.Call) (*mail.Result, error) {
	t.Helper()
	if err := inputs.NewChecker(0).Check(e.Describe(), call); err != nil {
		return nil, err
	}
	out, err := e.Run(t.Context(), call)
	if err != nil {
		return nil, err
	}
	return out.Value().(*mail.Result), nil
}

// Each way to a server, with and without TLS and a login.
func TestWays(t *testing.T) {
	plain, starttls, implicit := start(t, "plain"), start(t, "starttls"), start(t, "tls")
	login := map[string]any{"username": "ann", "password": secret}
	with := func(all ...map[string]any) map[string]any {
		sum := map[string]any{}
		for _, one := range all {
			for k, v := range one {
				sum[k] = v
			}
		}
		return sum
	}
	trust := func(s *server) map[string]any { return map[string]any{"tls": map[string]any{"ca": s.CA}} }
	for name, row := range map[string]struct {
		s         *server
		more      map[string]any
		user, tls bool
		fails     string
		kind      string
		retried   bool
	}{
		"plain":                    {s: plain},
		"STARTTLS":                 {s: starttls, more: with(trust(starttls), map[string]any{"starttls": true}), tls: true},
		"STARTTLS, login":          {s: starttls, more: with(trust(starttls), login, map[string]any{"starttls": "true"}), tls: true, user: true},
		"TLS":                      {s: implicit, more: trust(implicit), tls: true},
		"TLS, login":               {s: implicit, more: with(trust(implicit), login), tls: true, user: true},
		"no STARTTLS there":        {s: plain, more: with(trust(plain), map[string]any{"starttls": true}), fails: "does not support STARTTLS", kind: executors.KindConnect},
		"STARTTLS, not trusted":    {s: starttls, more: map[string]any{"starttls": true}, fails: "certificate", kind: executors.KindConnect},
		"TLS, not trusted":         {s: implicit, more: map[string]any{"tls": true}, fails: "certificate", kind: executors.KindConnect},
		"another name":             {s: implicit, more: map[string]any{"tls": map[string]any{"ca": implicit.CA, "server_name": "other.example"}}, fails: "certificate", kind: executors.KindConnect},
		"login, plain":             {s: plain, more: login, fails: "password: is not sent over a connection without TLS"},
		"a wrong password":         {s: starttls, more: with(trust(starttls), map[string]any{"starttls": true, "username": "ann", "password": secret + "x"}), fails: "535", kind: mail.KindRefused},
		"STARTTLS is not asked":    {s: starttls, fails: "530", kind: mail.KindRefused},
		"a recipient is refused":   {s: plain, more: map[string]any{"cc": []string{"ok@example.org", "reject@example.org"}}, fails: "550", kind: mail.KindRefused},
		"a recipient, for now":     {s: plain, more: map[string]any{"cc": "later@example.org"}, fails: "451", kind: mail.KindRefused, retried: true},
		"it is dropped":            {s: plain, more: map[string]any{"to": "drop@example.org"}, fails: "send to", kind: executors.KindConnect, retried: true},
		"it never answers":         {s: plain, more: map[string]any{"to": "slow@example.org", "timeout": 0.3}, fails: "did not answer for 300ms", kind: executors.KindTimeout, retried: true},
		"nobody listens":           {s: plain, more: map[string]any{"port": 1}, fails: "connect to localhost:1", kind: executors.KindConnect, retried: true},
		"max_attempts, first":      {s: plain, more: map[string]any{"port": 1, "retry": map[string]any{"max_attempts": 2}}, fails: "connect to localhost:1", kind: executors.KindConnect, retried: true},
		"max_attempts, the only":   {s: plain, more: map[string]any{"port": 1, "retry": map[string]any{"max_attempts": 1}}, fails: "connect to localhost:1", kind: executors.KindConnect},
		"TLS where there is none":  {s: plain, more: with(trust(plain), map[string]any{"timeout": 5}), fails: "connect to", kind: executors.KindConnect, retried: true},
		"none where there is TLS":  {s: implicit, more: map[string]any{"timeout": 0.5}, fails: "did not answer for 500ms", retried: true, kind: executors.KindTimeout},
		"a host that is none here": {s: plain, more: map[string]any{"host": "no-such-host.invalid"}, fails: "no-such-host.invalid", kind: executors.KindConnect, retried: true},
	} {
		t.Run(name, func(t *testing.T) {
			call, _ := row.s.call(t, row.more)
			got, err := run(t, executor(t.TempDir()), call)
			if row.fails != "" {
				if err == nil || !strings.Contains(err.Error(), row.fails) || executors.KindOf(err) != row.kind || executors.IsPermanent(err) == row.retried || strings.Contains(err.Error(), secret) {
					t.Errorf("got %v, of kind %q", err, executors.KindOf(err))
				}
				if row.retried && executors.RetryAfterOf(err) != time.Second {
					t.Errorf("the pause is %v", executors.RetryAfterOf(err))
				}
				select {
				case m := <-row.s.Mails:
					if !strings.HasPrefix(m.Rcpt[0], "drop") && !strings.HasPrefix(m.Rcpt[0], "slow") {
						t.Errorf("a mail was sent to %v", m.Rcpt)
					}
				default:
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			m := <-row.s.Mails
			if !got.Sent || m.TLS != row.tls || m.User != row.user || m.From != "flows@example.org" || strings.Join(m.Rcpt, " ") != "to@example.org" {
				t.Errorf("got %+v: %+v", got, m)
			}
		})
	}
}

// What arrives: recipients, headers, parts and files. Who is in bcc is in no header.
func TestMessages(t *testing.T) {
	s := start(t, "plain")
	dir := t.TempDir()
	for name, text := range map[string]string{"report.csv": "a,b\n1,2", "é \"x\".bin": "\x00\x01"} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	send := func(more map[string]any) (netmail.Header, []mailtest.Part, mailtest.Mail, *mail.Result) {
		t.Helper()
		call, _ := s.call(t, more)
		got, err := run(t, executor(dir), call)
		if err != nil {
			t.Fatal(err)
		}
		m := <-s.Mails
		header := m.Read(t)
		return header, m.Parts, m, got
	}
	header, all, m, got := send(map[string]any{"to": "Ännchen <ann@example.org>, bob@example.org", "cc": []string{"c@example.org"}, "bcc": "hidden@example.org", "subject": "Über: 日本"})
	to, _ := header.AddressList("To")
	if m.Subject != "Über: 日本" || len(to) != 2 || to[0].Name != "Ännchen" || len(all) != 1 || all[0] != (mailtest.Part{Kind: "text/plain", Name: "", Text: "text"}) {
		t.Errorf("%s", m.Data)
	}
	if strings.Join(m.Rcpt, " ") != "ann@example.org bob@example.org c@example.org hidden@example.org" || strings.Contains(m.Data, "hidden") || header.Get("Bcc") != "" {
		t.Errorf("%v: %s", m.Rcpt, m.Data)
	}
	if header.Get("Message-Id") != got.MessageID || !strings.HasSuffix(got.MessageID, "@example.org>") || header.Get("Date") == "" {
		t.Errorf("%s is not in %s", got.MessageID, m.Data)
	}
	_, all, _, _ = send(map[string]any{"html": "true", "body": "<p>é</p>"})
	if len(all) != 1 || all[0] != (mailtest.Part{Kind: "text/html", Name: "", Text: "<p>é</p>"}) {
		t.Errorf("HTML: %q", all)
	}
	_, all, m, got = send(map[string]any{"html": true, "body": "<p>x</p>", "text": "x", "attachments": []any{dir + "/report.csv", map[string]string{"file": dir + "/é \"x\".bin", "name": "ü.bin"}}})
	if len(all) != 4 || all[0].Kind != "text/plain" || all[1].Kind != "text/html" || all[2] != (mailtest.Part{Kind: "text/csv", Name: "report.csv", Text: "a,b\n1,2"}) || all[3].Kind != "application/octet-stream" || all[3].Text != "\x00\x01" || got.Attachments != 2 {
		t.Errorf("files: %q\n%s", all, m.Data)
	}
	_, all, _, _ = send(map[string]any{"body": "one\n.\n..two\nQUIT\n.\r\nthree"})
	if all[0].Text != "one\n.\n..two\nQUIT\n.\nthree" {
		t.Errorf("dots: %q", all)
	}
	call, _ := s.call(t, map[string]any{"from": "other@example.com", "attachments": []any{dir + "/report.csv"}})
	if got, err := run(t, executor(dir), call); err != nil || !strings.HasSuffix(got.MessageID, "@example.com>") {
		t.Errorf("%+v, %v", got, err)
	}
}

// What would add headers or recipients, or is none of what it should be.
func TestHostileInputs(t *testing.T) {
	s := &server{&mailtest.Server{Port: "1"}}
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/a", make([]byte, 600<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(dir+"/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		more map[string]any
		want string
	}{
		{map[string]any{"attachments": []any{dir + "/pipe"}}, "attachments[0]: is no plain file"},
		{map[string]any{"subject": "a\r\nBcc: evil@example.org"}, "subject: has a line break"},
		{map[string]any{"subject": "a\nb"}, "subject: has a line break"},
		{map[string]any{"subject": "a\rb"}, "subject: has a line break"},
		{map[string]any{"subject": "a\x00b"}, "subject: has a line break"},
		{map[string]any{"subject": "a\u2028b"}, "subject: has a line break"},
		{map[string]any{"subject": "a\u0085b"}, "subject: has a line break"},
		{map[string]any{"subject": strings.Repeat("a", 1000)}, "subject: is longer than 900 bytes"},
		{map[string]any{"subject": " "}, "subject is required"},
		{map[string]any{"to": "a@example.org\r\nBcc: evil@example.org"}, "to[0]: has a line break"},
		{map[string]any{"to": []string{"a@example.org\n"}}, "to[0]: has a line break"},
		{map[string]any{"to": []string{"a@example.org>\r\nRCPT TO:<evil@example.org"}}, "to[0]: has a line break"},
		{map[string]any{"to": []string{"\"a\r\nb\"@example.org"}}, "to[0]: has a line break"},
		{map[string]any{"to": []string{"\"a b\"@example.org"}}, "is no address"},
		{map[string]any{"to": []string{"\"a>b\"@example.org"}}, "is no address"},
		{map[string]any{"to": []string{"a@example.org", "no address"}}, `to[1]: "no address" is no address`},
		{map[string]any{"to": []string{"a"}}, "is no address"},
		{map[string]any{"to": []string{"@example.org"}}, "is no address"},
		{map[string]any{"to": []string{"a@"}}, "is no address"},
		{map[string]any{"to": []string{"a@b@c"}}, "is no address"},
		{map[string]any{"to": []string{""}}, "is no address"},
		{map[string]any{"to": []string{}}, "to is required"},
		{map[string]any{"to": []any{7}}, "to.0"},
		{map[string]any{"to": strings.Repeat("a@example.org, ", 500) + "b@example.org"}, "more than 500 recipients"},
		{map[string]any{"cc": "x\ny@example.org"}, "cc[0]: has a line break"},
		{map[string]any{"bcc": []string{"=?utf-8?q?a=0D=0ABcc:_evil?= <a@example.org>"}}, "bcc[0]"},
		{map[string]any{"from_addr": "a@example.org\r\nX-Evil: 1"}, "from_addr: "},
		{map[string]any{"from": "a\x00@example.org"}, "from_addr: "},
		{map[string]any{"from_addr": nil}, "from_addr is required"},
		{map[string]any{"attachments": []any{map[string]string{"file": dir + "/a", "name": "a\r\nX-Evil: 1"}}}, "is no name for an attachment"},
		{map[string]any{"attachments": []any{map[string]string{"file": dir + "/a", "name": "../a"}}}, "is no name for an attachment"},
		{map[string]any{"attachments": []any{map[string]string{"file": dir + "/a", "name": "a\"; x=\""}}}, "is no name for an attachment"},
		{map[string]any{"attachments": []any{map[string]string{"file": dir + "/a", "media_type": "text/plain\r\nX-Evil: 1"}}}, "media_type"},
		{map[string]any{"attachments": []any{"/etc/passwd"}}, "path.escape: attachments[0]"},
		{map[string]any{"attachments": []any{"../../etc/passwd"}}, "path.escape: attachments[0]"},
		{map[string]any{"attachments": []any{dir}}, "is no plain file"},
		{map[string]any{"attachments": []any{"none"}}, `attachments[0]: "none"`},
		{map[string]any{"attachments": []any{dir + "/a", dir + "/a"}}, "larger than 1048576 bytes"},
		{map[string]any{"host": "a b"}, "host: is neither a name nor an address"},
		{map[string]any{"host": "a\r\nb"}, "host: is neither a name nor an address"},
		{map[string]any{"host": nil}, "host is required"},
		{map[string]any{"body": "", "text": "x"}, "body is required in inputs; text: is for those who don't read HTML"},
		{map[string]any{"body": "a\x00b"}, "body: has a NUL"},
		{map[string]any{"port": 70000, "timeout": -1, "driver": "sendmail", "password": "x", "retry": map[string]any{"max_attempts": 0}},
			"driver: must be smtp; port: must be from 1 to 65535; password: is not sent over a connection without TLS; set starttls, or tls, or use port 465; username is required in inputs with a password; timeout: must be a number of seconds above 0, 3600 at most; retry.max_attempts: must be 1 at least"},
	} {
		call, _ := s.call(t, row.more)
		if _, err := run(t, executor(dir), call); err == nil || !strings.Contains(err.Error(), row.want) || !executors.IsPermanent(err) {
			t.Errorf("%v: got %v", row.more, err)
		}
	}
}

// Attempts of one run have one message id. One that is known to have sent the mail is the last that does.
func TestAgain(t *testing.T) {
	s := start(t, "plain")
	e := executor(t.TempDir())
	call, rec := s.call(t, nil)
	call.IdempotencyKey = "key-1"
	first, err := run(t, e, call)
	if err != nil {
		t.Fatal(err)
	}
	<-s.Mails
	again, _ := s.call(t, nil)
	again.IdempotencyKey, again.Attempt = "key-1", 2 // its worker died before the note was stored
	second, err := run(t, e, again)
	if err != nil || second.MessageID != first.MessageID {
		t.Errorf("%+v, %v, want the id %s", second, err, first.MessageID)
	}
	<-s.Mails
	points := rec.Checkpoints()
	again.Checkpoint, again.Attempt = points[len(points)-1], 3
	third, err := run(t, e, again)
	if err != nil || !third.Sent || third.MessageID != first.MessageID {
		t.Errorf("%+v, %v", third, err)
	}
	again.Checkpoint, again.IdempotencyKey = nil, "key-2"
	other, err := run(t, e, again)
	if err != nil || other.MessageID == first.MessageID {
		t.Errorf("%+v, %v", other, err)
	}
	<-s.Mails
	select {
	case m := <-s.Mails:
		t.Errorf("it was sent again: %v", m)
	default:
	}
	call.Inputs = json.RawMessage(strings.Replace(string(call.Inputs), s.Port, "1", 1))
	for attempt, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 5 * time.Second, 50: 5 * time.Second} {
		call.Attempt = attempt
		if _, err := run(t, e, call); executors.RetryAfterOf(err) != want {
			t.Errorf("attempt %d: %v", attempt, executors.RetryAfterOf(err))
		}
	}
}

// An attempt that is cancelled ends at once, while it connects and while the server is silent.
func TestCancelled(t *testing.T) {
	s := start(t, "plain")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, silent, _ := net.SplitHostPort(l.Addr().String())
	for name, more := range map[string]map[string]any{"connecting": {"host": "127.0.0.1", "port": silent, "timeout": 600}, "sending": {"to": "slow@example.org", "timeout": 600}} {
		ctx, cancel := context.WithCancelCause(t.Context())
		call, _ := s.call(t, more)
		done := make(chan error, 1)
		go func() {
			_, err := executor(t.TempDir()).Run(ctx, call)
			done <- err
		}()
		if name == "sending" {
			<-s.Mails
		} else if c, err := l.Accept(); err == nil {
			defer c.Close()
		}
		cancel(executors.ErrCancelled)
		if err := <-done; !errors.Is(err, executors.ErrCancelled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
