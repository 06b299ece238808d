package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

// prefix is that of our labels and annotations.
const prefix = "taskgrove.dev/"

// Labels and annotations of every Job, and the labels of its pod.
const (
	labelKey     = prefix + "key"      // stands for the run of the task: the same for all attempts
	labelAttempt = prefix + "attempt"  // number
	labelWorker  = prefix + "instance" // of the executor in its worker
	noteLease    = prefix + "lease"    // annotation: until when the worker has it, RFC 3339
	noteTask     = prefix + "task"     // annotation: id
)

// Times of a Job.
const (
	// goneAfter is how long a Job that has ended stays if nobody removes it: kept ones, and those of dead workers.
	goneAfter = 10 * time.Minute
	// lateness is how much later than this executor the cluster ends a Job.
	lateness = 30 * time.Second
)

// mainContainer is the name of the container that runs the task.
const mainContainer = "main"

// object is one of Kubernetes' as JSON.
type object = map[string]any

// nameOf follows from task and attempt, so that the same request makes the same Job.
func nameOf(call *executors.Call) string {
	return fmt.Sprintf("taskgrove-%s-%d", keyOf(call)[:20], call.Attempt)
}

// keyOf stands for the idempotency key in names and labels, where not all characters may be.
func keyOf(call *executors.Call) string {
	sum := sha256.Sum256([]byte(call.IdempotencyKey))
	return hex.EncodeToString(sum[:16])
}

// job is the Job for an attempt: the pool's template, what the task says over it, and what we fix over both.
func (p Policy) job(call *executors.Call, in *input, instance string, limit, grace time.Duration) (object, error) {
	template := clone(p.Template)
	meta, spec := child(template, "metadata"), child(template, "spec")
	b := &builder{spec: spec, main: mainOf(spec)}
	b.container(call, in)
	b.volumes(in)
	b.pod(in)
	if len(b.faults) > 0 {
		return nil, &RefusedError{b.faults}
	}
	spec["restartPolicy"] = "Never"
	if _, ok := spec["terminationGracePeriodSeconds"]; !ok {
		spec["terminationGracePeriodSeconds"] = max(1, int(grace.Seconds()))
	}
	ours := object{labelKey: keyOf(call), labelAttempt: strconv.Itoa(call.Attempt), labelWorker: instance}
	put(child(meta, "labels"), in.Labels)
	put(child(meta, "annotations"), in.Annotations)
	maps.Copy(child(meta, "labels"), ours)
	child(meta, "annotations")[noteTask] = call.TaskID
	return object{
		"apiVersion": "batch/v1", "kind": "Job",
		"metadata": object{
			"name": nameOf(call), "labels": ours,
			"annotations": object{noteTask: call.TaskID, noteLease: leaseFrom(time.Now())},
		},
		"spec": object{
			"backoffLimit": 0, "completions": 1, "parallelism": 1,
			"ttlSecondsAfterFinished": int(goneAfter.Seconds()),
			"activeDeadlineSeconds":   max(1, int((limit + lateness).Seconds())),
			"template":                template,
		},
	}, nil
}

// builder puts a task's inputs over a template. What the template fixes stays.
type builder struct {
	spec, main object
	faults     []string
}

// fixed reports a value of the template that the task would change.
func (b *builder) fixed(field string) {
	b.faults = append(b.faults, field+": is fixed by the pool's template")
}

// set sets a field to what the task says in an input.
func (b *builder) set(o object, key, field string, value any) {
	if now, ok := o[key]; ok && fmt.Sprint(now) != fmt.Sprint(value) {
		b.fixed(field)
	}
	o[key] = value
}

func (b *builder) container(call *executors.Call, in *input) {
	c := b.main
	c["name"] = mainContainer
	c["image"] = in.Image
	if in.Command != nil {
		b.set(c, "command", "command", []string(in.Command))
	}
	if in.Args != nil {
		b.set(c, "args", "args", []string(in.Args))
	}
	if in.WorkingDir != "" {
		b.set(c, "workingDir", "working_dir", in.WorkingDir)
	}
	if policy := pullPolicies[in.Pull]; policy != "" {
		b.set(c, "imagePullPolicy", "pull", policy)
	}
	security := child(c, "securityContext")
	if _, ok := security["allowPrivilegeEscalation"]; !ok && security["privileged"] != true {
		security["allowPrivilegeEscalation"] = false
	}
	b.environment(call, in)
	b.resources(in)
}

