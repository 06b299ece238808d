package kubernetes

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors/image"
	"github.com/taskgrove/taskgrove/executors/kubernetes/quantity"
)

// Policy is what the tasks of a pool may do on the cluster. Lists of names may have * for any text. The zero value allows nothing, as it
// names no namespace.
type Policy struct {
	Namespaces      []string // the first one, if it is a plain name, is that of tasks that name none
	ServiceAccounts []string // that tasks may name; one that names none gets the namespace's default account, without its token
	Images          []string // patterns, see [image.Pattern]; empty: any image
	Secrets         []string // that tasks may read
	ConfigMaps      []string // likewise
	Claims          []string // volume claims that tasks may mount
	NodeLabels      []string // keys that node_selector may have; empty: any
	Tolerations     []string // keys of taints that tasks may tolerate; empty: none
	Labels          []string // keys of labels that tasks may set: services and network policies choose pods by them; empty: none
	Annotations     []string // likewise
	PriorityClasses []string

	DefaultCPU, MaxCPU       string // quantities. Empty: no request by default, no maximum
	DefaultMemory, MaxMemory string // likewise
	MaxGPUs                  int    // 0: none

	// Template is a PodTemplateSpec as JSON. What tasks say is put over it; what it fixes can't be changed by them. Its container main, or else
	// its first, is the one that runs the task. nil: none.
	Template map[string]any
}

// RefusedError reports a Job that is not made, because of what it is or what its pool does not allow. No other attempt fixes it.
type RefusedError struct {
	Faults []string // each names the input and the reason
}

// Error has all faults.
func (e *RefusedError) Error() string { return strings.Join(e.Faults, "; ") }

// objectName is what Kubernetes takes for the name of most objects (RFC 1123, subdomain).
var objectName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// envName is what it takes for a variable.
var envName = regexp.MustCompile(`^[-._a-zA-Z][-._a-zA-Z0-9]*$`)

// judge collects what is wrong with a task.
type judge struct {
	policy Policy
	faults []string
}

func (j *judge) fault(format string, args ...any) {
	j.faults = append(j.faults, fmt.Sprintf(format, args...))
}

// name judges the name of an object that a task refers to.
func (j *judge) name(field, name string, allowed []string) {
	switch {
	case !objectName.MatchString(name):
		j.fault("%s: %q is no name of Kubernetes", field, name)
	case !image.Fits(allowed, name):
		j.fault("%s: %q is not allowed here", field, name)
	}
}

// check judges inputs, and puts the policy's defaults into them.
func (p Policy) check(in *input) error {
	j := &judge{policy: p}
	if in.Namespace == "" && len(p.Namespaces) > 0 && !strings.Contains(p.Namespaces[0], "*") {
		in.Namespace = p.Namespaces[0]
	}
	if len(p.Namespaces) == 0 {
		j.fault("this pool may not use the cluster: its operator allows no namespace")
	} else {
		j.name("namespace", in.Namespace, p.Namespaces)
	}
	if ref, err := image.Parse(in.Image); err != nil {
		j.fault("image: %v", err)
	} else if !image.Allowed(p.Images, ref) {
		j.fault("image: %s is not allowed here; allowed: %s", ref, strings.Join(p.Images, ", "))
	} else {
		in.Image = ref.String()
	}
	if in.ServiceAccount != "" {
		j.name("service_account", in.ServiceAccount, p.ServiceAccounts)
	}
	if in.PriorityClass != "" {
		j.name("priority_class", in.PriorityClass, p.PriorityClasses)
	}
	j.environment(in)
	j.volumes(in)
	j.placement(in)
	j.resources(in)
	if len(j.faults) > 0 {
		return &RefusedError{j.faults}
	}
	return nil
}

