package coordinator

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/taskgrove/taskgrove/internal/addresses"
)

// webhookAllow is where webhooks may go beyond public addresses. nil: nowhere.
type webhookAllow struct {
	names    []allowedName
	prefixes []allowedPrefix
}

type allowedName struct {
	name string // in lower case; "*.example.com" is all below example.com
	port string // empty: any
}

type allowedPrefix struct {
	prefix netip.Prefix
	port   uint16 // 0: any
}

// parseAllow reads hosts, addresses and CIDR ranges, each with a port if only that is meant.
func parseAllow(list []string) (*webhookAllow, error) {
	a := &webhookAllow{}
	for _, text := range list {
		if text = strings.ToLower(strings.TrimSpace(text)); text == "" {
			continue
		}
		if prefixes, err := addresses.ParsePrefixes(text); err == nil {
			a.prefixes = append(a.prefixes, allowedPrefix{prefix: prefixes[0]})
			continue
		}
		host, port := text, ""
		if h, p, err := net.SplitHostPort(text); err == nil {
			host, port = h, p
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if port != "" && (err != nil || number == 0) {
			return nil, fmt.Errorf("%q has no port", text)
		}
		if prefixes, err := addresses.ParsePrefixes(host); err == nil && len(prefixes) == 1 {
			a.prefixes = append(a.prefixes, allowedPrefix{prefixes[0], uint16(number)})
			continue
		}
		if host == "" || strings.ContainsAny(host, "/:@ ") || strings.Contains(strings.TrimPrefix(host, "*."), "*") {
			return nil, fmt.Errorf("%q is no host, address or CIDR range, with or without a port", text)
		}
		a.names = append(a.names, allowedName{host, port})
	}
	return a, nil
}

// allowsName reports whether the host of host:port is on the list by its name.
func (a *webhookAllow) allowsName(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if a == nil || err != nil {
		return false
	}
	for _, n := range a.names {
		below, wild := strings.CutPrefix(n.name, "*")
		if (n.port == "" || n.port == port) && (host == n.name || wild && strings.HasSuffix(host, below) && len(host) > len(below)) {
			return true
		}
	}
	return false
}

// check says why a connection for host:port may not go to an address; nil: it may. A name on the list may stand for any address but those
// that nobody has a reason to be sent to.
func (a *webhookAllow) check(host string, to netip.AddrPort) error {
	addr := addresses.Plain(to.Addr())
	if a != nil {
		for _, p := range a.prefixes {
			if p.prefix.Contains(addr) && (p.port == 0 || p.port == to.Port()) {
				return nil
			}
		}
	}
	if addresses.Public(addr) || a.allowsName(host) && !addresses.Never(addr) {
		return nil
	}
	return &addressRefusal{addr}
}

// addressRefusal is an address that webhooks may not go to.
type addressRefusal struct{ addr netip.Addr }

func (e *addressRefusal) Error() string {
	return fmt.Sprintf("address %s is not public, and TASKGROVE_WEBHOOK_ALLOW does not name it", e.addr)
}

const (
	webhookAnswerBytes = 64 << 10 // of an answer that are read, so that its connection can be used again
	webhookErrorBytes  = 300      // of an answer that are told
	webhookIdle        = 30 * time.Second
)

// client makes the client of deliveries: it checks each address that it dials, follows no redirect, asks no proxy, and reads little.
func (a *webhookAllow) client(roots *x509.CertPool, perHost int) *http.Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			d := net.Dialer{Timeout: webhookTimeout, Control: func(_, to string, _ syscall.RawConn) error {
				ap, err := netip.ParseAddrPort(to)
				if err != nil {
					return fmt.Errorf("address %s can't be read", to)
				}
				return a.check(strings.ToLower(address), ap)
			}}
			return d.DialContext(ctx, network, address)
		},
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    webhookTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    perHost,
		MaxConnsPerHost:        4 * perHost,
		IdleConnTimeout:        webhookIdle,
		MaxResponseHeaderBytes: webhookAnswerBytes,
		DisableCompression:     true,
	}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// sent is what became of one request.
