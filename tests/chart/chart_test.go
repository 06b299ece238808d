package chart

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

var directory = filepath.Join(root, "charts", "taskgrove")

// trialValues are what the first command of the guide sets.
const trialValues = "postgres.builtin.enabled=true,nats.builtin.enabled=true,auth.anonymous=true"

// installs are the values that templates are judged by.
var installs = []string{"trial", "production"}

// tool finds a program of the cluster scripts, in the PATH or where they build it, and skips the test without it: helm is not built for a test.
func tool(t *testing.T, name string) string {
	t.Helper()
	home := os.Getenv("CLUSTER_HOME")
	if home == "" {
		home = "/tmp/cluster"
	}
	for _, path := range []string{name, filepath.Join(home, "bin", name)} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Skipf("there is no %s on this machine", name)
	return ""
}

// run runs a program and returns all that it says.
func run(t *testing.T, in []byte, program string, args ...string) (string, error) {
	t.Helper()
	return runIn(t.Context(), in, program, args...)
}

func runIn(ctx context.Context, in []byte, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func valuesOf(install string) string {
	return filepath.Join(directory, "tests", "values", install+".yaml")
}

// render is what the chart makes of an install.
func render(t *testing.T, install string, args ...string) []byte {
	t.Helper()
	args = append([]string{"template", "tg", directory, "--values", valuesOf(install)}, args...)
	out, err := exec.CommandContext(t.Context(), tool(t, "helm"), args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", install, err)
	}
	return out
}

// The schema and the reference are those of values.yaml.
func TestPagesOfValuesAreUpToDate(t *testing.T) {
	values, err := Read(filepath.Join(root, ValuesFile))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := values.Schema()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{SchemaFile: schema, PageFile: values.Markdown()} {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what values.yaml says (%v): go generate ./tests/chart", name, err)
		}
	}
}

// Every value that the reference shows has words of its own, or needs none.
func TestEveryValueIsDescribed(t *testing.T) {
	values, err := Read(filepath.Join(root, ValuesFile))
	if err != nil {
		t.Fatal(err)
	}
	plain := []string{"enabled", "image", "replicas", "resources", "storage", "size", "annotations", "create", "rules"}
	for _, top := range values.root.below {
		for _, v := range append(leaves(top), top) {
			if v.text == "" && len(v.below) == 0 && !slices.Contains(plain, v.key) && !known(v.key) {
				t.Errorf("%s has no comment", v.path)
			}
		}
	}
}

// known are the keys that are Kubernetes' own words, or say what they are.
func known(key string) bool {
	return slices.Contains([]string{"port", "database", "user", "nodeSelector", "tolerations", "affinity", "priorityClassName", "runtimeClassName", "podAnnotations",
		"podLabels", "volumes", "volumeMounts", "type", "httpPort", "grpcPort", "maxUnavailable", "maxSurge", "className", "path", "hosts", "hostnames", "labels",
		"interval", "repository", "tag"}, key)
}

