// Package mail has the step of flows that sends a mail (flows 5.1, 5.3).
//
// It owns mail_send: who gets what, how the message is built, and when it counts as sent. It must not know which addresses may be dialled (package network
// does), where a password came from, or what a flow is.
package mail

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// ID is the executor's id: the name of the step in flows.
const ID = "mail_send"

// KindRefused is the kind of errors of a server that does not take the mail, or does not let the user in.
const KindRefused = "refused"

// Config says what the executor may do on a worker.
type Config struct {
	// Place is the directory that the tasks of a pool may use beside their own; nil: none.
	Place func(pool string) workdir.Place
	// MaxBytes is how large the attachments of a mail may be together. 0: 25 MiB.
	MaxBytes int64
}

// Executor is mail_send.
type Executor struct {
	cfg Config
	net *network.Network
}

// New makes one that opens its connections through net.
func New(cfg Config, net *network.Network) *Executor {
	if cfg.Place == nil {
		cfg.Place = func(string) workdir.Place { return workdir.Place{} }
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 25 << 20
	}
	return &Executor{cfg, net}
}

// Describe implements [executors.Executor].
func (*Executor) Describe() executors.Description {
	return executors.Description{
		ID: ID, Name: "Send Mail", Type: "mail",
		Description: "Sends a mail by SMTP, as text or HTML, with attachments",
		Tags:        []string{"mail", "smtp", "flows"},
		Inputs:      inputSchema, Output: outputSchema,
		Kinds: []executors.ErrorKind{
			{Word: executors.KindConnect, Text: "The server can't be reached, is not trusted, or the connection broke"},
			{Word: executors.KindTimeout, Text: "The server did not answer for as long as `timeout` says"},
			{Word: KindRefused, Text: "The server does not take the mail, or a recipient, or does not let the user in"},
			{Word: workdir.KindEscape, Text: "A path leads out of the directories that the task may use"},
		},
		Cancelable: true, Secrets: true, Workspace: true, Concurrency: executors.Waiting,
		Connection: &executors.Connection{Types: []string{"smtp", "mail"}, Fields: []string{"driver", "host", "port", "username", "password", "starttls", "tls", "from_addr", "timeout", "retry"}},
		Examples:   examples,
	}
}

// Result says what was sent.
type Result struct {
	Sent        bool     `json:"sent"`
	To          []string `json:"to"`
	Subject     string   `json:"subject"`
	HTML        bool     `json:"html"`
	MessageID   string   `json:"message_id"`
	Attachments int      `json:"attachments"`
}

// Demo implements [executors.Demonstrator].
func (*Executor) Demo(call *executors.Call) (result any, takes time.Duration) {
	in := &input{}
	_ = json.Unmarshal(call.Inputs, in) // a demonstration fails for nothing
	to, _ := addresses("to", in.To)
	return &Result{Sent: true, To: bare(to), Subject: in.Subject, HTML: in.HTML.Or(false), MessageID: "<demo@example.org>", Attachments: len(in.Attachments)}, 300 * time.Millisecond
}

// sent is what an attempt notes once a server has taken the mail.
type sent struct {
	MessageID string `json:"message_id"`
}

// Run implements [executors.Executor]. All recipients get the mail, or none. A mail that an earlier attempt is known to have sent is not sent again.
func (e *Executor) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	w, err := workdir.OpenWorkspace(ctx, call, e.cfg.Place(call.Pool))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	with := *call
	with.Inputs = w.Inputs
	in, err := read(&with)
	if err != nil {
		return nil, err
	}
	id := messageID(call, in.from.Address)
	files, err := e.attachments(w, in)
	defer closeAll(files)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	result := &Result{Sent: true, To: bare(in.to), Subject: in.Subject, HTML: in.HTML.Or(false), MessageID: id, Attachments: len(files)}
	var before sent
	if json.Unmarshal(call.Checkpoint, &before) == nil && before.MessageID == id {
		call.Reporter.Log("log", "an earlier attempt has sent the mail "+id)
	} else if err := e.send(ctx, call, in, in.message(id, files)); err != nil {
		return nil, in.again(call, err)
	}
	kept, err := w.Keep(ctx, result)
	if err != nil {
		return nil, executors.Ended(ctx, err)
	}
	return executors.Completed(kept), nil
}

