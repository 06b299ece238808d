package queue_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/taskgrove/taskgrove/internal/doctor"
	"github.com/taskgrove/taskgrove/queue"
)

// worse are the findings that are neither in order nor merely worth knowing, by check.
func worse(n *doctor.NATS) map[string]doctor.Finding {
	out := map[string]doctor.Finding{}
	for _, f := range doctor.JudgeNATS(n, time.Now()) {
		if f.Severity != doctor.OK && f.Severity != doctor.Note {
			out[f.Check] = f
		}
	}
	return out
}

// TestDiagnosisOfANATSInOrder: with accounts as we make them, and streams as coordinators do, nothing is wrong.
func TestDiagnosisOfANATSInOrder(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	n := c.Examine(h.context())
	if bad := worse(n); len(bad) > 0 {
		t.Errorf("found %+v\nfacts %+v", bad, n)
	}
	if len(n.Streams) != 3 || len(n.Servers) == 0 || n.Servers[0].Version == "" || n.MaxPayload == 0 {
		t.Errorf("facts %+v", n)
	}
}

// TestDiagnosisFindsWhatWasChangedByHand: settings of a stream, a consumer, a whole stream.
func TestDiagnosisFindsWhatWasChangedByHand(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.coordinator("rest")
	vandal, ctx := h.vandal(), h.context()
	logs, err := vandal.Stream(ctx, "TG_LOGS")
	must(t, err)
	cfg := logs.CachedInfo().Config
	cfg.MaxAge, cfg.MaxMsgSize = time.Minute, 1000
	_, err = vandal.UpdateStream(ctx, cfg)
	must(t, err)
	if f := worse(c.Examine(ctx))[doctor.NATSStreams]; f.Severity != doctor.Warning || f.Subject != "TG_LOGS" || !strings.Contains(f.Found, "max_") {
		t.Errorf("of a changed stream: %+v", f)
	}
	must(t, c.EnsureStreams(ctx)) // as a coordinator that restarts
	f := worse(c.Examine(ctx))
	if strings.Contains(f[doctor.NATSStreams].Found, "max_age") {
		t.Errorf("of a stream that was set right: %+v", f)
	}
	n := queue.Examine(ctx, queue.Config{URL: h.server.CoordinatorURL(), Prefix: "other"})
	if f := worse(n)[doctor.NATSPermissions]; f.Severity != doctor.Problem {
		t.Errorf("with the prefix of another cluster: %+v", worse(n))
	}
}

// open is a server without accounts, or with the ones given.
func open(t *testing.T, settings string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "nats.conf")
	must(t, os.WriteFile(file, []byte("host: 127.0.0.1\nport: -1\n"+strings.ReplaceAll(settings, "STORE", dir)), 0o600))
	options, err := server.ProcessConfigFile(file)
	must(t, err)
	options.NoLog, options.NoSigs = true, true
	s, err := server.NewServer(options)
	must(t, err)
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("server is not ready")
	}
	return s.Addr().String()
}

