// Package smb has the steps of flows that list, download, delete and upload files of a server by SMB.
//
// It owns where they go, as flows say it, how a server is spoken to, and what SMB makes of the operations on files. It must not know what the steps do (package
// transfer does), or which addresses may be dialled (package network does).
package smb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"
	"time"

	smb2 "github.com/cloudsoda/go-smb2"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/transfer"
)

// Executor is one of the steps.
type Executor struct{ *transfer.Step }

// New makes the steps, which dial by net.
func New(cfg transfer.Config, net *network.Network) []executors.Executor {
	var all []executors.Executor
	for _, step := range transfer.Steps(cfg, &protocol{net}) {
		all = append(all, &Executor{step})
	}
	return all
}

// Protocol is what the steps speak, for others that look for files at a server.
func Protocol(net *network.Network) transfer.Protocol { return &protocol{net} }

type protocol struct{ net *network.Network }

func (*protocol) Name() string { return "smb" }

func (*protocol) Connection() *executors.Connection {
	return &executors.Connection{Types: []string{"smb"}, Fields: []string{"driver", "server", "host", "share", "port", "username", "user", "password", "domain", "server_name", "client_name",
		"signing", "encryption", "timeout"}}
}

func (*protocol) Fields() string {
	return `
    "server": {"type": ["string", "null"], "description": "Name or address of the server"},
    "host": {"type": ["string", "null"], "description": "Another name of server"},
    "share": {"type": ["string", "null"], "description": "The share, unless paths name one"},
    "port": {"type": ["integer", "string", "null"], "default": 445, "description": "TCP port of the server"},
    "username": {"type": ["string", "null"], "description": "User on the server"},
    "user": {"type": ["string", "null"], "description": "Another name of username"},
    "password": {"type": ["string", "null"], "description": "Password of the user. Use {\"secret\": \"name\"}"},
    "domain": {"type": ["string", "null"], "description": "Domain or workgroup of the user"},
    "server_name": {"type": ["string", "null"], "description": "What the server calls itself, if it wants to be called so"},
    "client_name": {"type": ["string", "null"], "default": "taskgrove", "description": "What the server is told that this machine is called"},
    "signing": {"type": ["boolean", "string", "null"], "default": true, "description": "false: messages may be unsigned, which lets anybody in between change them, and guests in"},
    "encryption": {"type": ["boolean", "string", "null"], "default": false, "description": "true: a server that does not encrypt is refused. false: as the server wants it"},
    "driver": {"type": ["string", "null"], "description": "smbclient or pysmb, which are the same"},
    "timeout": {"type": ["number", "string", "null"], "default": 30, "description": "How many seconds the server may take for any one answer"}`
}

// input is where to go.
type input struct {
	Server     string          `json:"server"`
	Host       string          `json:"host"`
	Share      string          `json:"share"`
	Port       *inputs.Integer `json:"port"`
	Username   string          `json:"username"`
	User       string          `json:"user"`
	Password   string          `json:"password"`
	Domain     string          `json:"domain"`
	ServerName string          `json:"server_name"`
	ClientName string          `json:"client_name"`
	Signing    *inputs.Flag    `json:"signing"`
	Encryption *inputs.Flag    `json:"encryption"`
	Driver     string          `json:"driver"`
	Limit      *transfer.Limit `json:"timeout"`
}

const defaultPort = 445

// Target implements [transfer.Protocol].
func (p *protocol) Target(id string, call *executors.Call) (transfer.Target, []string, error) {
	in := &input{}
	if err := inputs.Decode(id, call, in); err != nil {
		return nil, nil, err
	}
	t := &target{in: in, dialer: p.net.Pool(call.Pool)}
	if call.Connection != "" {
		t.dialer = t.dialer.Trusted()
	}
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	merge := func(field string, to *string, alias, from string) {
		if *to != "" && from != "" && *to != from {
			fault("%s: %s says something else", alias, field)
		}
		if *to = cmp.Or(*to, from); strings.TrimSpace(*to) == "" {
			fault("%s is required in inputs", field)
		}
	}
	merge("server", &in.Server, "host", in.Host)
	merge("username", &in.Username, "user", in.User)
	if strings.ContainsAny(in.Server, "\\/\x00 ") {
		fault("server: must be a name or an address, without a share")
	}
	if bad := badPart(in.Share); in.Share != "" && (bad != "" || strings.ContainsAny(in.Share, `\/`)) {
		fault("share: must be the name of one")
	}
	if port := in.Port.Or(defaultPort); port < 1 || port > 65535 {
		fault("port: must be from 1 to 65535")
	}
	switch in.Driver {
	case "", "smb", "smbclient", "pysmb":
	default:
		fault("driver: must be smbclient or pysmb")
	}
	limit, wrong := in.Limit.Duration()
	if t.limit = limit; wrong != "" {
		fault("%s", wrong)
	}
	if in.Encryption.Or(false) && !in.Signing.Or(true) {
		fault("encryption: excludes signing false")
	}
	return t, faults, nil
}

type target struct {
	in     *input
	limit  time.Duration
	dialer *network.Dialer
}

func (t *target) Timeout() time.Duration { return t.limit }

// Caseless implements [transfer.Caseless].
func (t *target) Caseless() {}

