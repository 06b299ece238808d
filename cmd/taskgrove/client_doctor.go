package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/doctor"
	"github.com/taskgrove/taskgrove/node"
)

const (
	exitProblems  = 1 // doctor: there are problems
	askedWithin   = 40 * time.Second
	clientWithin  = 5 * time.Second
	tokenDue      = time.Hour
	usualHTTPPort = "8000"
)

// doctorCall is one run of taskgrove doctor.
type doctorCall struct {
	direct, all bool
	http        string
	settings    config.Client
}

func doctorCommand() *cobra.Command {
	d := &doctorCall{}
	cmd := clientCommand("doctor", "Find out what is wrong with the cluster, and how to mend it",
		"Has a coordinator look at Postgres, NATS, coordinators, workers and pools, adds what can be seen from here, and says how to mend each\n"+
			"finding. docs/doctor.md explains all checks. It changes nothing, and shows nothing secret.\n\n"+
			"If no coordinator answers, or with --direct, it looks at Postgres and NATS itself, by the settings of a coordinator in its environment:\n"+
			"TASKGROVE_POSTGRES_URL, TASKGROVE_NATS_URL and those beside them.\n\n"+
			"Exit code 0: there is no problem; 1: there is one, or more.", cobra.NoArgs, nil)
	cmd.Flags().BoolVar(&d.direct, "direct", false, "look at Postgres and NATS from here, without a coordinator")
	cmd.Flags().BoolVar(&d.all, "all", false, "also show what is in order")
	cmd.Flags().StringVar(&d.http, "http", "", "address of the coordinator's HTTP listener, http://HOST:PORT; empty: port 8000 of the server's host, if somebody answers there")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := clientSettings(flags(cmd, config.Variables(&config.Client{})))
		if err != nil {
			return codedError{err, exitUsage}
		}
		d.settings = cfg
		s, err := connect(cmd)
		if err != nil {
			return err
		}
		defer s.Close() //nolint:errcheck // nothing is left to be sent
		s.format = cmd.Flag("output").Value.(*formatFlag).format
		return s.explain(cmd.Context(), d.run(cmd.Context(), s))
	}
	return cmd
}

// diagnosed is what doctor prints.
type diagnosed struct {
	Coordinator, Version string // that looked; empty: none did
	Findings             []client.Finding
}

func (d *doctorCall) run(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, askedWithin)
	defer cancel()
	out := &diagnosed{}
	var found []doctor.Finding
	answered := false
	if !d.direct {
		found, answered = d.ask(ctx, s, out)
	}
	if !answered {
		more, err := d.look(ctx)
		if err != nil {
			return err
		}
		found = append(found, more...)
	}
	doctor.Sort(found)
	out.Findings = nil
	for _, f := range found {
		out.Findings = append(out.Findings, client.Finding{Check: f.Check, Severity: string(f.Severity), Subject: f.Subject, Found: f.Found, Mend: f.Mend, Link: f.Link})
	}
	if err := s.print(out, func(w io.Writer) { d.show(w, out) }); err != nil {
		return err
	}
	if doctor.Worst(found) == doctor.Problem {
		return codedError{errors.New("there are problems"), exitProblems}
	}
	return nil
}

// look looks at Postgres and NATS from here.
func (d *doctorCall) look(ctx context.Context) ([]doctor.Finding, error) {
	var cfg config.Direct
	if err := config.LoadPart(&cfg); err != nil {
		return nil, codedError{err, exitUsage}
	}
	if d.direct && cfg.PostgresURL.Reveal() == "" && cfg.NATSURL.Reveal() == "" {
		return nil, usage("--direct needs TASKGROVE_POSTGRES_URL, TASKGROVE_NATS_URL or both: the settings of a coordinator")
	}
	return node.Examine(ctx, &cfg)
}

