package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/credential/certtest"
)

// secured starts a coordinator whose listeners speak TLS, and ask callers of gRPC for certificates.
func secured(t *testing.T, ca *certtest.Authority, change func(*config.Coordinator)) *Coordinator {
	t.Helper()
	cfg := settingsOfCoordinator(t)
	cfg.HTTPAddr, cfg.GRPCAddr = "127.0.0.1:0", "127.0.0.1:0"
	cfg.CertFile, cfg.KeyFile = ca.Pair(t, "coordinator")
	cfg.ClientCAFile, cfg.ListenTLS.ClientAuth, cfg.HTTP.ClientAuth = ca.File, "required", "optional"
	change(cfg)
	p := NewProcess(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := p.StartCoordinator(t.Context(), cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.UntilReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestListenersSpeakTLS on both ports, with every protocol that is spoken there.
func TestListenersSpeakTLS(t *testing.T) {
	t.Parallel()
	ca := certtest.New(t, "house")
	c := secured(t, ca, func(*config.Coordinator) {})
	if !strings.HasPrefix(c.HTTP, "https://127.0.0.1:") {
		t.Fatalf("HTTP is at %s", c.HTTP)
	}
	t.Run("HTTP/2", func(t *testing.T) { checkHTTP(t, c.HTTP, ca.Client(t, ""), "HTTP/2.0") })
	t.Run("HTTP/1.1", func(t *testing.T) {
		old := ca.Client(t, "")
		old.NextProtos = []string{"http/1.1"}
		checkHTTP(t, c.HTTP, old, "HTTP/1.1")
	})
	t.Run("a foreign certificate", func(t *testing.T) {
		foreign, pair := ca.Client(t, ""), certtest.New(t, "foreign").Client(t, "who").Certificates[0]
		foreign.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		_, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: foreign}}).Get(c.HTTP + "/health")
		if err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("WebSocket", func(t *testing.T) {
		ws, _, err := websocket.Dial(t.Context(), "wss"+strings.TrimPrefix(c.HTTP, "https")+"/ws",
			&websocket.DialOptions{HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: ca.Client(t, "")}}})
		if err != nil {
			t.Fatal(err)
		}
		defer ws.CloseNow() //nolint:errcheck // it may be closed
		if err := ws.Write(t.Context(), websocket.MessageText, []byte(`{"action":"ping"}`)); err != nil {
			t.Fatal(err)
		}
		if _, answer, err := ws.Read(t.Context()); err != nil || !strings.Contains(string(answer), "pong") {
			t.Errorf("got %s, %v", answer, err)
		}
	})
	t.Run("gRPC", func(t *testing.T) { callGRPC(t, c.GRPC, ca) })
}

// checkHTTP asks for health, and calls by Connect.
func checkHTTP(t *testing.T, at string, trust *tls.Config, version string) {
	t.Helper()
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: version == "HTTP/2.0"}}
	defer web.CloseIdleConnections()
	answer, err := web.Get(at + "/health")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK || answer.Proto != version {
		t.Errorf("health: got %s, %s", answer.Status, answer.Proto)
	}
	answer, err = web.Post(at+"/taskgrove.v1.Taskgrove/ListTrees", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("Connect: got %s, %s", answer.Status, body)
	}
}

// callGRPC calls with a certificate, and without what is needed.
func callGRPC(t *testing.T, at string, ca *certtest.Authority) {
	t.Helper()
	cert, key := ca.Pair(t, "who")
	files := client.TLSFiles{CA: ca.File, Cert: cert, Key: key}
	trees(t, at, "", client.WithTLSFiles(files))
	trees(t, at, "certificate required", client.WithTLSFiles(client.TLSFiles{CA: ca.File}))
	trees(t, at, "certificate signed by unknown authority", client.WithTLSFiles(client.TLSFiles{Cert: cert, Key: key}))
	trees(t, at, "certificate is valid for coordinator, not elsewhere", client.WithTLSFiles(client.TLSFiles{CA: ca.File, Cert: cert, Key: key, ServerName: "elsewhere"}))
	trees(t, at, "the connection broke before the server had spoken")
}