func (b *builder) environment(call *executors.Call, in *input) {
	env := list(b.main, "env")
	for _, v := range env {
		if v, ok := v.(object); ok {
			name, _ := v["name"].(string)
			_, plain := in.Env[name]
			_, secret := in.EnvSecrets[name]
			if plain || secret {
				b.fixed("env." + name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in.Env)) {
		env = append(env, object{"name": name, "value": string(in.Env[name])})
	}
	for _, name := range slices.Sorted(maps.Keys(in.EnvSecrets)) {
		secret, key, _ := strings.Cut(in.EnvSecrets[name], "/")
		env = append(env, object{"name": name, "valueFrom": object{"secretKeyRef": object{"name": secret, "key": key}}})
	}
	for _, v := range call.Environ() {
		env = append(env, object{"name": v.Name, "value": v.Value})
	}
	b.main["env"] = env // of two with a name the last one counts
	from := list(b.main, "envFrom")
	for _, name := range in.EnvFromSecrets {
		from = append(from, object{"secretRef": object{"name": name}})
	}
	for _, name := range in.EnvFromConfigMaps {
		from = append(from, object{"configMapRef": object{"name": name}})
	}
	if len(from) > 0 {
		b.main["envFrom"] = from
	}
}

// resources sets request and limit to what the task says: it gets what it asks for, and no more.
func (b *builder) resources(in *input) {
	r := child(b.main, "resources")
	for name, value := range map[string]scalar{"cpu": in.Resources.CPU, "memory": in.Resources.Memory, "ephemeral-storage": in.Resources.Storage} {
		if value != "" {
			child(r, "requests")[name] = string(value)
			child(r, "limits")[name] = string(value)
		}
	}
	if in.Resources.GPU > 0 {
		child(r, "limits")["nvidia.com/gpu"] = strconv.Itoa(in.Resources.GPU)
	}
}

func (b *builder) volumes(in *input) {
	volumes, mounts := list(b.spec, "volumes"), list(b.main, "volumeMounts")
	for i, v := range in.Volumes {
		name := "task-" + strconv.Itoa(i)
		source := object{"name": name}
		switch {
		case v.Secret != "":
			source["secret"] = object{"secretName": v.Secret}
		case v.ConfigMap != "":
			source["configMap"] = object{"name": v.ConfigMap}
		case v.Claim != "":
			source["persistentVolumeClaim"] = object{"claimName": v.Claim, "readOnly": v.ReadOnly}
		default:
			source["emptyDir"] = object{"sizeLimit": v.EmptyDir}
		}
		volumes = append(volumes, source)
		mounts = append(mounts, object{"name": name, "mountPath": v.Mount, "readOnly": v.ReadOnly})
	}
	if len(in.Volumes) > 0 {
		b.spec["volumes"], b.main["volumeMounts"] = volumes, mounts
	}
}

func (b *builder) pod(in *input) {
	if in.ServiceAccount != "" {
		b.set(b.spec, "serviceAccountName", "service_account", in.ServiceAccount)
	} else if _, ok := b.spec["serviceAccountName"]; !ok {
		if _, ok := b.spec["automountServiceAccountToken"]; !ok {
			b.spec["automountServiceAccountToken"] = false
		}
	}
	if in.PriorityClass != "" {
		b.set(b.spec, "priorityClassName", "priority_class", in.PriorityClass)
	}
	if len(in.NodeSelector) > 0 {
		selector := child(b.spec, "nodeSelector")
		for key, value := range in.NodeSelector {
			b.set(selector, key, "node_selector."+key, value)
		}
	}
	if len(in.Tolerations) > 0 {
		all := list(b.spec, "tolerations")
		for _, t := range in.Tolerations {
			all = append(all, t)
		}
		b.spec["tolerations"] = all
	}
}

// mainOf is the template's container main, or else its first, which is made if there is none.
func mainOf(spec object) object {
	containers := list(spec, "containers")
	for _, c := range containers {
		if c, ok := c.(object); ok && c["name"] == mainContainer {
			return c
		}
	}
	if len(containers) > 0 {
		if first, ok := containers[0].(object); ok {
			return first
		}
	}
	made := object{}
	spec["containers"] = append([]any{made}, containers...)
	return made
}

// child is an object within another, made if it is missing.
func child(o object, key string) object {
	if c, ok := o[key].(object); ok {
		return c
	}
	c := object{}
	o[key] = c
	return c
}

func list(o object, key string) []any {
	l, _ := o[key].([]any)
	return l
}

func put(o object, values map[string]string) {
	for key, value := range values {
		if _, ok := o[key]; !ok { // the template's stay
			o[key] = value
		}
	}
}

// clone is a copy down to the last value.
func clone(o object) object {
	text, err := json.Marshal(o)
	copied := object{}
	if err == nil && o != nil {
		_ = json.Unmarshal(text, &copied)
	}
	return copied
}

// leaseFor is how long a Job belongs to its worker from a renewal on.
const leaseFor = 2 * time.Minute

// leaseFrom is the annotation for a renewal at that time.
func leaseFrom(now time.Time) string { return now.Add(leaseFor).UTC().Format(time.RFC3339) }
