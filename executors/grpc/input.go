package grpccall

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/tlsinput"
)

const maxRequests = 10_000

type input struct {
	Server        string                     `json:"server"`
	Service       string                     `json:"service"`
	Method        string                     `json:"method"`
	Request       json.RawMessage            `json:"request"`
	Requests      []json.RawMessage          `json:"requests"`
	Metadata      map[string]json.RawMessage `json:"metadata"`
	Auth          *headers.Auth              `json:"auth"`
	Timeout       json.Number                `json:"timeout"`
	TLS           json.RawMessage            `json:"tls"`
	DescriptorSet string                     `json:"descriptor_set"`
	ProtoFile     json.RawMessage            `json:"proto_file"`
	MaxMessages   int                        `json:"max_messages"`
	EmitDefaults  bool                       `json:"emit_defaults"`
}

// peer is what a connection is kept by: attempts that agree in it share one.
type peer struct {
	network, address string // to dial
	host             string // whose certificate it must be, unless tls says otherwise
	secure           bool
	tls              [sha256.Size]byte // of the options, with key and all
	pool             string
	trusted          bool // an operator chose the address
}

// plan is a call that can be made.
type plan struct {
	in       *input
	peer     peer
	tls      *tlsinput.Options // nil: plain text
	metadata metadata.MD
	secrets  *headers.Set
	service  protoreflect.FullName
	given    *described // by the inputs; nil: ask the server
}

// plan reads the inputs. Its error names all faults that can be seen without the server.
func (e *Executor) plan(call *executors.Call) (*plan, error) {
	p := &plan{in: &input{}}
	if err := inputs.Decode(ID, call, p.in); err != nil {
		return nil, err
	}
	var faults []string
	fault := func(field string, err error) {
		if err != nil {
			faults = append(faults, field+err.Error())
		}
	}
	fault("", p.in.required())
	fault("server ", p.setServer())
	fault("tls ", p.setTLS())
	fault("service ", p.setService())
	faults = append(faults, p.setMetadata(call)...)
	given, err := e.library.given(p.in)
	fault("", err)
	if len(faults) > 0 {
		return nil, invalid(strings.Join(faults, "; "))
	}
	p.given = given
	p.peer.pool, p.peer.trusted = call.Pool, call.Connection != ""
	return p, nil
}

// required says which field is missing, or that there are too many.
func (in *input) required() error {
	in.Server, in.Service, in.Method = strings.TrimSpace(in.Server), strings.TrimSpace(in.Service), strings.TrimSpace(in.Method)
	for _, field := range []struct{ name, value string }{{"server", in.Server}, {"service", in.Service}, {"method", in.Method}} {
		if field.value == "" {
			return fmt.Errorf("%s is required in inputs", field.name)
		}
	}
	if bytes.Equal(in.Request, []byte("null")) {
		in.Request = nil
	}
	switch {
	case in.Request == nil && in.Requests == nil:
		return fmt.Errorf("request is required in inputs")
	case in.Request != nil && in.Requests != nil:
		return fmt.Errorf("request and requests can't both be given")
	case len(in.Requests) > maxRequests:
		return fmt.Errorf("requests must not be more than %d", maxRequests)
	case in.MaxMessages < 0 || in.MaxMessages > maxRequests:
		return fmt.Errorf("max_messages must be from 1 to %d", maxRequests)
	}
	return nil
}

// setServer reads host:port, with or without grpc:// or grpcs://, and unix:/path.
func (p *plan) setServer() error {
	if p.in.Server == "" {
		return nil // said already
	}
	if path, ok := strings.CutPrefix(p.in.Server, "unix:"); ok {
		p.peer.network, p.peer.address, p.peer.host = "unix", strings.TrimPrefix(path, "//"), "localhost"
		return nil
	}
	scheme, rest, ok := strings.Cut(p.in.Server, "://")
	if !ok {
		scheme, rest = "", p.in.Server
	}
	u, err := url.Parse("grpc://" + rest)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"", "grpc", "grpcs"}, scheme) {
		return fmt.Errorf("must be host:port, grpc://host:port, grpcs://host:port or unix:/path")
	}
	if u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("must be host and port only")
	}
	port := u.Port()
	if port == "" && scheme == "grpcs" {
		port = "443"
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return fmt.Errorf("has no port: host:port is needed")
	}
	p.peer.network, p.peer.host, p.peer.address = "tcp", u.Hostname(), net.JoinHostPort(u.Hostname(), port)
	p.peer.secure = scheme == "grpcs"
	return nil
}

// setTLS reads the input tls, beside what the server's scheme says.
func (p *plan) setTLS() error {
	options, said, err := tlsinput.Parse(p.in.TLS)
	switch {
	case err != nil:
		return err
	case said && options == nil && p.peer.secure:
		return errors.New("must not be false with grpcs://")
	case options != nil && strings.HasPrefix(p.in.Server, "grpc://"):
		return errors.New("must not be set with grpc://, which is plain text: grpcs:// is not")
	case options == nil && p.peer.secure:
		options = &tlsinput.Options{}
	}
	if options != nil {
		p.tls, p.peer.secure, p.peer.tls = options, true, options.Sum()
	}
	return nil
}

func (p *plan) setService() error {
	p.service = protoreflect.FullName(strings.Trim(p.in.Service, "./"))
	if p.in.Service != "" && !p.service.IsValid() {
		return fmt.Errorf("is not the full name of a service")
	}
	return nil
}

// setMetadata makes what is sent with the call. Its faults show no values.
func (p *plan) setMetadata(call *executors.Call) (faults []string) {
	p.secrets, faults = headers.New(call, "metadata", p.in.Metadata, p.in.Auth)
	p.metadata = metadata.MD{}
	for name, values := range p.secrets.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "grpc-") || slices.Contains([]string{"content-type", "te", "host", "user-agent", "connection"}, name) {
			faults = append(faults, fmt.Sprintf("metadata: %s is gRPC's own", name))
			continue
		}
		if strings.Trim(name, "0123456789abcdefghijklmnopqrstuvwxyz-_.") != "" {
			faults = append(faults, fmt.Sprintf("metadata: %q is not a name that gRPC sends", name))
			continue
		}
		for _, value := range values {
			if strings.HasSuffix(name, "-bin") {
				raw, err := unbase64(value)
				if err != nil {
					faults = append(faults, fmt.Sprintf("metadata: the value of %s must be base64", name))
				}
				value = string(raw)
			}
			p.metadata.Append(name, value)
		}
	}
	slices.Sort(faults)
	return faults
}

// unbase64 reads base64 of either alphabet, with or without padding.
func unbase64(text string) ([]byte, error) {
	text = strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "", " ", "").Replace(strings.TrimRight(text, "= \r\n"))
	return base64.RawStdEncoding.DecodeString(text)
}

func invalid(reason string) error { return executors.Invalid(ID, reason) }