// ask asks a coordinator, and adds what can be seen from here. answered: there is no need to look elsewhere.
func (d *doctorCall) ask(ctx context.Context, s *session, out *diagnosed) (found []doctor.Finding, answered bool) {
	begin := time.Now()
	who, err := s.WhoAmI(ctx)
	trip := time.Since(begin)
	switch {
	case errors.Is(err, client.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded):
		mend := []string{}
		if advice := tlsAdvice(err); advice != "" {
			mend = append(mend, advice)
		}
		return append(found, doctor.New(doctor.ClientGRPC, doctor.Problem, s.server, "no coordinator answers: "+oneLine(err.Error()), mend...)), false
	case errors.Is(err, client.ErrUnauthenticated):
		found = append(found, doctor.New(doctor.ClientToken, doctor.Problem, "", "the coordinator does not take your token, or you have given none: "+oneLine(err.Error())))
	case err != nil:
		found = append(found, doctor.New(doctor.ClientToken, doctor.Problem, "", "the coordinator does not say who you are: "+oneLine(err.Error())))
	default:
		found = append(found, d.token(who)...)
	}
	found = append(found, doctor.New(doctor.ClientGRPC, doctor.OK, s.server, fmt.Sprintf("answers within %s", trip.Round(100*time.Microsecond))))
	found = append(found, doctor.Run(ctx, clientWithin, doctor.Probe{Check: doctor.ClientTLS, Run: d.tls}, doctor.Probe{Check: doctor.ClientHTTP, Run: d.ready})...)
	if err != nil {
		return found, true
	}
	got, err := s.Diagnose(ctx)
	switch {
	case errors.Is(err, client.ErrDenied):
		return append(found, doctor.New(doctor.ClientRights, doctor.Warning, "", "you may not ask for a diagnosis: only what is seen from here was looked at")), true
	case err != nil && strings.Contains(err.Error(), "Unimplemented"):
		return append(found, doctor.New(doctor.ClientVersion, doctor.Warning, "", "the coordinator is of a version before 0.9, which can't diagnose: only what is seen from here was looked at")), true
	case err != nil:
		return append(found, doctor.New(doctor.ClientGRPC, doctor.Problem, s.server, "the coordinator gave no diagnosis: "+oneLine(err.Error()))), false
	}
	out.Coordinator, out.Version = got.Coordinator, got.Version
	found = append(found, doctor.JudgeSkew(doctor.ClientClock, "coordinator "+got.Coordinator, time.Until(got.At), trip+time.Millisecond))
	severity, text := doctor.OK, fmt.Sprintf("this program is %s, the coordinator %s", node.Version(), got.Version)
	if !doctor.Neighbours(node.Version(), got.Version) {
		severity = doctor.Warning
	}
	found = append(found, doctor.New(doctor.ClientVersion, severity, "", text))
	for _, f := range got.Findings {
		found = append(found, doctor.Finding{Check: f.Check, Severity: doctor.Severity(f.Severity), Subject: f.Subject, Found: f.Found, Mend: f.Mend, Link: f.Link})
	}
	return found, true
}

// token says who the coordinator takes the caller for, and until when the token lasts, if that can be read.
func (d *doctorCall) token(who *client.Identity) []doctor.Finding {
	text := "the coordinator asks nobody who it is"
	if who.Kind != "anonymous" && who.User != "" {
		text = fmt.Sprintf("the coordinator takes you for %s %s", oneLine(who.Kind), oneLine(who.User))
	}
	ends := expiry(d.tokenText())
	if left := time.Until(ends); !ends.IsZero() && left < tokenDue {
		return []doctor.Finding{doctor.New(doctor.ClientToken, doctor.Warning, "", fmt.Sprintf("%s; your token ends in %s", text, max(left, 0).Round(time.Second)))}
	}
	return []doctor.Finding{doctor.New(doctor.ClientToken, doctor.OK, "", text)}
}

func (d *doctorCall) tokenText() string {
	if d.settings.TokenFile != "" {
		text, _ := os.ReadFile(d.settings.TokenFile)
		return strings.TrimSpace(string(text))
	}
	return d.settings.Token.Reveal()
}

// expiry is when a token ends that says so, as JSON Web Tokens do; nobody checks it here.
func expiry(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Expires float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(body, &claims) != nil || claims.Expires <= 0 {
		return time.Time{}
	}
	return time.Unix(int64(claims.Expires), 0)
}

