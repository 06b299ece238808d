package network_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/network/networktest"
)

// behind is the dialer of a pool whose way out is a proxy.
func behind(t *testing.T, outlet network.Outlet, guard network.Guard) *network.Dialer {
	return opened(t, network.Config{Guard: guard, Outlet: outlet}).Pool("p")
}

// opened is a network that ends with the test, before the servers that it connects to.
func opened(t *testing.T, cfg network.Config) *network.Network {
	n := network.New(cfg)
	t.Cleanup(func() { _ = n.Close() })
	return n
}

func get(t *testing.T, d *network.Dialer, url, host string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	if host != "" {
		req.Host = host
	}
	resp, err := d.RoundTripper(true).RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// hello answers with the header Host that it got.
func hello(t *testing.T) (plain, secure *httptest.Server) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello "+r.Host) })
	plain, secure = httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	return plain, secure
}

func TestProxyIsUsedForEverything(t *testing.T) {
	plain, secure := hello(t)
	for name, start := range map[string]func(testing.TB) *networktest.Proxy{"http": networktest.StartProxy, "socks5": networktest.StartSOCKS} {
		t.Run(name, func(t *testing.T) {
			proxy := start(t)
			proxy.To = plain.Listener.Addr().String()
			withUser := strings.Replace(proxy.URL, "://", "://ann:hunter2@", 1)
			d := behind(t, network.Outlet{Proxy: withUser}, network.Guard{})
			tunnel := map[string]string{"http": "CONNECT ", "socks5": "SOCKS "}[name]

			conn, err := d.DialContext(t.Context(), "tcp", "db.example.test:5432")
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
			wantAsked(t, proxy, tunnel+"db.example.test:5432")

			if body, err := get(t, d, "http://www.example.test/a", ""); err != nil || body != "hello www.example.test" {
				t.Errorf("http: got %q, %v", body, err)
			}
			if name == "http" {
				wantAsked(t, proxy, "GET http://www.example.test/a")
			} else {
				wantAsked(t, proxy, "SOCKS www.example.test:80")
			}

			proxy.To = secure.Listener.Addr().String()
			if body, err := get(t, d, "https://www.example.test/", ""); err != nil || body != "hello www.example.test" {
				t.Errorf("https: got %q, %v", body, err)
			}
			wantAsked(t, proxy, tunnel+"www.example.test:443")

			want := map[string]string{"http": "Basic YW5uOmh1bnRlcjI=", "socks5": "ann:hunter2"}[name]
			for _, user := range proxy.Users() {
				if user != want {
					t.Errorf("the proxy got user %q, want %q", user, want)
				}
			}
		})
	}
}

func wantAsked(t *testing.T, p *networktest.Proxy, want ...string) {
	t.Helper()
	if got := p.Asked(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the proxy was asked for %q, want %q", got, want)
	}
}

// TestServerThatSpeaksFirst: what it says may come together with the proxy's answer.
func TestServerThatSpeaksFirst(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Read(make([]byte, 1000))
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\nSSH-2.0-test\r\n")
		_, _ = io.Copy(conn, conn)
	}()
	conn, err := behind(t, network.Outlet{Proxy: "http://" + l.Addr().String()}, network.Guard{}).DialContext(t.Context(), "tcp", "host.test:22")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "echo"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("SSH-2.0-test\r\necho"))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "SSH-2.0-test\r\necho" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestNamesThatAProxyMustNotHear: each is refused before the proxy is asked.
func TestNamesThatAProxyMustNotHear(t *testing.T) {
	plain, _ := hello(t)
	hosts := []string{
		"localhost.", "LOCALHOST.", "a.localhost", "a.localhost.", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "ｌｏｃａｌｈｏｓｔ", "local\u00adhost",
		"metadata.google.internal", "metadata.google.internal.", "METADATA", "x.metadata.google.internal", "instance-data", "metadata.goog",
		"169.254.169.254", "[::ffff:169.254.169.254]", "[::ffff:127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[fe80::1%25eth0]", "[fd00:ec2::254]", "0.0.0.0", "[::]",
		"2130706433", "0x7f000001", "0x7f.1", "0X7F.1", "127.1", "127.0.1", "017700000001", "0177.0.0.1", "127.0.0.1.", "127.00.0.1", "0", "1.2.3.4.5",
		"169.254.43518", "2852039166", "0xa9fea9fe", "10.0x1", "１２７.０.０.１", "127。0。0。1", "①②⑦.0.0.1",
		"-.1", "foo.0x1", "foo.9", "a b", "a,b", "*", "a..b", ".a", strings.Repeat("a", 254),
	}
	for name, start := range map[string]func(testing.TB) *networktest.Proxy{"http": networktest.StartProxy, "socks5": networktest.StartSOCKS} {
		proxy := start(t)
		proxy.To = plain.Listener.Addr().String()
		d := behind(t, network.Outlet{Proxy: proxy.URL}, network.Guard{})
		for _, host := range hosts {
			if err := dial(t, d, "tcp", strings.Replace(host, "%25", "%", 1)+":443"); err == nil || isASCII(host) && !executors.IsPermanent(err) {
				t.Errorf("%s: dial %s: got %v, want a permanent refusal", name, host, err)
			}
			for _, url := range []string{"http://" + host + "/", "https://" + host + ":8443/"} {
				if body, err := get(t, d, url, ""); err == nil {
					t.Errorf("%s: %s: got %q", name, url, body)
				}
			}
			// A proxy goes by the header Host.
			if _, err := get(t, d, "http://"+host+"/", "www.example.test"); err == nil {
				t.Errorf("%s: %s behind another name was reached", name, host)
			}
			if asked := proxy.Asked(); len(asked) > 0 {
				t.Errorf("%s: for %s the proxy was asked for %q", name, host, asked)
			}
		}
	}
}

