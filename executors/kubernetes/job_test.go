package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/network"
)

// template is what an operator fixes.
const template = `{
  "metadata": {"labels": {"team": "data"}, "annotations": {"note": "fixed"}},
  "spec": {
    "serviceAccountName": "runner", "nodeSelector": {"pool": "batch"}, "priorityClassName": "low", "hostNetwork": false,
    "tolerations": [{"key": "batch", "operator": "Exists"}],
    "containers": [
      {"name": "proxy", "image": "proxy:1"},
      {"name": "main", "workingDir": "/work", "command": ["/wrap"], "imagePullPolicy": "Always", "env": [{"name": "HTTP_PROXY", "value": "http://proxy"}],
       "securityContext": {"runAsUser": 1000}, "volumeMounts": [{"name": "ca", "mountPath": "/ca"}]}
    ],
    "volumes": [{"name": "ca", "configMap": {"name": "ca"}}]
  }
}`

func policy(t *testing.T) Policy {
	t.Helper()
	p := Policy{
		Namespaces: []string{"jobs", "team-*"}, ServiceAccounts: []string{"runner", "other"}, Images: []string{"ghcr.io/acme/*"},
		Secrets: []string{"app-*"}, ConfigMaps: []string{"conf"}, Claims: []string{"scratch"}, Labels: []string{"acme.example/*"},
		Tolerations: []string{"gpu"}, MaxCPU: "2", MaxMemory: "1Gi", DefaultMemory: "64Mi", MaxGPUs: 1, PriorityClasses: []string{"low", "high"},
	}
	if err := json.Unmarshal([]byte(template), &p.Template); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestFieldsOfSeveralFormsAreNamed when they have none of them, without their values.
func TestFieldsOfSeveralFormsAreNamed(t *testing.T) {
	for in, want := range map[string]string{
		`{"image": "x", "command": 53117}`:          "[kubernetes_executor] command must not be a value that is neither a text nor a list of texts",
		`{"image": "x", "env": {"A": ["53117"]}}`:   "[kubernetes_executor] env must not be a list or object",
		`{"image": "x", "resources": {"cpu": [1]}}`: "[kubernetes_executor] resources must not be a list or object",
		`{"image": ["x"]}`:                          "[kubernetes_executor] image must not be a array",
	} {
		call, _ := conformance.Call(t, in)
		if _, err := parse(call); err == nil || strings.Replace(strings.Replace(err.Error(), "env.A", "env", 1), "resources.cpu", "resources", 1) != want {
			t.Errorf("%s: got %v, want %s", in, err, want)
		}
	}
}

// planned is the Job for inputs, as JSON and as an object.
func planned(t *testing.T, p Policy, in string) (string, object, error) {
	t.Helper()
	call, _ := conformance.Call(t, in)
	parsed, err := parse(call)
	if err != nil {
		return "", nil, err
	}
	if err := p.check(parsed); err != nil {
		return "", nil, err
	}
	job, err := p.job(call, parsed, "instance", time.Minute, 5*time.Second)
	text, _ := json.Marshal(job)
	return string(text), job, err
}

func TestTemplateIsUnderTheTask(t *testing.T) {
	p := policy(t)
	before, _ := json.Marshal(p.Template)
	text, _, err := planned(t, p, `{
		"image": "ghcr.io/acme/x", "args": ["a"], "env": {"A": 1}, "env_secrets": {"B": "app-1/key"}, "node_selector": {"disk": "ssd", "pool": "batch"},
		"tolerations": [{"key": "gpu", "operator": "Exists"}], "labels": {"acme.example/job": "x"}, "resources": {"cpu": "500m", "gpu": 1},
		"volumes": [{"mount": "/s", "secret": "app-1", "read_only": true}, {"mount": "/c", "claim": "scratch"}], "service_account": "runner"}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"image":"ghcr.io/acme/x:latest"`, `"args":["a"]`, `"command":["/wrap"]`, `{"name":"HTTP_PROXY","value":"http://proxy"}`, `{"name":"A","value":"1"}`,
		`{"name":"B","valueFrom":{"secretKeyRef":{"key":"key","name":"app-1"}}}`, `"nodeSelector":{"disk":"ssd","pool":"batch"}`,
		`{"key":"batch","operator":"Exists"},{"key":"gpu","operator":"Exists"}`, `"team":"data"`, `"acme.example/job":"x"`, `"runAsUser":1000`,
		`"allowPrivilegeEscalation":false`, `"serviceAccountName":"runner"`, `"cpu":"500m"`, `"memory":"64Mi"`, `"nvidia.com/gpu":"1"`,
		`{"name":"task-0","secret":{"secretName":"app-1"}}`, `"claimName":"scratch"`, `"backoffLimit":0`, `"activeDeadlineSeconds":90`,
		`"restartPolicy":"Never"`, `"terminationGracePeriodSeconds":5`, `"name":"proxy"`, `"taskgrove.dev/attempt":"1"`, `{"name":"TASKGROVE_ATTEMPT","value":"1"}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %s:\n%s", want, text)
		}
	}
	if after, _ := json.Marshal(p.Template); string(after) != string(before) {
		t.Errorf("the pool's template became %s", after)
	}
}

func TestWithoutATemplate(t *testing.T) {
	text, _, err := planned(t, Policy{Namespaces: []string{"jobs"}}, `{"image": "busybox:1"}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"automountServiceAccountToken":false`, `"image":"docker.io/library/busybox:1"`, `"allowPrivilegeEscalation":false`} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %s:\n%s", want, text)
		}
	}
}

// TestOutsideThePolicyIsRefused tries to get more than the operator allows.
func TestOutsideThePolicyIsRefused(t *testing.T) {
	for name, in := range map[string]string{
		"another namespace":            `"namespace": "kube-system"`,
		"a namespace that is a path":   `"namespace": "team-a/../../kube-system"`,
		"a namespace with a query":     `"namespace": "team-a?x=y"`,
		"another image":                `"image": "evil.example/acme/x"`,
		"an image by its beginning":    `"image": "ghcr.io.evil.example/acme/x"`,
		"another service account":      `"service_account": "admin"`,
		"one that the template fixes":  `"service_account": "other"`,
		"a secret of others":           `"env_secrets": {"A": "db-password/key"}`,
		"all of a secret of others":    `"env_from_secrets": ["db-password"]`,
		"a secret as a volume":         `"volumes": [{"mount": "/s", "secret": "db-password"}]`,
		"a secret by a way up":         `"env_from_secrets": ["app-1/../db"]`,
		"a config map of others":       `"env_from_config_maps": ["other"]`,
		"a claim of others":            `"volumes": [{"mount": "/s", "claim": "database"}]`,
		"a volume of the host":         `"volumes": [{"mount": "/s", "host_path": "/"}]`,
		"two sources":                  `"volumes": [{"mount": "/s", "secret": "app-1", "claim": "scratch"}]`,
		"a mount over the root":        `"volumes": [{"mount": "/", "claim": "scratch"}]`,
		"a mount by a way up":          `"volumes": [{"mount": "/a/../..", "claim": "scratch"}]`,
		"a label that services choose": `"labels": {"app": "gateway"}`,
		"our own label":                `"labels": {"taskgrove.dev/attempt": "9"}`,
		"the label of another Job":     `"labels": {"job-name": "x"}`,
		"an annotation":                `"annotations": {"vault.example/inject": "true"}`,
		"every taint":                  `"tolerations": [{"operator": "Exists"}]`,
		"another taint":                `"tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]`,
		"other nodes":                  `"node_selector": {"pool": "control"}`,
		"too much memory":              `"resources": {"memory": "2Gi"}`,
		"memory in other words":        `"resources": {"memory": "2e9"}`,
		"memory that is no number":     `"resources": {"memory": "NaN"}`,
		"too many cores":               `"resources": {"cpu": "2001m"}`,
		"too many processors":          `"resources": {"gpu": 2}`,
		"another priority":             `"priority_class": "system-node-critical"`,
		"one that is fixed":            `"priority_class": "high"`,
		"the template's command":       `"command": ["sh"]`,
		"the template's directory":     `"working_dir": "/"`,
		"the template's pull policy":   `"pull": "never"`,
		"the template's environment":   `"env": {"HTTP_PROXY": ""}`,
		"a variable by another name":   `"env": {"A=B": "c"}`,
	} {
		sep := `"image": "ghcr.io/acme/x", `
		if strings.HasPrefix(in, `"image"`) {
			sep = ""
		}
		text, _, err := planned(t, policy(t), "{"+sep+in+"}")
		if err == nil {
			t.Errorf("%s: allowed: %s", name, text)
		} else if _, ok := errors.AsType[*RefusedError](err); !ok {
			t.Errorf("%s: %T %v", name, err, err)
		}
	}
	_, _, err := planned(t, Policy{}, `{"image": "x"}`)
	if err == nil || !strings.Contains(err.Error(), "its operator allows no namespace") {
		t.Errorf("no policy: %v", err)
	}
	_, _, err = planned(t, policy(t), `{"image": "x", "namespace": "y", "service_account": "z"}`)
	if refused, ok := errors.AsType[*RefusedError](err); !ok || len(refused.Faults) != 3 {
		t.Errorf("faults are not told at once: %v", err)
	}
}

// TestAMaximumThatCannotBeReadAllowsNothing is for programs whose policies come from elsewhere than a worker's file, which is checked.
func TestAMaximumThatCannotBeReadAllowsNothing(t *testing.T) {
	p := policy(t)
	p.MaxCPU = "many"
	_, _, err := planned(t, p, `{"image": "ghcr.io/acme/x", "resources": {"cpu": "1"}}`)
	if err == nil || !strings.Contains(err.Error(), "resources.cpu: 1 is more than the many") {
		t.Errorf("got %v", err)
	}
}

func TestDisabledSaysWhy(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for want, cfg := range map[string]Config{
		"no pool may use a cluster":      {Pools: func() []string { return nil }},
		"TASKGROVE_KUBERNETES_CONFIG":    {Pools: func() []string { return []string{"*"} }},
		"kubeconfig: stat /nonexistent:": {Kubeconfig: "/nonexistent"},
	} {
		if got := New(cfg, network.New(network.Config{})).Disabled(); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestPodsAreRead(t *testing.T) {
	for name, row := range map[string]struct {
		status    string
		exit      int // -1: has not ended
		lost, why string
		permanent bool
	}{
		"running":                      {`{"phase":"Running","containerStatuses":[{"name":"main","state":{"running":{}}}]}`, -1, "", "", false},
		"completed":                    {`{"phase":"Succeeded","containerStatuses":[{"name":"main","state":{"terminated":{"exitCode":0,"reason":"Completed"}}}]}`, 0, "", "", false},
		"a side container ended":       {`{"phase":"Running","containerStatuses":[{"name":"x","state":{"terminated":{"exitCode":1}}},{"name":"main","state":{"running":{}}}]}`, -1, "", "", false},
		"main ended before others":     {`{"phase":"Running","containerStatuses":[{"name":"x","state":{"running":{}}},{"name":"main","state":{"terminated":{"exitCode":2}}}]}`, 2, "", "", false},
		"evicted":                      {`{"phase":"Failed","reason":"Evicted","message":"The node was low on resource: memory."}`, -1, "the pod failed: Evicted: The node was low", "", false},
		"preempted":                    {`{"phase":"Failed","conditions":[{"type":"DisruptionTarget","status":"True","reason":"PreemptionByScheduler","message":"m"}],"containerStatuses":[{"name":"main","state":{"terminated":{"exitCode":137}}}]}`, 137, "the pod was ended by the cluster: PreemptionByScheduler", "", false},
		"done before it was preempted": {`{"phase":"Succeeded","conditions":[{"type":"DisruptionTarget","status":"True"}],"containerStatuses":[{"name":"main","state":{"terminated":{"exitCode":0}}}]}`, 0, "", "", false},
		"no room":                      {`{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"0/1 nodes"}]}`, -1, "", "Unschedulable: 0/1 nodes", false},
		"no image":                     {`{"phase":"Pending","containerStatuses":[{"name":"main","state":{"waiting":{"reason":"ErrImagePull","message":"manifest unknown"}}}]}`, -1, "", "ErrImagePull: manifest unknown", true},
		"registry away":                {`{"phase":"Pending","containerStatuses":[{"name":"main","state":{"waiting":{"reason":"ImagePullBackOff","message":"dial tcp: i/o timeout"}}}]}`, -1, "", "ImagePullBackOff: dial", false},
		"bad name":                     {`{"phase":"Pending","containerStatuses":[{"name":"main","state":{"waiting":{"reason":"InvalidImageName"}}}]}`, -1, "", "InvalidImageName", true},
		"no secret":                    {`{"phase":"Pending","containerStatuses":[{"name":"main","state":{"waiting":{"reason":"CreateContainerConfigError","message":"secret \"x\" not found"}}}]}`, -1, "", "CreateContainerConfigError", true},
		"begins":                       {`{"phase":"Pending","containerStatuses":[{"name":"main","state":{"waiting":{"reason":"ContainerCreating"}}}]}`, -1, "", "", false},
	} {
		var p pod
		if err := json.Unmarshal([]byte(`{"status":`+row.status+`}`), &p); err != nil {
			t.Fatal(err)
		}
		how, lost := p.outcome()
		exit := -1
		if how != nil {
			exit = how.ExitCode
		}
		if exit != row.exit || !strings.HasPrefix(fmt.Sprint(lost), row.lost) && row.lost != "" || (lost != nil) != (row.lost != "") {
			t.Errorf("%s: exit %d, lost %v", name, exit, lost)
		}
		if executors.IsPermanent(lost) {
			t.Errorf("%s: can't be retried", name)
		}
		why, inVain := p.waits()
		if !strings.HasPrefix(why, row.why) || (why == "") != (row.why == "") || executors.IsPermanent(inVain) != row.permanent {
			t.Errorf("%s: waits for %q, in vain: %v", name, why, inVain)
		}
	}
}
