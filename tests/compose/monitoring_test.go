package compose

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/internal/porttest"
)

// prometheusOfDebian stands in for the image of its makers, with the same flags.
const prometheusOfDebian = `FROM debian:bookworm-slim
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends prometheus && mkdir /prometheus && chown 65534:65534 /prometheus
USER 65534
ENTRYPOINT ["/usr/bin/prometheus"]
`

// TestMonitoringProfile: Prometheus finds every process, and knows the rules.
func TestMonitoringProfile(t *testing.T) {
	images(t)
	const image = "taskgrove-compose-test-prometheus:test"
	build := exec.CommandContext(t.Context(), "docker", "build", "-q", "-t", image, "-")
	build.Stdin = strings.NewReader(prometheusOfDebian)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	p := newProject(t)
	address := porttest.Address(t)
	p.env = append(p.env, "PROMETHEUS_IMAGE="+image, "PROMETHEUS_PORT="+port(address), "COMPOSE_PROFILES=monitoring")
	p.follow(block{command: "deploy/compose/secrets.sh; docker compose up --detach --wait proxy commands http prometheus"})
	var targets struct {
		Data struct {
			ActiveTargets []struct{ ScrapeURL, Health string }
		}
	}
	for deadline := time.Now().Add(upWithin); ; time.Sleep(time.Second) {
		up := 0
		get(t, "http://"+address+"/api/v1/targets", &targets)
		for _, target := range targets.Data.ActiveTargets {
			if target.Health == "up" {
				up++
			}
		}
		if up == 4 { // two coordinators, two workers
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("want 4 targets that are up, got %+v", targets.Data)
		}
	}
	var rules struct {
		Data struct {
			Groups []struct{ Rules []struct{ Name string } }
		}
	}
	get(t, "http://"+address+"/api/v1/rules", &rules)
	if len(rules.Data.Groups) == 0 || len(rules.Data.Groups[0].Rules) == 0 {
		t.Errorf("it knows no rules: %+v", rules)
	}
}

func get(t *testing.T, url string, into any) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
}
