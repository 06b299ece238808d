package mail

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	netmail "net/mail"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/tlsinput"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// Bounds of a mail.
const (
	maxRecipients  = 500
	maxBody        = 5 << 20
	maxSubject     = 900
	maxAttachments = 100
)

// input are the inputs as they are read; see the schema for what they mean.
type input struct {
	Driver   string          `json:"driver"`
	Host     string          `json:"host"`
	Port     *inputs.Integer `json:"port"`
	Username string          `json:"username"`
	Password string          `json:"password"`
	StartTLS *inputs.Flag    `json:"starttls"`
	TLS      json.RawMessage `json:"tls"`
	FromAddr string          `json:"from_addr"`
	Timeout  json.RawMessage `json:"timeout"`
	Retry    *struct {
		Max *inputs.Integer `json:"max_attempts"`
	} `json:"retry"`

	From        string       `json:"from"`
	To          inputs.List  `json:"to"`
	Cc          inputs.List  `json:"cc"`
	Bcc         inputs.List  `json:"bcc"`
	Subject     string       `json:"subject"`
	Body        string       `json:"body"`
	HTML        *inputs.Flag `json:"html"`
	Text        string       `json:"text"`
	Attachments inputs.List  `json:"attachments"`

	port        int
	implicit    bool // TLS from the beginning
	policy      gomail.TLSPolicy
	tls         *tlsinput.Options
	limit       time.Duration
	from        *netmail.Address
	to, cc, bcc []*netmail.Address
	attached    []attached
}

// attached is an attachment as the inputs have it.
type attached struct {
	File      string `json:"file"`
	Name      string `json:"name"`
	MediaType string `json:"media_type"`
}

var hostText = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)

// read reads the inputs and tells all that is wrong with them.
func read(call *executors.Call) (*input, error) {
	in := &input{}
	if err := inputs.Decode(ID, call, in); err != nil {
		return nil, err
	}
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	in.readServer(fault)
	in.readPeople(fault)
	in.readText(fault)
	if len(faults) > 0 {
		return nil, executors.Invalid(ID, strings.Join(faults, "; "))
	}
	return in, nil
}

// readServer finds where to go, and how it is encrypted: port 465 by TLS from the beginning, port 587 by STARTTLS, which must be there then.
func (in *input) readServer(fault func(string, ...any)) {
	switch {
	case strings.TrimSpace(in.Host) == "":
		fault("host is required in inputs")
	case !hostText.MatchString(in.Host):
		fault("host: is neither a name nor an address")
	}
	switch in.Driver {
	case "", "smtp", "mail":
	default:
		fault("driver: must be smtp")
	}
	if in.port = int(in.Port.Or(587)); in.port < 1 || in.port > 65535 {
		fault("port: must be from 1 to 65535")
	}
	in.policy = gomail.NoTLS
	switch starttls := in.StartTLS.Or(in.port == 587); {
	case starttls:
		in.policy = gomail.TLSMandatory
	case in.port == 465:
		in.implicit, in.policy = true, gomail.TLSOpportunistic // whose look at the connection finds TLS there
	}
	options, said, err := tlsinput.Parse(in.TLS)
	switch {
	case err != nil:
		fault("tls %v", err)
	case options != nil && in.policy == gomail.NoTLS:
		in.implicit, in.policy = true, gomail.TLSOpportunistic
	case said && options == nil && in.policy != gomail.NoTLS:
		fault("tls: is false, and starttls or the port says otherwise")
	}
	if in.tls = options; options == nil {
		in.tls = &tlsinput.Options{}
	}
	if in.Password != "" && in.policy == gomail.NoTLS {
		fault("password: is not sent over a connection without TLS; set starttls, or tls, or use port 465")
	}
	if in.Password != "" && in.Username == "" {
		fault("username is required in inputs with a password")
	}
	in.limit = 30 * time.Second
	if raw := strings.Trim(string(in.Timeout), `" `); raw != "" && raw != "null" {
		s, err := strconv.ParseFloat(raw, 64)
		if err != nil || !(s > 0 && s <= 3600) {
			fault("timeout: must be a number of seconds above 0, 3600 at most")
		}
		in.limit = time.Duration(s * float64(time.Second))
	}
	if in.Retry != nil && in.Retry.Max.Or(1) < 1 {
		fault("retry.max_attempts: must be 1 at least")
	}
}