func TestLint(t *testing.T) {
	t.Parallel()
	helm := tool(t, "helm")
	for _, install := range installs {
		if out, err := run(t, nil, helm, "lint", "--strict", directory, "--values", valuesOf(install)); err != nil {
			t.Errorf("%s: %v\n%s", install, err, out)
		}
	}
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	if out, err := run(t, nil, tool(t, "helm-unittest"), directory); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// All objects fit the schemas of Kubernetes. Those of definitions that others bring are judged by the server, where there is one.
func TestObjectsFitKubernetes(t *testing.T) {
	t.Parallel()
	conform := tool(t, "kubeconform-offline")
	for _, install := range installs {
		out, err := run(t, render(t, install), conform, "-ignore-missing-schemas", "-")
		if err != nil || !strings.Contains(out, "Invalid: 0, Errors: 0") {
			t.Errorf("%s: %v\n%s", install, err, out)
		}
	}
}

// A cluster accepts all objects, without storing them: also those of cert-manager, KEDA, the Gateway API and the Prometheus operator.
func TestAServerAcceptsAllObjects(t *testing.T) {
	t.Parallel()
	kubectl := tool(t, "kubectl")
	config := os.Getenv("KUBECONFIG")
	if config == "" {
		config = filepath.Join(filepath.Dir(filepath.Dir(kubectl)), "kubeconfig")
	}
	if out, err := run(t, nil, kubectl, "--kubeconfig", config, "get", "crd", "scaledobjects.keda.sh", "certificates.cert-manager.io", "grpcroutes.gateway.networking.k8s.io",
		"podmonitors.monitoring.coreos.com", "--request-timeout=5s"); err != nil {
		t.Skipf("no cluster with the definitions is up: %s", out)
	}
	for _, row := range []struct {
		install string
		args    []string
	}{{"trial", nil}, {"production", nil}, {"production", []string{"--set", "monitoring.kind=serviceMonitor,tls.certManager.issuerRef=null"}}} {
		if out, err := run(t, render(t, row.install, row.args...), kubectl, "--kubeconfig", config, "apply", "--dry-run=server", "--filename", "-"); err != nil {
			t.Errorf("%s: %v\n%s", row.install, err, out)
		}
	}
}

// The guide's values of a production install, and those of its first command, are right.
func TestTheGuidesValuesAreRight(t *testing.T) {
	t.Parallel()
	helm := tool(t, "helm")
	page, err := os.ReadFile(filepath.Join(root, "docs", "kubernetes.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```yaml\n# production.yaml\n")
	production, _, _ := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the guide has no production.yaml")
	}
	if out, err := run(t, []byte(production), helm, "template", "tg", directory, "--values", "-"); err != nil {
		t.Errorf("production.yaml: %v\n%s", err, out)
	}
	if !strings.Contains(string(page), "--set "+trialValues+"\n") {
		t.Errorf("the guide's first command does not set %s", trialValues)
	}
}

// A wrong value is refused before anything is installed, with its key.
func TestWrongValuesAreNamed(t *testing.T) {
	t.Parallel()
	helm := tool(t, "helm")
	for _, row := range []struct{ set, want string }{
		{"coordinator.replica=3", "'/coordinator': additional properties 'replica' not allowed"},
		{"coordinator.replicas=three", "'/coordinator/replicas': got string, want integer"},
		{"coordinater.replicas=3", "additional properties 'coordinater' not allowed"},
		{"coordinator.settings.RETENTIONN=1h", "'/coordinator/settings': additional properties 'RETENTIONN' not allowed"},
		{"coordinator.settings.RETENTION=1week", "'/coordinator/settings/RETENTION': '1week' does not match"},
		{"coordinator.settings.WINDOW=0", "'/coordinator/settings/WINDOW': minimum"},
		{"coordinator.settings.JWT_SECRET=x", "'/coordinator/settings': additional properties 'JWT_SECRET' not allowed"},
		{"settings.LOG_LEVEL=trace", "'/settings/LOG_LEVEL': value must be one of 'debug'"},
		{"workers.http.settings.RETENTION=1h", "'/workers/http/settings': additional properties 'RETENTION' not allowed"},
		{"workers.http.pool.gpu=3", "'/workers/http': additional properties 'pool' not allowed"},
		{"workers.http.pools.gpu=many", "'/workers/http/pools/gpu': got string, want integer"},
		{"workers.HTTP.replicas=1", "'/workers': additional properties 'HTTP' not allowed"},
		{"workers.http.autoscaling.kind=kedaa", "'/workers/http/autoscaling/kind': value must be one of"},
		{"workers.http.resources.limit.cpu=1", "'/workers/http/resources': additional properties 'limit' not allowed"},
		{"nats.auth=token", "'/nats/auth': value must be one of 'accounts'"},
		{"nats.servers[0]=nats://a:secret@c:4222", "'/nats/servers/0'"},
		{"nats.builtin.replicas=2", "'/nats/builtin/replicas': value must be one of 1, 3"},
		{"image.digest=sha256:1", "'/image/digest'"},
		{"tls.certManager.issuerRef.kind=Isuer", "'/tls/certManager/issuerRef/kind'"},
		{"coordinator.settings.HTTP_TLS=false", "'/coordinator/settings': additional properties 'HTTP_TLS' not allowed"},
		{"settings.HTTP_CLIENT_AUTH=required", "'/settings': additional properties 'HTTP_CLIENT_AUTH' not allowed"},
		{"coordinator.settings.GRPC_TLS=false", "additional properties 'GRPC_TLS' not allowed"},
		{"settings.LISTEN_TLS_CLIENT_AUTH=required", "additional properties 'LISTEN_TLS_CLIENT_AUTH' not allowed"},
		{"coordinator.settings.POD_DELETION_COST=true", "additional properties 'POD_DELETION_COST' not allowed"},
		{"workers.http.tmpSizeLimit=big", "'/workers/http/tmpSizeLimit': 'big' does not match"},
	} {
		out, err := run(t, nil, helm, "template", "tg", directory, "--values", valuesOf("trial"), "--set", row.set)
		if err == nil || !strings.Contains(out, row.want) {
			t.Errorf("%s: got %v %s, want %s", row.set, err, out, row.want)
		}
	}
}

// Values that don't fit one another are told all at once, each with its key.
func TestValuesThatDoNotFitAreNamed(t *testing.T) {
	t.Parallel()
	helm := tool(t, "helm")
	for _, row := range []struct {
		set  string
		want []string
	}{
		{"", []string{"postgres.host: name the server", "nats.servers: name the servers", "auth: name auth.tokenSecret"}},
		{"postgres.host=db,nats.servers={n:4222},nats.auth=creds,auth.anonymous=true", []string{"nats.existingSecret:", "workers.default.natsSecret:"}},
		{"postgres.urlKey=url,nats.builtin.enabled=true,nats.servers={n:4222},auth.tokenSecret.name=t,auth.anonymous=true",
			[]string{"postgres.existingSecret:", "nats.builtin.enabled: either", "auth.anonymous: not together"}},
		{"tls.enabled=true", []string{"tls.secrets.coordinator:", "tls.secrets.worker:"}},
		{"ingress.http.enabled=true,gateway.httpRoute.enabled=true", []string{"ingress.http.hosts:", "gateway.parentRefs:"}},
		{"workers.a.autoscaling.kind=hpa,workers.a.autoscaling.minReplicas=0,workers.b.autoscaling.kind=keda", []string{"workers.a.autoscaling.minReplicas:", "workers.b.pools:"}},
		{"workers.a.autoscaling.kind=hpa,workers.a.autoscaling.maxReplicas=1,workers.a.autoscaling.minReplicas=2", []string{"minReplicas: more than maxReplicas"}},
		{"postgres.host=db,nats.servers={n:4222},nats.auth=user,nats.existingSecret=theirs,auth.anonymous=true", []string{"workers.default.natsSecret: name the Secret"}},
		{"workers.a.executors={rest_executor},workers.a.autoscaling.kind=keda,auth.tokenSecret.name=t,networkPolicy.enabled=true",
			[]string{"workers.a.autoscaling.keda.authenticationRef:", "tls.clientAuth: optional", "auth.callers: name a file", "networkPolicy.clients: name"}},
		{"workers.a.executors={rest_executor},workers.a.autoscaling.kind=keda,auth.anonymous=true,tls.enabled=true", []string{"workers.a.autoscaling.keda.authenticationRef:"}},
		{"workers.a.serviceAccount.name=x,workers.b.serviceAccount.name=x", []string{"workers.b.serviceAccount.name: workers.a makes x too"}},
		{"workers.a.serviceAccount.name=tg-taskgrove", []string{"workers.a.serviceAccount.name: coordinator makes tg-taskgrove too"}},
		{"workers.a.serviceAccount.create=false,workers.a.serviceAccount.rules[0].verbs={get}", []string{"workers.a.serviceAccount.name: not default"}},
		{"coordinator.serviceAccount.create=false,coordinator.podDeletionCost=true", []string{"coordinator.serviceAccount.name: not default"}},
		{"tls.enabled=true,tls.clientAuth=required", []string{"test.clientSecret: name the Secret"}},
		{"workers.nats.replicas=1", []string{"workers.nats: a component of the release has this name"}},
		{"workers.a.rollingUpdate.maxSurge=0", []string{"workers.a.rollingUpdate: maxUnavailable and maxSurge are both 0"}},
		{"fullnameOverride=a-name-of-thirty-characters-ab,workers.also-a-long-name-abc.replicas=1", []string{"workers.also-a-long-name-abc: its name"}},
	} {
		args := []string{"template", "tg", directory}
		if row.set != "" {
			args = append(args, "--set", row.set)
		}
		out, err := run(t, nil, helm, args...)
		for _, want := range row.want {
			if err == nil || !strings.Contains(out, want) {
				t.Errorf("%s: got %v %s, want %s", row.set, err, out, want)
			}
		}
	}
}