// Clean implements [transfer.Target]: what it gives is /dir/file, or SHARE:/dir/file for another share than the target's.
func (t *target) Clean(name string) (string, error) {
	share, rest, err := t.split(name)
	if err != nil {
		return "", err
	}
	if share == "" && t.in.Share == "" {
		return "", errors.New("names no share: say share, or write SHARE:/dir")
	}
	if share == "" || strings.EqualFold(share, t.in.Share) {
		return "/" + rest, nil
	}
	return share + ":/" + rest, nil
}

// split is the share that a path names, if any, and the path below it, cleaned.
func (t *target) split(name string) (share, rest string, err error) {
	rest = strings.ReplaceAll(name, `\`, "/")
	if unc, is := strings.CutPrefix(rest, "//"); is && strings.HasPrefix(name, `\\`) {
		host, below, _ := strings.Cut(unc, "/")
		if !strings.EqualFold(host, t.in.Server) && !strings.EqualFold(host, t.in.ServerName) {
			return "", "", errors.New("names another server")
		}
		if share, rest, _ = strings.Cut(below, "/"); share == "" {
			return "", "", errors.New("names no share")
		}
	} else if before, below, has := strings.Cut(rest, ":"); has && !strings.Contains(before, "/") && (below == "" || below[0] == '/') {
		if rest = below; len(before) != 1 { // one letter is a drive
			if share = before; share == "" {
				return "", "", errors.New("names no share")
			}
		}
	}
	if share != "" && badPart(share) != "" {
		return "", "", fmt.Errorf("the share %.100q %s", share, badPart(share))
	}
	for part := range strings.SplitSeq(rest, "/") {
		if bad := badPart(part); part != "" && part != "." && bad != "" {
			return "", "", fmt.Errorf("%.100q %s", part, bad)
		}
	}
	return share, strings.Trim(path.Clean("/"+rest), "/"), nil
}

// badPart is why a part of a path is none.
func badPart(part string) string {
	switch {
	case part == "..":
		return "leads up"
	case strings.ContainsAny(part, `<>:"|?*`) || strings.ContainsFunc(part, func(r rune) bool { return r < ' ' || r == 0xFFFD }):
		return "is no name that SMB has"
	case strings.HasSuffix(part, " ") || strings.HasSuffix(part, "."):
		return "ends with a blank or a dot, which SMB takes for another name"
	}
	return ""
}

// Open implements [transfer.Target].
func (t *target) Open(ctx context.Context) (transfer.Server, func(), error) {
	in := t.in
	conn, err := t.dialer.DialContext(ctx, "tcp", net.JoinHostPort(in.Server, strconv.FormatInt(in.Port.Or(defaultPort), 10)))
	if err != nil {
		return nil, nil, network.Classed(err)
	}
	seen := &observed{Conn: conn}
	late, end := linger(ctx)
	dialer := &smb2.Dialer{
		Negotiator: smb2.Negotiator{RequireMessageSigning: in.Signing.Or(true)},
		Initiator: &smb2.NTLMInitiator{User: in.Username, Password: in.Password, Domain: in.Domain, Workstation: cmp.Or(in.ClientName, "taskgrove"),
			TargetSPN: "cifs/" + cmp.Or(in.ServerName, in.Server)},
	}
	session, err := login(ctx, dialer, seen)
	if err == nil {
		err = seen.check(in.Signing.Or(true))
	}
	if err != nil {
		end()
		_ = conn.Close()
		return nil, nil, err
	}
	s := &server{target: t, session: session.WithContext(late), ctx: late, seen: seen, shares: map[string]*smb2.Share{}}
	if in.Share != "" { // that it is there is known before anything is done
		if _, err := s.mounted(in.Share); err != nil {
			end()
			_ = conn.Close()
			return nil, nil, err
		}
	}
	return s, func() {
		if ctx.Err() == nil {
			quick, cancel := context.WithTimeout(late, goodbye)
			_ = session.WithContext(quick).Logoff() // the server forgets the session anyway
			cancel()
		}
		end()
		_ = conn.Close()
	}, nil
}

// login negotiates and logs in.
func login(ctx context.Context, d *smb2.Dialer, conn net.Conn) (s *smb2.Session, err error) {
	defer caught(&err)
	s, err = d.DialConn(ctx, conn, "")
	if err == nil || ctx.Err() != nil {
		return s, err
	}
	if reason := refusals[code(err)]; reason != "" {
		return nil, executors.WithKind(executors.Permanent(errors.New("the server does not let the user in: "+reason)), executors.KindConnect)
	}
	return nil, executors.WithKind(fmt.Errorf("log in: %w", told(err)), executors.KindConnect)
}

// How long an attempt that has ended may still close and remove what is half-written, and one that has done its work may take to leave.
const (
	tidying = 5 * time.Second
	goodbye = time.Second
)

// linger is a context that ends some time after ctx; at once, if that ended as the server has said nothing.
func linger(ctx context.Context) (context.Context, func()) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if executors.KindOf(context.Cause(ctx)) == executors.KindTimeout {
			cancel()
			return
		}
		timer := time.AfterFunc(tidying, cancel)
		context.AfterFunc(late, func() { timer.Stop() })
	})
	return late, func() { stop(); cancel() }
}
