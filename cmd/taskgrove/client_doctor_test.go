package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/doctor"
)

// found is what doctor -o json prints.
type found struct {
	Coordinator string
	Findings    []struct {
		Check, Severity, Found, Link string
		Mend                         []string
	}
}

func diagnose(t *testing.T, args ...string) (f found, code int) {
	t.Helper()
	out, notes, code := runCommand(t, append([]string{"doctor", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &f); err != nil {
		t.Fatalf("%v: %s%s", err, out, notes)
	}
	return f, code
}

func (f found) of(check string) string {
	for _, one := range f.Findings {
		if one.Check == check {
			return one.Severity + ": " + one.Found
		}
	}
	return ""
}

// TestDoctorShowsProblemsAndHowToMendThem: findings of the coordinator beside those of the client; exit code 1.
func TestDoctorShowsProblemsAndHowToMendThem(t *testing.T) {
	double(t)
	out, _, code := runCommand(t, "doctor")
	for _, want := range []string{"coordinator c1 (version 1.2.3) looked.", "PROBLEM  pools-served gpu", "pool gpu has 3 ready tasks and no worker", "-> TASKGROVE_POOLS=gpu taskgrove worker", "docs/doctor.md#pools-served", "in order; --all shows them."} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if code != exitProblems || strings.Contains(out, "pg-reach") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if out, _, _ = runCommand(t, "doctor", "--all"); !strings.Contains(out, "OK       pg-reach") {
		t.Errorf("--all:\n%s", out)
	}
	f, code := diagnose(t)
	if code != exitProblems || f.Coordinator != "c1" || !strings.HasPrefix(f.of(doctor.ClientGRPC), "ok") || !strings.HasPrefix(f.of(doctor.ClientClock), "ok") || !strings.HasPrefix(f.of(doctor.ClientVersion), "warning") {
		t.Errorf("exit code %d, %+v", code, f)
	}
}

// TestDoctorWithoutACoordinator: that is a problem, and the servers are looked at by the settings of a coordinator, if there are some.
func TestDoctorWithoutACoordinator(t *testing.T) {
	double(t)
	t.Setenv("TASKGROVE_SERVER", "127.0.0.1:1")
	f, code := diagnose(t, "--request-timeout", "2s")
	if code != exitProblems || !strings.HasPrefix(f.of(doctor.ClientGRPC), "problem") || len(f.Findings) != 1 {
		t.Errorf("exit code %d, %+v", code, f)
	}
	t.Setenv("TASKGROVE_POSTGRES_URL", "postgres://me:sesame@127.0.0.1:1/none")
	t.Setenv("TASKGROVE_NATS_URL", "nats://me:sesame@127.0.0.1:1")
	f, code = diagnose(t, "--request-timeout", "2s")
	if code != exitProblems || !strings.HasPrefix(f.of(doctor.PostgresReach), "problem") || !strings.HasPrefix(f.of(doctor.NATSReach), "problem") || strings.Contains(fmt.Sprint(f), "sesame") {
		t.Errorf("exit code %d, %+v", code, f)
	}
	f, _ = diagnose(t, "--direct")
	if f.of(doctor.ClientGRPC) != "" || !strings.HasPrefix(f.of(doctor.NATSReach), "problem") {
		t.Errorf("--direct: %+v", f)
	}
	t.Setenv("TASKGROVE_POSTGRES_URL", "")
	t.Setenv("TASKGROVE_NATS_URL", "")
	if _, notes, code := runCommand(t, "doctor", "--direct"); code != exitUsage || !strings.Contains(notes, "TASKGROVE_POSTGRES_URL") {
		t.Errorf("--direct without settings: %d, %s", code, notes)
	}
}

// TestDoctorOfOneWhoMayNotAsk: what is seen from here is shown all the same.
func TestDoctorOfOneWhoMayNotAsk(t *testing.T) {
	svc := double(t)
	svc.FailNext("Diagnose", coordinator.ErrDenied)
	f, code := diagnose(t)
	if code != exitOK || !strings.HasPrefix(f.of(doctor.ClientRights), "warning") || !strings.HasPrefix(f.of(doctor.ClientGRPC), "ok") {
		t.Errorf("exit code %d, %+v", code, f)
	}
}

// TestExpiryOfTokens: that of a JSON Web Token is read; of others nothing is known.
func TestExpiryOfTokens(t *testing.T) {
	ends := time.Now().Add(time.Minute).Truncate(time.Second)
	jwt := "x." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, ends.Unix())) + ".y"
	for token, want := range map[string]time.Time{jwt: ends, "tg_key": {}, "a.b.c": {}, "": {}} {
		if got := expiry(token); !got.Equal(want) {
			t.Errorf("%q: got %s, want %s", token, got, want)
		}
	}
}