// isASCII: what is not may be a loopback name, which needs no proxy, and which DNS does not know in this spelling.
func isASCII(s string) bool { return strings.IndexFunc(s, func(r rune) bool { return r > 127 }) < 0 }

// TestHostHeaderDoesNotLeadTheProxyElsewhere: it gets a tunnel to the URL's host.
func TestHostHeaderDoesNotLeadTheProxyElsewhere(t *testing.T) {
	plain, _ := hello(t)
	proxy := networktest.StartProxy(t)
	proxy.To = plain.Listener.Addr().String()
	d := behind(t, network.Outlet{Proxy: proxy.URL}, network.Guard{})
	for _, host := range []string{"169.254.169.254", "metadata.google.internal", "localhost", "other.example.test"} {
		if body, err := get(t, d, "http://www.example.test/", host); err != nil || body != "hello "+host {
			t.Errorf("got %q, %v", body, err)
		}
		wantAsked(t, proxy, "CONNECT www.example.test:80")
		d = behind(t, network.Outlet{Proxy: proxy.URL}, network.Guard{})
	}
}

// TestDirectWaysBehindAProxyAreGuarded: what needs no proxy is dialled, and so its address is judged.
func TestDirectWaysBehindAProxyAreGuarded(t *testing.T) {
	canary, dns := networktest.StartCanary(t), networktest.StartDNS(t)
	dns.Set("loop.attacker.test", []string{"127.0.0.1"})
	proxy := networktest.StartProxy(t)
	n := opened(t, network.Config{Resolver: dns.Resolver(), Outlet: network.Outlet{Proxy: proxy.URL, NoProxy: "*.attacker.test,.attacker.test,10.0.0.0/8"}})
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "loop.attacker.test"} {
		if err := dial(t, n.Pool("p"), "tcp", fmt.Sprintf("%s:%d", host, canary.Port)); !executors.IsPermanent(err) || canary.Reached() > 0 {
			t.Errorf("%s: got %v, want a permanent refusal", host, err)
		}
		if _, err := get(t, n.Pool("p"), fmt.Sprintf("http://%s:%d/", host, canary.Port), ""); !executors.IsPermanent(network.Classed(err)) || canary.Reached() > 0 {
			t.Errorf("%s: got %v, want a permanent refusal", host, err)
		}
	}
	if err := dial(t, n.Pool("p").Trusted(), "tcp", fmt.Sprintf("loop.attacker.test:%d", canary.Port)); err != nil {
		t.Errorf("a connection, without the proxy: %v", err)
	}
	if asked := proxy.Asked(); len(asked) > 0 {
		t.Errorf("the proxy was asked for %q", asked)
	}
}

// TestProxyItselfIsNoDestination: who names it as one gets what others get.
func TestProxyItselfIsNoDestination(t *testing.T) {
	proxy := networktest.StartProxy(t)
	d := behind(t, network.Outlet{Proxy: proxy.URL}, network.Guard{})
	if body, err := get(t, d, proxy.URL+"/", ""); !executors.IsPermanent(network.Classed(err)) {
		t.Errorf("got %q, %v, want a permanent refusal", body, err)
	}
	if asked := proxy.Asked(); len(asked) > 0 {
		t.Errorf("the proxy was asked for %q", asked)
	}
}

func TestPrivateNamesAreRefusedBehindAProxyOnRequest(t *testing.T) {
	plain, _ := hello(t)
	proxy := networktest.StartProxy(t)
	proxy.To = plain.Listener.Addr().String()
	open, strict := behind(t, network.Outlet{Proxy: proxy.URL}, network.Guard{}), behind(t, network.Outlet{Proxy: proxy.URL}, network.Guard{DenyPrivate: true})
	for _, host := range []string{"db", "db.local", "db.corp.internal", "printer.home.arpa", "10.1.2.3", "[fd12::1]", "x.lan."} {
		if err := dial(t, open, "tcp", host+":80"); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if err := dial(t, strict, "tcp", host+":80"); !executors.IsPermanent(err) {
			t.Errorf("strict: %s: got %v, want a permanent refusal", host, err)
		}
	}
	if err := dial(t, strict, "tcp", "www.example.test:80"); err != nil {
		t.Errorf("strict: %v", err)
	}
}

