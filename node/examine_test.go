package node

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/taskgrove/taskgrove/api/identity"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/doctor"
)

// TestDiagnosisLogsInByPasswordFile: as a coordinator with the same settings does.
func TestDiagnosisLogsInByPasswordFile(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: "c", Password: "sesame", NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Shutdown()
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("server is not ready")
	}
	file := filepath.Join(t.TempDir(), "password")
	for password, severity := range map[string]doctor.Severity{"sesame": doctor.OK, "other": doctor.Problem} {
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := &config.Direct{NATSLogin: config.NATSLogin{NATSPassword: file}}
		if err := cfg.NATSURL.Decode("nats://c@" + s.Addr().String()); err != nil {
			t.Fatal(err)
		}
		found, err := Examine(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(found, func(f doctor.Finding) bool { return f.Check == doctor.NATSReach }); i < 0 || found[i].Severity != severity {
			t.Errorf("%s: got %+v", password, found)
		}
	}
}

// TestDiagnosisOfIssuers: keys that can't be had are a problem, and those that can't be fetched again a warning.
func TestDiagnosisOfIssuers(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	away.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	}))
	defer server.Close()
	verifier, err := identity.New(identity.Config{Algorithms: []string{"EdDSA"}, Issuer: server.URL, Audience: "taskgrove", JWKS: &identity.JWKS{URL: server.URL, Refresh: 20 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	callers := identity.NewCallers(nil, []*identity.Verifier{verifier}, nil)
	go callers.Run(t.Context(), slog.New(slog.DiscardHandler))
	wait := func(severity doctor.Severity, says string) {
		t.Helper()
		var got []doctor.Finding
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			got = issuers(callers).Run(t.Context())
			if len(got) == 1 && got[0].Severity == severity && strings.Contains(got[0].Found, says) {
				return
			}
		}
		t.Fatalf("want %s that says %q, got %+v", severity, says, got)
	}
	wait(doctor.Problem, "tokens are refused")
	away.Store(false)
	wait(doctor.OK, "known")
	away.Store(true)
	wait(doctor.Warning, "count until")
}