// messageID is the same for all attempts of a run, so that a mail that comes twice is known as one.
func messageID(call *executors.Call, from string) string {
	key := call.IdempotencyKey
	if key == "" {
		key = call.TaskID
	}
	sum := sha256.Sum256([]byte(key))
	_, domain, _ := strings.Cut(from, "@")
	return fmt.Sprintf("<%x@%s>", sum[:16], domain)
}

// attachment is a file that is sent along.
type attachment struct {
	name string
	kind string
	file *os.File
}

func closeAll(files []attachment) {
	for _, f := range files {
		_ = f.file.Close()
	}
}

// attachments opens the files, so that nothing is sent if one of them can't be.
func (e *Executor) attachments(w *workdir.Workspace, in *input) (files []attachment, err error) {
	total := int64(0)
	for i, a := range in.attached {
		field := fmt.Sprintf("attachments[%d]", i)
		at, err := w.At(field, a.File)
		if err != nil {
			return files, err
		}
		f, err := at.Root.OpenFile(at.Name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // of a pipe it does not wait for the other end
		if err != nil {
			return files, at.Err(field, err)
		}
		files = append(files, attachment{a.Name, a.MediaType, f})
		info, err := f.Stat()
		if err != nil {
			return files, at.Err(field, err)
		}
		if !info.Mode().IsRegular() {
			return files, executors.Invalid(ID, field+": is no plain file")
		}
		if total += info.Size(); total > e.cfg.MaxBytes {
			return files, executors.Invalid(ID, fmt.Sprintf("attachments: all together are larger than %d bytes", e.cfg.MaxBytes))
		}
	}
	return files, nil
}

// message builds the mail. Recipients of bcc are none of its headers.
func (in *input) message(id string, files []attachment) *gomail.Msg {
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(in.from)
	m.ToMailAddress(in.to...)
	if len(in.cc) > 0 {
		m.CcMailAddress(in.cc...)
	}
	if len(in.bcc) > 0 {
		m.BccMailAddress(in.bcc...)
	}
	m.Subject(in.Subject)
	m.SetMessageIDWithValue(strings.Trim(id, "<>"))
	m.SetDate()
	switch {
	case !in.HTML.Or(false):
		m.SetBodyString(gomail.TypeTextPlain, in.Body)
	case in.Text == "":
		m.SetBodyString(gomail.TypeTextHTML, in.Body)
	default:
		m.SetBodyString(gomail.TypeTextPlain, in.Text)
		m.AddAlternativeString(gomail.TypeTextHTML, in.Body)
	}
	for _, f := range files {
		m.AttachReadSeeker(f.name, f.file, gomail.WithFileContentType(gomail.ContentType(f.kind)))
	}
	return m
}

// send gives the mail to the server.
func (e *Executor) send(ctx context.Context, call *executors.Call, in *input, m *gomail.Msg) error {
	dialer := e.net.Pool(call.Pool)
	if call.Connection != "" {
		dialer = dialer.Trusted()
	}
	secured := in.tls.Config(dialer, in.Host)
	var conn atomic.Pointer[patient] // nil: not yet
	hangUp := func() {
		if c := conn.Load(); c != nil {
			_ = c.Close()
		}
	}
	options := []gomail.Option{
		gomail.WithPort(in.port), gomail.WithTimeout(24 * time.Hour), gomail.WithTLSPolicy(in.policy), gomail.WithTLSConfig(secured), gomail.WithHELO("taskgrove.invalid"),
		gomail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			raw, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			c := &patient{Conn: raw, limit: in.limit}
			if conn.Store(c); ctx.Err() != nil { // nobody would hang up any more
				_ = c.Close()
				return nil, ctx.Err()
			}
			if !in.implicit {
				return c, nil
			}
			return tls.Client(c, secured), nil
		}),
	}
	if in.Username != "" && in.Password != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(in.Username), gomail.WithPassword(in.Password))
	}
	client, err := gomail.NewClient(in.Host, options...)
	if err != nil {
		return executors.Invalid(ID, "host: "+err.Error())
	}
	limited, cancel := context.WithTimeoutCause(ctx, in.limit, in.silent("connect to"))
	defer cancel()
	stop := context.AfterFunc(limited, hangUp) // the library's own greeting knows no context
	session, err := client.DialToSMTPClientWithContext(limited)
	if !stop() || err != nil {
		hangUp()
		if limited.Err() != nil {
			return context.Cause(limited)
		}
		return in.shown("connect to", err, conn.Load())
	}
	stop = context.AfterFunc(ctx, hangUp)
	defer stop()
	defer hangUp()
	err = client.SendWithSMTPClient(session, m)
	if err != nil && !m.IsDelivered() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return in.shown("send to", err, conn.Load())
	}
	noted, _ := json.Marshal(sent{"<" + strings.Trim(m.GetMessageID(), "<>") + ">"}) // a text
	_ = call.Reporter.Checkpoint(noted)                                              // it is small, and JSON
	_ = session.Quit()                                                               // the server has the mail, whatever it says now
	return nil
}

