package chart

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cluster is a namespace of a real cluster for one test. Pods in it must pass the restricted Pod Security Standard.
type cluster struct {
	t                                *testing.T
	helm, kubectl, config, name, tag string
}

// onCluster skips the test unless TASKGROVE_CHART_TAG says which tag of the image taskgrove the nodes have.
func onCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, helm: tool(t, "helm"), kubectl: tool(t, "kubectl"), config: os.Getenv("KUBECONFIG"), tag: os.Getenv("TASKGROVE_CHART_TAG")}
	if c.tag == "" {
		t.Skip("TASKGROVE_CHART_TAG names no image of taskgrove that a cluster's nodes have")
	}
	if c.config == "" {
		c.config = filepath.Join(filepath.Dir(filepath.Dir(c.kubectl)), "kubeconfig")
	}
	c.name = "chart-" + strings.ToLower(t.Name()[4:min(len(t.Name()), 24)])
	c.must(c.kubectl, "create", "namespace", c.name)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, args := range [][]string{{c.helm, "uninstall", "tg"}, {c.kubectl, "delete", "namespace", c.name, "--wait=false"}} {
			_, _ = c.try(ctx, nil, args...)
		}
	})
	c.must(c.kubectl, "label", "namespace", c.name, "pod-security.kubernetes.io/enforce=restricted")
	return c
}

func (c *cluster) try(ctx context.Context, in []byte, args ...string) (string, error) {
	return runIn(ctx, in, args[0], append([]string{"--kubeconfig", c.config, "--namespace", c.name}, args[1:]...)...)
}

func (c *cluster) must(args ...string) string {
	c.t.Helper()
	out, err := c.try(c.t.Context(), nil, args...)
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// until asks again and again until the answer holds the text.
func (c *cluster) until(text string, args ...string) {
	c.t.Helper()
	var last string
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if last, _ = c.try(c.t.Context(), nil, args...); strings.Contains(last, text) {
			return
		}
	}
	c.t.Fatalf("%s: got %s, want %s", strings.Join(args, " "), last, text)
}

// The command of the install guide ends with a finished tree, in less than three minutes; so does an upgrade with another group of workers.
func TestAClusterInstallsTheTrial(t *testing.T) {
	c := onCluster(t)
	begin := time.Now()
	trial := []string{directory, "--set", trialValues + ",image.tag=" + c.tag, "--wait", "--timeout", "170s"}
	c.must(append([]string{c.helm, "install", "tg"}, trial...)...)
	c.must(c.helm, "test", "tg")
	took := time.Since(begin)
	t.Logf("from helm install to a finished tree: %s", took.Round(time.Second))
	if took > 3*time.Minute {
		t.Errorf("it took %s", took)
	}
	c.must(append(append([]string{c.helm, "upgrade", "tg"}, trial...), "--set", "workers.default.enabled=false,workers.other.pools.noop_executor=4")...)
	c.must(c.helm, "test", "tg")
	if secrets := c.must(c.kubectl, "get", "secrets"); strings.Contains(secrets, "nats-group-default") || !strings.Contains(secrets, "nats-group-other") {
		t.Errorf("Secrets of groups after the upgrade:\n%s", secrets)
	}
}

// A Secret that is missing shows in events, Postgres and NATS that are missing show in the pods' logs as in /ready; all goes on by itself once they come.
func TestAClusterHealsByItself(t *testing.T) {
	c := onCluster(t)
	ended := make(chan string, 1)
	go func() {
		out, err := c.try(t.Context(), nil, c.helm, "install", "tg", directory, "--timeout", "8m", "--set", "image.tag="+c.tag+",auth.anonymous=true,postgres.host=pg,"+
			"postgres.existingSecret=db,nats.servers={nats:4222},nats.auth=user,nats.existingSecret=login,workers.default.natsSecret=login")
		if err != nil {
			out = err.Error() + "\n" + out
		} else {
			out = ""
		}
		ended <- out
	}()
	c.until(`secret "db" not found`, c.kubectl, "get", "events")
	c.must(c.kubectl, "create", "secret", "generic", "db", "--from-literal=password=secret1")
	migration := []string{c.kubectl, "logs", "--selector", "app.kubernetes.io/component=migration"}
	c.until("Postgres", migration...)
	if out, err := c.try(t.Context(), []byte(servers), c.kubectl, "apply", "--filename", "-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out := <-ended; out != "" {
		t.Fatalf("helm install: %s", out)
	}
	c.until(`secret "login" not found`, c.kubectl, "get", "events")
	c.must(c.kubectl, "create", "secret", "generic", "login", "--from-literal=user=taskgrove", "--from-literal=password=secret2")
	for _, component := range []string{"coordinator", "worker"} {
		c.until("waits for NATS", c.kubectl, "logs", "--selector", "app.kubernetes.io/component="+component)
	}
	c.must(c.kubectl, "scale", "deployment/nats", "--replicas=1")
	for _, deployment := range []string{"tg-taskgrove", "tg-taskgrove-default"} {
		c.must(c.kubectl, "rollout", "status", "deployment/"+deployment, "--timeout=2m")
	}
	c.must(c.helm, "test", "tg")
	if restarts := c.must(c.kubectl, "get", "pods", "--selector", "app.kubernetes.io/name=taskgrove", "--output", "jsonpath={.items[*].status.containerStatuses[*].restartCount}"); strings.Trim(restarts, "0 ") != "" {
		t.Errorf("pods restarted: %s", restarts)
	}
}

// servers are a Postgres and a NATS that belong to no release; NATS is off at first.
const servers = `
apiVersion: v1
kind: Service
metadata: {name: pg}
spec: {selector: {app: pg}, ports: [{port: 5432}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: pg}
spec:
  selector: {matchLabels: {app: pg}}
  template:
    metadata: {labels: {app: pg}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 70, fsGroup: 70, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: pg
          image: postgres:17-alpine
          env: [{name: POSTGRES_USER, value: taskgrove}, {name: POSTGRES_PASSWORD, value: secret1}, {name: PGDATA, value: /tmp/pg}]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {name: nats}
spec: {selector: {app: nats}, ports: [{port: 4222}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: nats}
spec:
  replicas: 0
  selector: {matchLabels: {app: nats}}
  template:
    metadata: {labels: {app: nats}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: nats
          image: nats:2-alpine
          args: [nats-server, -js, -sd, /tmp/js, --user, taskgrove, --pass, secret2]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
`