// readPeople finds who sends, and who gets it.
func (in *input) readPeople(fault func(string, ...any)) {
	from := in.From
	for _, other := range []string{in.FromAddr, in.Username} {
		if from == "" {
			from = other
		}
	}
	if from == "" {
		fault("from_addr is required in inputs, or in the connection")
	} else if a, err := address(from); err != nil {
		fault("from_addr: %.200q %v", from, err)
	} else {
		in.from = a
	}
	for _, list := range []struct {
		field string
		given inputs.List
		found *[]*netmail.Address
	}{{"to", in.To, &in.to}, {"cc", in.Cc, &in.cc}, {"bcc", in.Bcc, &in.bcc}} {
		var faults []string
		*list.found, faults = addresses(list.field, list.given)
		for _, text := range faults {
			fault("%s", text)
		}
	}
	switch n := len(in.to) + len(in.cc) + len(in.bcc); {
	case len(in.To) == 0:
		fault("to is required in inputs")
	case n > maxRecipients:
		fault("to, cc, bcc: more than %d recipients", maxRecipients)
	}
}

// addresses reads a list of addresses, or a text with commas between them.
func addresses(field string, list inputs.List) (found []*netmail.Address, faults []string) {
	texts, err := list.Texts()
	if err != nil {
		return nil, []string{field + err.Error()}
	}
	for i, text := range texts {
		at := fmt.Sprintf("%s[%d]", field, i)
		var parts []string
		if all, err := netmail.ParseAddressList(text); err == nil && len(all) > 1 && len(texts) == 1 {
			for _, one := range all {
				parts = append(parts, one.String())
			}
		} else {
			parts = []string{text}
		}
		if bad := unprintable(text); bad != "" {
			faults = append(faults, at+": "+bad)
			continue
		}
		for _, part := range parts {
			a, err := address(part)
			if err != nil {
				faults = append(faults, fmt.Sprintf("%s: %.200q %v", at, part, err))
				continue
			}
			found = append(found, a)
		}
	}
	return found, faults
}

var errAddress = errors.New("is no address of a mail")

func address(text string) (*netmail.Address, error) {
	if unprintable(text) != "" {
		return nil, errAddress
	}
	a, err := netmail.ParseAddress(text)
	if err != nil || len(a.Address) > 320 || strings.ContainsAny(a.Address, "<>\"\\ ,;:()[]") || unprintable(a.Address) != "" || unprintable(a.Name) != "" {
		return nil, errAddress
	}
	if local, domain, ok := strings.Cut(a.Address, "@"); !ok || local == "" || domain == "" || strings.Contains(domain, "@") {
		return nil, errAddress
	}
	return a, nil
}

// unprintable says that a text can't stand in a header.
func unprintable(text string) string {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }) {
		return "has a line break or another control character"
	}
	return ""
}

// readText reads what is sent.
func (in *input) readText(fault func(string, ...any)) {
	if strings.TrimSpace(in.Subject) == "" {
		fault("subject is required in inputs")
	}
	if bad := unprintable(in.Subject); bad != "" {
		fault("subject: %s", bad)
	} else if len(in.Subject) > maxSubject {
		fault("subject: is longer than %d bytes", maxSubject)
	}
	for _, text := range []struct{ field, value string }{{"body", in.Body}, {"text", in.Text}} {
		if len(text.value) > maxBody {
			fault("%s: is longer than %d bytes; attach a file", text.field, maxBody)
		}
		if strings.ContainsRune(text.value, 0) {
			fault("%s: has a NUL", text.field)
		}
	}
	if in.Body == "" {
		fault("body is required in inputs")
	}
	if in.Text != "" && !in.HTML.Or(false) {
		fault("text: is for those who don't read HTML: set html, or leave it out")
	}
	if len(in.Attachments) > maxAttachments {
		fault("attachments: more than %d", maxAttachments)
		return
	}
	for i, raw := range in.Attachments {
		field := fmt.Sprintf("attachments[%d]", i)
		var a attached
		if raw[0] == '"' {
			_ = json.Unmarshal(raw, &a.File)
		} else if raw[0] != '{' || json.Unmarshal(raw, &a) != nil {
			fault("%s: must be a path, or an object with file, name and media_type", field)
			continue
		}
		if a.File == "" {
			fault("%s: names no file", field)
			continue
		}
		if a.Name == "" {
			a.Name = filepath.Base(a.File)
		}
		if unprintable(a.Name) != "" || strings.ContainsAny(a.Name, "/\\\"") || len(a.Name) > 200 {
			fault("%s: %.200q is no name for an attachment", field, a.Name)
		}
		if a.MediaType == "" {
			a.MediaType = workdir.MediaType(a.Name)
		}
		if a.MediaType == "" {
			a.MediaType = "application/octet-stream"
		}
		if _, _, err := mime.ParseMediaType(a.MediaType); err != nil || unprintable(a.MediaType) != "" {
			fault("%s.media_type: %.100q is none", field, a.MediaType)
		}
		in.attached = append(in.attached, a)
	}
}

// bare are the addresses without names.
func bare(all []*netmail.Address) []string {
	texts := make([]string, len(all))
	for i, a := range all {
		texts[i] = a.Address
	}
	return texts
}
