package networktest

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
)

// Proxy is a proxy that remembers what it was asked for.
type Proxy struct {
	URL string // http://, https:// or socks5://

	// To leads every connection to this address, whatever was asked for; empty: to where it was asked for.
	To string
	// Answer is the status of answers to CONNECT; 0: it connects.
	Answer int

	mu    sync.Mutex
	asked []string
	users []string
}

// Asked are the destinations that it was asked for since it was last asked, each as method and target.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.asked
	p.asked = nil
	return asked
}

// Users are the credentials that came with each, as they stood in the header or user:password.
func (p *Proxy) Users() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.users...)
}

func (p *Proxy) note(what, user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked, p.users = append(p.asked, what), append(p.users, user)
}

// StartProxy starts one that speaks HTTP.
func StartProxy(t testing.TB) *Proxy {
	p := &Proxy{}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	p.URL = s.URL
	return p
}

// StartTLSProxy starts one that speaks HTTP over TLS, with this certificate.
func StartTLSProxy(t testing.TB, certificate tls.Certificate) *Proxy {
	p := &Proxy{}
	s := httptest.NewUnstartedServer(p)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	p.URL = s.URL
	return p
}

// ServeHTTP implements [http.Handler].
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user := r.Header.Get("Proxy-Authorization")
	if r.Method == http.MethodConnect {
		p.note("CONNECT "+r.Host, user)
		if p.Answer != 0 {
			w.WriteHeader(p.Answer)
			return
		}
		p.tunnel(w, r)
		return
	}
	p.note(r.Method+" "+r.RequestURI, user)
	out := r.Clone(r.Context())
	out.RequestURI = ""
	out.Header.Del("Proxy-Authorization")
	transport := &http.Transport{DisableKeepAlives: true}
	if p.To != "" {
		out.URL.Host = p.To
	}
	resp, err := transport.RoundTrip(out)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	to := r.Host
	if p.To != "" {
		to = p.To
	}
	out, err := net.Dial("tcp", to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer out.Close()
	in, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer in.Close()
	_, _ = io.WriteString(in, "HTTP/1.1 200 Connection established\r\n\r\n")
	join(in, out, buffered.Reader)
}

// join copies both ways until one side ends.
func join(in, out net.Conn, from io.Reader) {
	var done sync.WaitGroup
	done.Go(func() { _, _ = io.Copy(out, from); _ = out.Close(); _ = in.Close() })
	_, _ = io.Copy(in, out)
	_, _ = in.Close(), out.Close()
	done.Wait()
}

// StartSOCKS starts one that speaks SOCKS5, with a user and password that it notes and does not check.
func StartSOCKS(t testing.TB) *Proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{URL: "socks5://" + l.Addr().String()}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			done.Go(func() { defer conn.Close(); p.socks(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); done.Wait() })
	return p
}

// socks serves one connection (RFC 1928, 1929).
func (p *Proxy) socks(conn net.Conn) {
	r := bufio.NewReader(conn)
	head := make([]byte, 2)
	if _, err := io.ReadFull(r, head); err != nil {
		return
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(r, methods); err != nil {
		return
	}
	user := ""
	if methods[len(methods)-1] == 2 {
		_, _ = conn.Write([]byte{5, 2})
		_, _ = r.Discard(1)
		user = text(r) + ":" + text(r)
		_, _ = conn.Write([]byte{1, 0})
	} else {
		_, _ = conn.Write([]byte{5, 0})
	}
	request := make([]byte, 4)
	if _, err := io.ReadFull(r, request); err != nil {
		return
	}
	var host string
	switch request[3] {
	case 1:
		host = net.IP(read(r, 4)).String()
	case 3:
		host = text(r)
	case 4:
		host = net.IP(read(r, 16)).String()
	}
	to := net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(read(r, 2)))))
	p.note("SOCKS "+to, user)
	if p.To != "" {
		to = p.To
	}
	if p.Answer != 0 {
		_, _ = conn.Write([]byte{5, byte(p.Answer), 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	out, err := net.Dial("tcp", to)
	if err != nil {
		_, _ = conn.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	join(conn, out, r)
}

func read(r io.Reader, n int) []byte {
	b := make([]byte, n)
	_, _ = io.ReadFull(r, b)
	return b
}

// text reads one with its length before it.
func text(r io.Reader) string { return string(read(r, int(read(r, 1)[0]))) }