func TestEachPoolHasItsWayOut(t *testing.T) {
	plain, _ := hello(t)
	usual, own := networktest.StartProxy(t), networktest.StartProxy(t)
	usual.To, own.To = plain.Listener.Addr().String(), plain.Listener.Addr().String()
	n := opened(t, network.Config{
		Guard:  network.Guard{Loopback: true},
		Outlet: network.Outlet{Proxy: usual.URL, NoProxy: "near.example.test"},
		Pools:  map[string]network.Outlet{"own": {Proxy: own.URL}, "none": {Proxy: "none"}},
	})
	for _, row := range []struct {
		pool       string
		usual, own string
	}{{"p", "[CONNECT far.example.test:80]", "[]"}, {"own", "[]", "[CONNECT far.example.test:80]"}, {"none", "[]", "[]"}} {
		for _, host := range []string{"far", "near"} { // near: without the proxy, and DNS does not know it
			_ = dial(t, n.Pool(row.pool), "tcp", host+".example.test:80")
		}
		if got := fmt.Sprint(usual.Asked()); got != row.usual {
			t.Errorf("%s: the usual proxy was asked for %s, want %s", row.pool, got, row.usual)
		}
		if got := fmt.Sprint(own.Asked()); got != row.own {
			t.Errorf("%s: the pool's proxy was asked for %s, want %s", row.pool, got, row.own)
		}
	}
}

func TestProxiesOfTheEnvironmentAreIgnored(t *testing.T) {
	plain, _ := hello(t)
	proxy := networktest.StartProxy(t)
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	d := opened(t, network.Config{Guard: network.Guard{Loopback: true}}).Pool("p")
	if body, err := get(t, d, plain.URL, ""); err != nil || !strings.HasPrefix(body, "hello") {
		t.Errorf("got %q, %v", body, err)
	}
	if asked := proxy.Asked(); len(asked) > 0 {
		t.Errorf("the proxy was asked for %q", asked)
	}
}

func TestProxiesThatRefuse(t *testing.T) {
	for answer, permanent := range map[int]bool{403: true, 407: true, 502: false, 503: false, 429: false} {
		proxy := networktest.StartProxy(t)
		proxy.Answer = answer
		err := dial(t, behind(t, network.Outlet{Proxy: strings.Replace(proxy.URL, "://", "://ann:hunter2@", 1)}, network.Guard{}), "tcp", "www.example.test:443")
		if err == nil || executors.IsPermanent(err) != permanent || !strings.Contains(err.Error(), fmt.Sprint(answer)) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%d: got %v (permanent: %v)", answer, err, executors.IsPermanent(err))
		}
	}
	for answer, permanent := range map[int]bool{2: true, 5: false, 4: false} {
		proxy := networktest.StartSOCKS(t)
		proxy.Answer = answer
		err := dial(t, behind(t, network.Outlet{Proxy: strings.Replace(proxy.URL, "://", "://ann:hunter2@", 1)}, network.Guard{}), "tcp", "www.example.test:443")
		if err == nil || executors.IsPermanent(err) != permanent || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("SOCKS %d: got %v (permanent: %v)", answer, err, executors.IsPermanent(err))
		}
	}
}

func TestProxyThatHangsIsGivenUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, scheme := range []string{"http", "https", "socks5"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := behind(t, network.Outlet{Proxy: scheme + "://" + l.Addr().String()}, network.Guard{}).DialContext(ctx, "tcp", "www.example.test:80")
		if err == nil || executors.IsPermanent(err) {
			t.Errorf("%s: got %v", scheme, err)
		}
		cancel()
	}
}

func TestWrongProxiesAreTold(t *testing.T) {
	for proxy, want := range map[string]string{
		"ftp://proxy":              "proxy: takes http://, https:// or socks5:// URLs",
		"http://":                  "proxy: the URL has no host",
		"http://u:hunter2@p\x7f":   "proxy: not a URL",
		"http://u:hunter2@proxy/x": "proxy: the URL has more than a host",
	} {
		n := opened(t, network.Config{Pools: map[string]network.Outlet{"p": {Proxy: proxy}}})
		if err := n.Check(); err == nil || err.Error() != "pool p: "+want {
			t.Errorf("%q: got %v, want %s", proxy, err, want)
		}
		if err := dial(t, n.Pool("p"), "tcp", "192.0.2.1:80"); !executors.IsPermanent(err) {
			t.Errorf("%q: got %v, want a permanent error", proxy, err)
		}
		if err := n.Pool("q").Trusted(); err == nil {
			t.Error("no dialer")
		}
	}
}