// shown is an error of the server as users see it. What it refuses for good, and a certificate that is not trusted, no other attempt can mend.
func (in *input) shown(doing string, err error, conn *patient) error {
	told := fmt.Errorf("%s %s: %w", doing, net.JoinHostPort(in.Host, fmt.Sprint(in.port)), err)
	if executors.IsPermanent(err) || executors.KindOf(err) != "" { // of the network's guard
		return told
	}
	if conn != nil && conn.expired.Load() { // what the library makes of it, it does not say
		return in.silent(doing)
	}
	code := 0
	if failed, ok := errors.AsType[*gomail.SendError](err); ok {
		code = failed.ErrorCode()
	}
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		code = reply.Code
	}
	_, distrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	switch {
	case code >= 500:
		return executors.WithKind(executors.Permanent(told), KindRefused)
	case code >= 400:
		return executors.WithKind(told, KindRefused)
	case distrusted || unknown, strings.Contains(err.Error(), "does not support STARTTLS"), strings.Contains(err.Error(), "does not support SMTP AUTH"):
		return executors.WithKind(executors.Permanent(told), executors.KindConnect)
	}
	return executors.WithKind(told, executors.KindConnect)
}

// silent is the error of a server that does not answer.
func (in *input) silent(doing string) error {
	return executors.WithKind(fmt.Errorf("%s %s: the server did not answer for %v", doing, net.JoinHostPort(in.Host, fmt.Sprint(in.port)), in.limit), executors.KindTimeout)
}

// again says when another attempt makes sense: 1, 2, 4 and then 5 seconds later, without holding a slot; and whether, if retry.max_attempts says so.
func (in *input) again(call *executors.Call, err error) error {
	if in.Retry != nil && in.Retry.Max != nil && int64(call.Attempt) >= in.Retry.Max.Or(1) {
		return executors.Permanent(err)
	}
	pause := 5 * time.Second
	if call.Attempt < 4 {
		pause = time.Second << max(0, call.Attempt-1)
	}
	return executors.RetryAfter(err, pause)
}

// patient is a connection that ends when the other side has not moved for a time. The library would bound the whole mail.
type patient struct {
	net.Conn
	limit   time.Duration
	expired atomic.Bool
}

func (p *patient) Read(b []byte) (int, error) {
	_ = p.Conn.SetReadDeadline(time.Now().Add(p.limit))
	n, err := p.Conn.Read(b)
	return n, p.noted(err)
}

func (p *patient) Write(b []byte) (int, error) {
	_ = p.Conn.SetWriteDeadline(time.Now().Add(p.limit))
	n, err := p.Conn.Write(b)
	return n, p.noted(err)
}

func (p *patient) noted(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.expired.Store(true)
	}
	return err
}

func (*patient) SetDeadline(time.Time) error      { return nil }
func (*patient) SetReadDeadline(time.Time) error  { return nil }
func (*patient) SetWriteDeadline(time.Time) error { return nil }