// tls says how the connection to the coordinator is encrypted, by a connection that sends nothing.
func (d *doctorCall) tls(ctx context.Context) []doctor.Finding {
	host, _, err := net.SplitHostPort(d.settings.Server)
	if err != nil { // another gRPC target
		host = ""
	}
	ip := net.ParseIP(host)
	w := doctor.Wire{Encrypted: d.settings.Encrypted(), Local: host == "localhost" || ip != nil && ip.IsLoopback()}
	if w.Encrypted && host != "" {
		if cfg, err := tlsFiles(&d.settings).Config(); err == nil {
			cfg.NextProtos = []string{"h2"}
			cfg.InsecureSkipVerify = true // it only reads how long the certificate lasts: the calls above have checked whose it is
			conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", d.settings.Server)
			if err == nil {
				defer conn.Close()
				if certs := conn.(*tls.Conn).ConnectionState().PeerCertificates; len(certs) > 0 {
					w.Ends = certs[0].NotAfter
				}
			}
		}
	}
	return doctor.JudgeTLS(doctor.ClientTLS, "the coordinator", w, time.Now())
}

// ready asks the HTTP listener whether the coordinator is ready.
func (d *doctorCall) ready(ctx context.Context) []doctor.Finding {
	at := strings.TrimSuffix(d.http, "/")
	if at == "" {
		host, _, err := net.SplitHostPort(d.settings.Server)
		if err != nil {
			return nil
		}
		scheme := "http://"
		if d.settings.Encrypted() {
			scheme = "https://"
		}
		at = scheme + net.JoinHostPort(cmp.Or(host, "127.0.0.1"), usualHTTPPort)
	}
	cfg, err := tlsFiles(&d.settings).Config()
	if err != nil {
		return []doctor.Finding{doctor.Failed(doctor.ClientHTTP, at, err)}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/ready", nil)
	if err != nil {
		return []doctor.Finding{doctor.Failed(doctor.ClientHTTP, at, err)}
	}
	answer, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: cfg, Proxy: http.ProxyFromEnvironment}}).Do(request)
	switch {
	case err != nil && d.http == "":
		return []doctor.Finding{doctor.New(doctor.ClientHTTP, doctor.Note, at, "nobody answers at the usual port of the HTTP listener; it may be elsewhere: --http says where")}
	case err != nil:
		return []doctor.Finding{doctor.New(doctor.ClientHTTP, doctor.Problem, at, "the HTTP listener does not answer: "+oneLine(err.Error()))}
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
	switch {
	case answer.StatusCode == http.StatusOK:
		return []doctor.Finding{doctor.New(doctor.ClientHTTP, doctor.OK, at, "answers, and is ready")}
	case d.http == "" && answer.StatusCode != http.StatusServiceUnavailable:
		return []doctor.Finding{doctor.New(doctor.ClientHTTP, doctor.Note, at, fmt.Sprintf("something else answers at the usual port of the HTTP listener (%s): --http says where it is", answer.Status))}
	}
	return []doctor.Finding{doctor.New(doctor.ClientHTTP, doctor.Problem, at, fmt.Sprintf("the coordinator is not ready (%s): %s", answer.Status, oneLine(string(body))))}
}

// show prints findings for people: what is not in order, the worst first, with what to do.
func (d *doctorCall) show(w io.Writer, out *diagnosed) {
	if out.Coordinator != "" {
		fmt.Fprintf(w, "coordinator %s (version %s) looked.\n", oneLine(out.Coordinator), oneLine(out.Version))
	}
	fine := 0
	for _, f := range out.Findings {
		if f.Severity == string(doctor.OK) && !d.all {
			fine++
			continue
		}
		subject := ""
		if f.Subject != "" {
			subject = " " + oneLine(f.Subject)
		}
		fmt.Fprintf(w, "\n%-8s %s%s\n         %s\n", strings.ToUpper(oneLine(f.Severity)), oneLine(f.Check), subject, oneLine(f.Found))
		for _, m := range f.Mend {
			fmt.Fprintf(w, "         -> %s\n", oneLine(m))
		}
		if f.Severity != string(doctor.OK) {
			fmt.Fprintf(w, "         %s\n", oneLine(f.Link))
		}
	}
	if fine > 0 {
		fmt.Fprintf(w, "\n%s in order; --all shows them.\n", checksAre(fine))
	}
}

// checksAre is how many checks there are.
func checksAre(n int) string {
	if n == 1 {
		return "1 check is"
	}
	return fmt.Sprintf("%d checks are", n)
}