// TestDiagnosisOfNATSThatIsSetUpWrongly: each fault of a server's configuration is a finding of its own.
func TestDiagnosisOfNATSThatIsSetUpWrongly(t *testing.T) {
	t.Parallel()
	ours := queue.ServerConfig("", []queue.ServerUser{{Name: "c", Password: "sesame"}})
	for name, row := range map[string]struct {
		settings, login, check, says string
		severity                     doctor.Severity
	}{
		"no accounts":       {"jetstream { store_dir: \"STORE\" }", "", doctor.NATSOpen, "subscribe to tg.inbox.*.>", doctor.Warning},
		"no JetStream":      {"", "", doctor.NATSJetStream, "JetStream", doctor.Problem},
		"no streams yet":    {"jetstream { store_dir: \"STORE\" }", "", doctor.NATSStreams, "is not there", doctor.Problem},
		"small messages":    {"max_payload: 65536\njetstream { store_dir: \"STORE\" }", "", doctor.NATSPayload, "64.0 KiB", doctor.Warning},
		"a wrong password":  {"jetstream { store_dir: \"STORE\" }\n" + ours, "c:open-sesame@", doctor.NATSReach, `user "c" or its password is refused`, doctor.Problem},
		"a permission less": {"jetstream { store_dir: \"STORE\" }\n" + strings.ReplaceAll(ours, `"tg.beat.*"`, `"tg.else"`), "c:sesame@", doctor.NATSPermissions, "subscribe to tg.beat.*", doctor.Problem},
		"not for groups":    {"jetstream { store_dir: \"STORE\" }\n" + strings.ReplaceAll(ours, `"tg.beat.*.*"`, `"tg.else"`), "c:sesame@", doctor.NATSPermissions, "subscribe to tg.beat.*.*", doctor.Problem},
		"no stream may be looked at": {"jetstream { store_dir: \"STORE\" }\n" + strings.ReplaceAll(ours, `"$JS.API.STREAM.*.TG_WORK"`, `"tg.else"`), "c:sesame@",
			doctor.NATSStreams, "may not publish to $JS.API.STREAM.INFO.TG_WORK", doctor.Problem},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := open(t, row.settings)
			n := queue.Examine((&house{t: t}).context(), queue.Config{URL: "nats://" + row.login + at})
			f := worse(n)[row.check]
			if f.Severity != row.severity || !strings.Contains(f.Found, row.says) || len(f.Mend) == 0 {
				t.Errorf("got %+v, want %s that says %q; all: %+v", f, row.severity, row.says, worse(n))
			}
			for _, f := range doctor.JudgeNATS(n, time.Now()) {
				if strings.Contains(fmt.Sprint(f), "sesame") {
					t.Errorf("the password is shown: %+v", f)
				}
			}
		})
	}
}

// TestDiagnosisIsBoundedInTime: a server that takes connections and says nothing, and one that is not there.
func TestDiagnosisIsBoundedInTime(t *testing.T) {
	t.Parallel()
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer mute.Close()
	for _, url := range []string{"nats://c:sesame@" + mute.Addr().String(), "nats://c:sesame@127.0.0.1:1"} {
		begin := time.Now()
		n := queue.Examine((&house{t: t}).context(), queue.Config{URL: url})
		f := worse(n)[doctor.NATSReach]
		if f.Severity != doctor.Problem || strings.Contains(fmt.Sprint(worse(n)), "sesame") {
			t.Errorf("got %+v", worse(n))
		}
		if took := time.Since(begin); took > 8*time.Second {
			t.Errorf("it took %s", took)
		}
	}
}

// TestDiagnosisFindsMissingConsumers: of a pool that the connection looks after.
func TestDiagnosisFindsMissingConsumers(t *testing.T) {
	t.Parallel()
	at := open(t, "jetstream { store_dir: \"STORE\" }")
	h := &house{t: t}
	c := h.connect(queue.Config{URL: "nats://" + at})
	must(t, c.EnsureStreams(h.context()))
	must(t, c.EnsurePools(h.context(), "rest"))
	if n := c.Examine(h.context()); len(n.Missing) > 0 {
		t.Errorf("missing: %v", n.Missing)
	}
	c.ForgetPools("rest") // so that it does not make the consumer again at once
	js := h.raw("nats://" + at)
	must(t, js.DeleteConsumer(h.context(), "TG_RESULTS", "coordinators"))
	eventually(t, "a missing consumer, or its repair", func() bool {
		n := queue.Examine(h.context(), queue.Config{URL: "nats://" + at})
		if len(n.Missing) > 0 {
			return worse(n)[doctor.NATSConsumers].Severity == doctor.Problem
		}
		_, err := js.Consumer(h.context(), "TG_RESULTS", "coordinators")
		return err == nil // it was quicker than we
	})
}