func (j *judge) environment(in *input) {
	for _, name := range slices.Sorted(maps.Keys(in.Env)) {
		if !envName.MatchString(name) || strings.ContainsRune(string(in.Env[name]), 0) {
			j.fault("env: %q can't be set", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in.EnvSecrets)) {
		secret, key, ok := strings.Cut(in.EnvSecrets[name], "/")
		if !envName.MatchString(name) || !ok || key == "" || strings.Contains(key, "/") {
			j.fault("env_secrets: %s must be a secret and its key: NAME/KEY", name)
			continue
		}
		j.name("env_secrets", secret, j.policy.Secrets)
	}
	for _, name := range in.EnvFromSecrets {
		j.name("env_from_secrets", name, j.policy.Secrets)
	}
	for _, name := range in.EnvFromConfigMaps {
		j.name("env_from_config_maps", name, j.policy.ConfigMaps)
	}
}

func (j *judge) volumes(in *input) {
	for i, v := range in.Volumes {
		if !strings.HasPrefix(v.Mount, "/") || v.Mount == "/" || strings.ContainsAny(v.Mount, ":\x00") || strings.Contains(v.Mount+"/", "/../") {
			j.fault("volumes: %q is not an absolute path in the container", v.Mount)
		}
		sources := 0
		for kind, source := range map[string]string{"secret": v.Secret, "config_map": v.ConfigMap, "claim": v.Claim} {
			if source == "" {
				continue
			}
			sources++
			j.name("volumes: "+kind, source, map[string][]string{"secret": j.policy.Secrets, "config_map": j.policy.ConfigMaps, "claim": j.policy.Claims}[kind])
		}
		if v.EmptyDir != "" {
			sources++
			if _, err := quantity.Parse(v.EmptyDir); err != nil {
				j.fault("volumes: empty_dir: %v", err)
			}
		}
		if sources != 1 {
			j.fault("volumes: number %d needs exactly one of secret, config_map, claim, empty_dir", i+1)
		}
	}
}

func (j *judge) placement(in *input) {
	keys := func(field string, given map[string]string, allowed []string, any bool) {
		for _, key := range slices.Sorted(maps.Keys(given)) {
			switch {
			case strings.HasPrefix(key, prefix) || key == "job-name" || key == "controller-uid" || strings.HasPrefix(key, "batch.kubernetes.io/"):
				j.fault("%s: %q is not for tasks to set", field, key)
			case !(any && len(allowed) == 0) && !image.Fits(slashes(allowed), key):
				j.fault("%s: %q is not allowed here", field, key)
			}
		}
	}
	keys("labels", in.Labels, j.policy.Labels, false)
	keys("annotations", in.Annotations, j.policy.Annotations, false)
	keys("node_selector", in.NodeSelector, j.policy.NodeLabels, true)
	for _, t := range in.Tolerations {
		key, _ := t["key"].(string)
		if key == "" || !image.Fits(slashes(j.policy.Tolerations), key) { // an empty key tolerates every taint
			j.fault("tolerations: %q is not allowed here", key)
		}
		for field := range t {
			if !slices.Contains([]string{"key", "operator", "value", "effect", "tolerationSeconds"}, field) {
				j.fault("tolerations: %q is unknown", field)
			}
		}
	}
}

// slashes lets * stand for any text, slashes included, as keys have them.
func slashes(patterns []string) []string {
	out := make([]string, len(patterns))
	for i, p := range patterns {
		out[i] = strings.ReplaceAll(p, "*", "**")
	}
	return out
}

func (j *judge) resources(in *input) {
	one := func(field string, value *scalar, most, otherwise string) {
		if *value == "" {
			*value = scalar(otherwise)
			if *value == "" {
				*value = scalar(most)
			}
		}
		if *value == "" {
			return
		}
		got, err := quantity.Parse(string(*value))
		if err != nil {
			j.fault("resources.%s: %v", field, err)
			return
		}
		if limit, err := quantity.Parse(most); most != "" && (err != nil || got > limit) { // a maximum that can't be read allows nothing
			j.fault("resources.%s: %s is more than the %s that is allowed here", field, *value, most)
		}
	}
	one("cpu", &in.Resources.CPU, j.policy.MaxCPU, j.policy.DefaultCPU)
	one("memory", &in.Resources.Memory, j.policy.MaxMemory, j.policy.DefaultMemory)
	one("storage", &in.Resources.Storage, "", "")
	if in.Resources.GPU < 0 || in.Resources.GPU > j.policy.MaxGPUs {
		j.fault("resources.gpu: at most %d are allowed here", j.policy.MaxGPUs)
	}
}
