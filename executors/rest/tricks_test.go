package rest_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/network/networktest"
	"github.com/taskgrove/taskgrove/executors/rest"
)

// trick is a request that tries to reach a canary on loopback. PORT stands for its port, OUTER for an attacker's server at an address that is
// allowed, SOCKET for the canary's unix socket.
type trick struct {
	inputs object
	works  bool // where loopback is open it reaches the canary: the trick is a real one
}

func to(url string) object { return object{"url": url} }

var tricks = map[string]trick{
	"address":                       {to("http://127.0.0.1:PORT/"), true},
	"another address of loopback":   {to("http://127.8.8.8:PORT/"), false},
	"IPv6":                          {to("http://[::1]:PORT/"), true},
	"IPv6 with a zone":              {to("http://[::1%25lo]:PORT/"), false},
	"mapped":                        {to("http://[::ffff:127.0.0.1]:PORT/"), true},
	"mapped, as hex":                {to("http://[::ffff:7f00:1]:PORT/"), true},
	"compatible":                    {to("http://[::127.0.0.1]:PORT/"), false},
	"translated":                    {to("http://[::ffff:0:127.0.0.1]:PORT/"), false},
	"NAT64":                         {to("http://[64:ff9b::127.0.0.1]:PORT/"), false},
	"6to4":                          {to("http://[2002:7f00:1::]:PORT/"), false},
	"unspecified":                   {to("http://0.0.0.0:PORT/"), false},
	"unspecified, short":            {to("http://0:PORT/"), false},
	"unspecified, IPv6":             {to("http://[::]:PORT/"), false},
	"localhost":                     {to("http://localhost:PORT/"), true},
	"localhost, in capitals":        {to("http://LocalHost:PORT/"), true},
	"localhost with a dot":          {to("http://localhost.:PORT/"), true},
	"a name":                        {to("http://loop.attacker.test:PORT/"), true},
	"a name, IPv6":                  {to("http://loop6.attacker.test:PORT/"), true},
	"an alias of a name":            {to("http://alias.attacker.test:PORT/"), true},
	"a name that changes its mind":  {to("http://rebind.attacker.test:PORT/"), true},
	"decimal":                       {to("http://2130706433:PORT/"), false},
	"hex, which DNS knows":          {to("http://0x7f000001:PORT/"), true},
	"octal":                         {to("http://0177.0.0.1:PORT/"), false},
	"short":                         {to("http://127.1:PORT/"), false},
	"wide digits":                   {to("http://１２７.０.０.１:PORT/"), true},
	"wide dots":                     {to("http://127。0。0。1:PORT/"), true},
	"digits in circles":             {to("http://①②⑦.⓪.⓪.①:PORT/"), true},
	"percent-encoded":               {to("http://%31%32%37.0.0.1:PORT/"), false},
	"percent-encoded wide digits":   {to("http://%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1:PORT/"), true},
	"a user that looks like a host": {to("http://good.example@127.0.0.1:PORT/"), true},
	"a user with a port":            {to("http://good.example:80@127.0.0.1:PORT/"), true},
	"a fragment":                    {to("http://127.0.0.1:PORT#@good.example/"), true},
	"a backslash":                   {to(`http://127.0.0.1:PORT\@good.example/`), false},
	"a tab":                         {to("http://127.0.0.1:PORT\t/"), false},
	"blanks around":                 {to("  http://127.0.0.1:PORT/ "), true},
	"without a scheme":              {to("//127.0.0.1:PORT/"), false},
	"a scheme in capitals":          {to("HTTP://127.0.0.1:PORT/"), true},
	"a unix socket":                 {to("unix://SOCKET"), false},
	"a unix socket over HTTP":       {to("http+unix://SOCKET/x"), false},
	"a file":                        {to("file:///etc/passwd"), false},
	"another protocol":              {to("gopher://127.0.0.1:PORT/x"), false},
	"WebSocket":                     {to("ws://127.0.0.1:PORT/"), false},
	"FTP":                           {to("ftp://127.0.0.1:PORT/"), false},
	"an unchecked certificate":      {object{"url": "https://127.0.0.1:PORT/", "verify": false}, false},
	"the header Host":               {object{"url": "http://OUTER/quiet", "headers": object{"Host": "127.0.0.1:PORT"}}, false},
	"a forwarded host":              {object{"url": "http://OUTER/quiet", "headers": object{"X-Forwarded-Host": "127.0.0.1:PORT", "Forwarded": "host=127.0.0.1:PORT"}}, false},
	"an upgrade":                    {object{"url": "http://OUTER/quiet", "headers": object{"Connection": "Upgrade", "Upgrade": "127.0.0.1:PORT"}}, false},
	"CONNECT":                       {object{"url": "http://127.0.0.1:PORT/", "method": "CONNECT"}, false},
	"a whole URL for a method":      {object{"url": "http://OUTER/quiet", "method": "GET http://127.0.0.1:PORT/"}, false},
	"another service":               {to("http://OUTER/altsvc"), false},
	"a refresh":                     {to("http://OUTER/refresh"), false},
	"redirect 300":                  {to("http://OUTER/300"), false},
	"redirect 301":                  {to("http://OUTER/301"), true},
	"redirect 302":                  {to("http://OUTER/302"), true},
	"redirect 303":                  {to("http://OUTER/303"), true},
	"redirect 305":                  {to("http://OUTER/305"), false},
	"redirect 307":                  {object{"url": "http://OUTER/307", "method": "POST", "json": 1}, true},
	"redirect 308":                  {object{"url": "http://OUTER/308", "method": "PUT", "data": object{"a": "b"}}, true},
	"a redirect to a name":          {to("http://OUTER/302?host=loop.attacker.test"), true},
	"a redirect to localhost":       {to("http://OUTER/302?host=localhost"), true},
	"a redirect with a user":        {to("http://OUTER/302?host=good.example@127.0.0.1"), true},
	"a redirect to wide digits":     {to("http://OUTER/302?host=１２７.0.0.1"), true},
	"a redirect without a scheme":   {to("http://OUTER/bare"), true},
	"a redirect to a redirect":      {to("http://OUTER/301?host=OUTER/302"), true},
	"a redirect to a unix socket":   {to("http://OUTER/unix"), false},
	"retries":                       {object{"url": "http://127.0.0.1:PORT/", "retries": 3}, true},
}

