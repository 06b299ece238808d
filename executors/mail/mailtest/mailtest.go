// Package mailtest starts SMTP servers for tests, and reads the mails that they take.
//
// It owns such a server: its certificate, its end, what it refuses. It must not know what is tested.
package mailtest

import (
	"bufio"
	_ "embed" // the server
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/credential/certtest"
)

// How a server encrypts.
const (
	Plain    = "plain"
	StartTLS = "starttls"
	Implicit = "tls"
)

// Password is that of the user ann.
const Password = "hunter2-canary"

//go:embed server.py
var program string

// Server is an SMTP server of Debian's python3-aiosmtpd on a free port of loopback, by the name localhost. It refuses recipients whose addresses begin with reject for good, with
// later for now; with drop the connection ends once the mail has come; with slow nothing is answered any more.
type Server struct {
	Port string
	CA   string // in PEM
	// Mails are those that it takes, as they come: [Server.Next] reads one. It is closed when the server has ended.
	Mails <-chan Mail
}

// Mail is a mail that a server took.
type Mail struct {
	From string   `json:"from"`
	Rcpt []string `json:"rcpt"`
	TLS  bool     `json:"tls"`
	User bool     `json:"user"` // somebody had logged in
	Data string   `json:"data"` // as it came

	Subject string            `json:"-"`
	Parts   []Part            `json:"-"`
	Text    string            `json:"-"` // of the first part
	Files   map[string][]byte `json:"-"` // of parts that have a name
}

// Part is a part of a mail.
type Part struct {
	Kind, Name string
	Text       string // with line feeds alone, without white space around it
}

// Start starts a server that ends with the test. Where there is none on the machine, the test is skipped, but in CI it fails.
func Start(t testing.TB, mode string) *Server {
	t.Helper()
	python := ""
	for _, one := range []string{"/usr/bin/python3", "python3"} { // Debian's has Debian's packages
		if python == "" && exec.Command(one, "-c", "import aiosmtpd").Run() == nil {
			python = one
		}
	}
	if python == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no aiosmtpd: tools/need.sh smtpd")
		}
		t.Skip("there is no aiosmtpd: tools/need.sh smtpd")
	}
	authority := certtest.New(t, "mail test")
	cert, key := authority.Pair(t, "localhost")
	cmd := exec.Command(python, "-c", program, mode, cert, key)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	port, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(authority.File)
	if err != nil {
		t.Fatal(err)
	}
	mails := make(chan Mail, 100) // more than any test sends
	go func() {                   // ends with the process
		defer close(mails)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			var m Mail
			if json.Unmarshal([]byte(line), &m) == nil {
				mails <- m
			}
		}
	}()
	return &Server{strings.TrimSpace(port), string(ca), mails}
}

// Next is the next mail that the server takes.
func (s *Server) Next(t testing.TB) *Mail {
	t.Helper()
	select {
	case m, ok := <-s.Mails:
		if !ok {
			t.Fatal("the SMTP server has ended")
		}
		m.Read(t)
		return &m
	case <-time.After(time.Minute):
		t.Fatal("no mail comes")
	}
	return nil
}

// Read takes a mail apart, and gives its header.
func (m *Mail) Read(t testing.TB) netmail.Header {
	t.Helper()
	message, err := netmail.ReadMessage(strings.NewReader(m.Data))
	if err != nil {
		t.Fatalf("the mail can't be read: %v", err)
	}
	if m.Subject, err = new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject")); err != nil {
		t.Fatal(err)
	}
	m.Parts, m.Files = nil, map[string][]byte{}
	m.take(t, message.Header, message.Body)
	m.Text = m.Parts[0].Text
	return message.Header
}

// take takes a part of the mail apart.
func (m *Mail) take(t testing.TB, header map[string][]string, body io.Reader) {
	t.Helper()
	get := func(name string) string { return strings.Join(header[name], "") }
	kind, params, err := mime.ParseMediaType(get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		for r := multipart.NewReader(body, params["boundary"]); ; {
			p, err := r.NextRawPart()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			m.take(t, p.Header, p)
		}
	}
	switch strings.ToLower(get("Content-Transfer-Encoding")) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	_, disposition, _ := mime.ParseMediaType(get("Content-Disposition"))
	name := disposition["filename"]
	m.Parts = append(m.Parts, Part{kind, name, strings.TrimSpace(strings.ReplaceAll(string(content), "\r\n", "\n"))})
	if name != "" {
		m.Files[name] = content
	}
}