type sent struct {
	outcome DeliveryOutcome // Delivered, Refused, or Retrying: another request may help
	status  int
	latency time.Duration
	err     string
	gone    bool          // the receiver wants no more of them, ever
	busy    bool          // the receiver was asked too much
	after   time.Duration // when it may be asked again, as it says; 0: it does not
}

// send makes one request.
func (d *deliverer) send(ctx context.Context, t *target, id string, body []byte) (out sent) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(t.view.TimeoutMS)*time.Millisecond)
	defer cancel()
	begin := time.Now()
	defer func() { out.latency = time.Since(begin) }()
	req, err := http.NewRequestWithContext(ctx, t.view.Method, t.url, bytes.NewReader(body))
	if err != nil {
		return sent{outcome: Refused, err: "the URL can't be used"}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Taskgrove/"+d.version)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header)) // before the webhook's own, which win
	for name, value := range t.headers {
		req.Header.Set(name, value)
	}
	stamp := strconv.FormatInt(begin.Unix(), 10)
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", stamp)
	if s := signatures(t.secrets, id, stamp, body); s != "" {
		req.Header.Set("Webhook-Signature", s)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return failedToSend(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, webhookAnswerBytes)) // what it says does not matter to us
	if t.shy() {
		text = nil
	}
	out = judge(resp.StatusCode, text)
	out.after = retryAfter(resp.Header.Get("Retry-After"), begin)
	return out
}

// shy reports whether something secret is sent, which the receiver's answer may repeat in any form: then nobody is told its text.
func (t *target) shy() bool { return len(t.headers) > 0 || shownURL(t.url) != t.url }

// webhookMaxAfter bounds for how long a receiver can say that it wants to be left alone.
const webhookMaxAfter = time.Hour

// retryAfter reads the header: seconds, or a time (RFC 9110, 10.2.3). 0: it says nothing, or nothing that can be read.
func retryAfter(text string, now time.Time) time.Duration {
	var after time.Duration
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		after = at.Sub(now)
	}
	return min(max(after, 0), webhookMaxAfter)
}

// signatures signs as Standard Webhooks say, once with each secret.
func signatures(secrets [][]byte, id, stamp string, body []byte) string {
	all := make([]string, len(secrets))
	for i, key := range secrets {
		mac := hmac.New(sha256.New, key)
		_, _ = fmt.Fprintf(mac, "%s.%s.", id, stamp)
		_, _ = mac.Write(body)
		all[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(all, " ")
}

// judge says what an answer means (spec 5.5): 2xx is delivered, 5xx is tried again, all else drops the event.
func judge(status int, text []byte) sent {
	out := sent{outcome: Refused, status: status, gone: status == http.StatusGone, busy: status == http.StatusTooManyRequests}
	switch {
	case status >= 200 && status < 300:
		return sent{outcome: Delivered, status: status}
	case status >= 500:
		out.outcome = Retrying
	case status >= 300 && status < 400:
		out.err = fmt.Sprintf("answered %d: redirects are not followed", status)
		return out
	}
	out.err = fmt.Sprintf("answered %d", status)
	if told := strings.TrimSpace(clean(strings.ToValidUTF8(string(text[:min(len(text), webhookErrorBytes)]), ""))); told != "" {
		out.err += ": " + told
	}
	return out
}

// failedToSend is the outcome of a request without an answer. The URL is left out of the text.
func failedToSend(err error) sent {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	if _, ok := errors.AsType[*addressRefusal](err); ok {
		return sent{outcome: Refused, err: err.Error()}
	}
	text := err.Error()
	if errors.Is(err, context.DeadlineExceeded) {
		text = "no answer in time"
	}
	return sent{outcome: Retrying, err: clean(text[:min(len(text), webhookErrorBytes)])}
}