// outer starts the attacker's server at 127.0.0.2, which is allowed.
func outer(t *testing.T, canary *networktest.Canary) string {
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip("there is no second address of loopback: ", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // ends with the test
		canaryAt := fmt.Sprintf("127.0.0.1:%d", canary.Port)
		switch r.URL.Path {
		case "/quiet":
		case "/altsvc":
			w.Header().Set("Alt-Svc", `h2="`+canaryAt+`", h3="`+canaryAt+`"; persist=1`)
		case "/refresh":
			w.Header().Set("Refresh", "0; url=http://"+canaryAt+"/")
			w.Header().Set("Link", "<http://"+canaryAt+"/>; rel=preload")
		case "/bare":
			w.Header().Set("Location", "//"+canaryAt+"/")
			w.WriteHeader(http.StatusFound)
		case "/unix":
			w.Header().Set("Location", "unix://"+canary.Socket)
			w.WriteHeader(http.StatusFound)
		default:
			var status int
			_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
			to := r.URL.Query().Get("host")
			switch {
			case to == "":
				to = canaryAt
			case !strings.Contains(to, "/"):
				to = fmt.Sprintf("%s:%d", to, canary.Port)
			}
			w.Header().Set("Location", "http://"+to)
			w.WriteHeader(status)
		}
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return l.Addr().String()
}

// TestTricksDoNotGetPastTheGuard really sends each request.
func TestTricksDoNotGetPastTheGuard(t *testing.T) {
	if len(tricks) < 20 {
		t.Fatalf("only %d tricks", len(tricks))
	}
	canary, dns := networktest.StartCanary(t), networktest.StartDNS(t)
	attacker := outer(t, canary)
	for _, name := range []string{"loop.attacker.test", "localhost", "0x7f000001"} {
		dns.Set(name, []string{"127.0.0.1"})
	}
	dns.Set("loop6.attacker.test", []string{"::1"})
	dns.Alias("alias.attacker.test", "loop.attacker.test")
	allowed, err := network.ParsePrefixes("127.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	made := func(loopback bool) *rest.Executor {
		n := network.New(network.Config{Resolver: dns.Resolver(), Guard: network.Guard{Allow: allowed, Loopback: loopback}})
		e := rest.New(rest.Config{RetryWaitMin: time.Millisecond, RetryWaitMax: time.Millisecond}, n)
		t.Cleanup(func() { _ = e.Close() })
		return e
	}
	closed, open := made(false), made(true)
	fill := strings.NewReplacer("PORT", fmt.Sprint(canary.Port), "OUTER", attacker, "SOCKET", canary.Socket)
	for name, trick := range tricks {
		dns.Set("rebind.attacker.test", []string{"127.0.0.2"}, []string{"127.0.0.1"})
		send := func(e *rest.Executor) error {
			inputs := filled(fill, trick.inputs)
			inputs["timeout"] = 5
			call, _ := conformance.Call(t, inputs)
			_, err := e.Run(t.Context(), call)
			return err
		}
		err := send(closed)
		if name == "a name that changes its mind" { // the first time nobody listens there
			err = send(closed)
		}
		if canary.Reached() > 0 {
			t.Errorf("%s: the canary was reached", name)
		}
		if trick.works && !executors.IsPermanent(err) {
			t.Errorf("%s: got %v, want a permanent refusal", name, err)
		}
		if trick.works {
			if err := send(open); canary.Reached() == 0 {
				t.Errorf("%s: the trick is none: %v", name, err)
			}
			_ = open.Close()
		}
	}
}

// filled are inputs with the words of the test in their places.
func filled(fill *strings.Replacer, inputs object) object {
	out := object{}
	for key, value := range inputs {
		switch v := value.(type) {
		case string:
			out[key] = fill.Replace(v)
		case object:
			out[key] = filled(fill, v)
		default:
			out[key] = v
		}
	}
	return out
}

// TestWarmConnectionIsNotThereForTasks: what a connection of the operator's has opened, a task can't use.
func TestWarmConnectionIsNotThereForTasks(t *testing.T) {
	canary := networktest.StartCanary(t)
	e := rest.New(rest.Config{}, network.New(network.Config{}))
	defer e.Close()
	base := fmt.Sprintf("http://127.0.0.1:%d", canary.Port)
	call, _ := conformance.Call(t, object{"base_url": base, "url": "/"})
	call.Connection = "api"
	if _, err := e.Run(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	for _, inputs := range []object{{"url": base}, {"base_url": base, "url": "/"}} {
		call, _ = conformance.Call(t, inputs)
		if got, err := e.Run(t.Context(), call); !executors.IsPermanent(err) {
			t.Errorf("%v: got %v, %v, want a permanent refusal", inputs, got.Value(), err)
		}
	}
}

// TestLinkLocalIsNeverReached: in whatever way it is written, and whoever asks.
func TestLinkLocalIsNeverReached(t *testing.T) {
	for _, host := range []string{
		"169.254.169.254", "169.254.170.2", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[64:ff9b::169.254.169.254]", "[2002:a9fe:a9fe::]", "[::169.254.169.254]",
		"[fe80::1%25lo]", "[fd00:ec2::254]", "[fd20:ce::254]", "100.100.100.200", "168.63.129.16", "１６９.２５４.１６９.２５４", "169。254。169。254", "good.example@169.254.169.254",
	} {
		for _, connection := range []string{"", "api"} {
			inputs := object{"url": "http://" + host + "/latest/meta-data", "timeout": 5}
			if connection != "" {
				inputs = object{"url": "/latest/meta-data", "base_url": "http://" + host, "timeout": 5}
			}
			e := newExecutor(t, rest.Config{})
			call, _ := conformance.Call(t, inputs)
			call.Connection = connection
			if _, err := e.Run(t.Context(), call); !executors.IsPermanent(err) || !strings.Contains(err.Error(), "is not allowed") {
				t.Errorf("%s, connection %q: got %v, want a permanent refusal", host, connection, err)
			}
		}
	}
}