// trees lists trees: a call. fault is part of its error; empty: it succeeds.
func trees(t *testing.T, at, fault string, options ...client.Option) {
	t.Helper()
	c, err := client.New(at, append(options, client.WithCallTimeout(10*time.Second))...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // nothing is left to be sent
	_, err = c.Coordinators(t.Context())
	for tries := 0; tries < 20 && fault == "certificate required" && err != nil && strings.Contains(err.Error(), "the connection broke"); tries++ {
		_, err = c.Coordinators(t.Context()) // with TLS 1.3 the server's alert may come after the end of the connection
	}
	if fault == "" && err != nil || fault != "" && (err == nil || !strings.Contains(err.Error(), fault)) {
		t.Errorf("got %v, want %q", err, fault)
	}
}

// TestOneListenerMayBePlain: behind a proxy that speaks TLS itself.
func TestOneListenerMayBePlain(t *testing.T) {
	t.Parallel()
	ca := certtest.New(t, "house")
	c := secured(t, ca, func(cfg *config.Coordinator) { cfg.HTTPTLS = false })
	answer, err := http.Get(c.HTTP + "/health")
	if err != nil || !strings.HasPrefix(c.HTTP, "http://") {
		t.Fatalf("%s: %v", c.HTTP, err)
	}
	_ = answer.Body.Close()
	callGRPC(t, c.GRPC, ca)
}

// TestAWrongCertificateFileKeepsCoordinatorsFromStarting, and the reason names setting and file.
func TestAWrongCertificateFileKeepsCoordinatorsFromStarting(t *testing.T) {
	t.Parallel()
	ca := certtest.New(t, "house")
	cert, key := ca.Pair(t, "one")
	_, otherKey := ca.Pair(t, "two")
	for want, change := range map[string]func(*config.Coordinator){
		"TASKGROVE_LISTEN_TLS_KEY_FILE: " + otherKey:                          func(c *config.Coordinator) { c.CertFile, c.KeyFile = cert, otherKey },
		"TASKGROVE_LISTEN_TLS_CERT_FILE: stat /nowhere":                       func(c *config.Coordinator) { c.CertFile, c.KeyFile = "/nowhere", key },
		"TASKGROVE_LISTEN_TLS_CLIENT_CA_FILE: " + key + " has no certificate": func(c *config.Coordinator) { c.CertFile, c.KeyFile, c.ClientCAFile = cert, key, key },
		"TASKGROVE_POSTGRES_TLS_CA_FILE: stat /nowhere":                       func(c *config.Coordinator) { c.PostgresCA = "/nowhere" },
		"TASKGROVE_POSTGRES_TLS_KEY_FILE: " + otherKey:                        func(c *config.Coordinator) { c.PostgresCert, c.PostgresKey = cert, otherKey },
		"TASKGROVE_POSTGRES_PASSWORD_FILE: stat /nowhere":                     func(c *config.Coordinator) { c.PasswordFile = "/nowhere" },
		"TASKGROVE_POSTGRES_PASSWORD_COMMAND: false: exit status 1":           func(c *config.Coordinator) { c.PasswordCommand = config.Command{"false"} },
		"TASKGROVE_NATS_CREDS_FILE: " + cert + " holds no JWT of a user":      func(c *config.Coordinator) { c.CredsFile = cert },
		"TASKGROVE_NATS_NKEY_FILE: " + cert + " holds no seed of a user":      func(c *config.Coordinator) { c.NKeyFile = cert },
		"TASKGROVE_NATS_TLS_KEY_FILE: " + otherKey:                            func(c *config.Coordinator) { c.NATSCert, c.NATSKey = cert, otherKey },
	} {
		cfg := settingsOfCoordinator(t)
		change(cfg)
		p := NewProcess(slog.New(slog.DiscardHandler))
		_, err := p.StartCoordinator(t.Context(), cfg, Options{Resting: true})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// TestPlainTokensAreWarnedOf: where callers send tokens over a network without TLS.
func TestPlainTokensAreWarnedOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		addr            string
		asked, insecure bool
		tls             *tls.Config
		warned          bool
	}{
		{"0.0.0.0:0", true, false, nil, true},
		{"0.0.0.0:0", true, true, nil, false},
		{"0.0.0.0:0", false, false, nil, false},
		{"127.0.0.1:0", true, false, nil, false},
		{"0.0.0.0:0", true, false, &tls.Config{}, false}, //nolint:gosec // nobody uses it
	} {
		var log bytes.Buffer
		parts := &coordinatorParts{tls: tlsParts{insecure: tt.insecure}}
		parts.http.Addr = tt.addr
		NewProcess(slog.New(slog.NewTextHandler(&log, nil))).warnOfPlain(tt.asked, listeners{http: tt.tls}, parts)
		if got := strings.Contains(log.String(), "setting=TASKGROVE_HTTP_ADDR"); got != tt.warned {
			t.Errorf("%+v: warned %v: %s", tt, got, log.String())
		}
	}
}

// TestMetricsTellOfTheCertificate: when it ends, and that a new one can't be read. It sets the global provider of metrics.
func TestMetricsTellOfTheCertificate(t *testing.T) {
	ca := certtest.New(t, "house")
	p := NewProcess(slog.New(slog.DiscardHandler))
	if err := p.startTelemetry(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}()
	cert, key := ca.Pair(t, "coordinator")
	l, err := p.listeners(tlsParts{cert: cert, key: key, clientAuth: "none", minVersion: "1.3"})
	if err != nil || l.http == nil || l.grpc == nil || l.http.MinVersion != tls.VersionTLS13 {
		t.Fatalf("got %+v, %v", l, err)
	}
	web, err := p.serveHTTP(t.Context(), http.NotFoundHandler(), partsOfWorker(config.Defaults[*config.Worker](), p.log).http)
	if err != nil {
		t.Fatal(err)
	}
	if text := fetch(t, web+"/metrics"); !strings.Contains(text, "taskgrove_tls_certificate_end_seconds{") || !strings.Contains(text, "taskgrove_tls_reload_failures_total{") {
		t.Errorf("got %.2000s", text)
	}
	if err := os.WriteFile(cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for failed := false; !failed; time.Sleep(50 * time.Millisecond) {
		for line := range strings.SplitSeq(fetch(t, web+"/metrics"), "\n") {
			failed = failed || strings.HasPrefix(line, "taskgrove_tls_reload_failures_total{") && strings.HasSuffix(line, " 1")
		}
		if ctx.Err() != nil {
			t.Fatal("the failure is not counted")
		}
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
