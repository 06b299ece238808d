package workerfile

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors/kubernetes/quantity"
)

// Kubernetes is what the tasks of a pool may do on the worker's cluster. In lists of names * stands for any text.
type Kubernetes struct {
	Namespaces      []string        `file:"namespaces,required"` // the first, without *, is that of tasks that name none
	ServiceAccounts []string        `file:"service_accounts"`    // that tasks may name; none: the namespace's default, without its token
	Images          []string        `file:"images"`              // repository, repository:tag or repository@digest, with * and **; none: any image
	Secrets         []string        `file:"secrets"`             // of the cluster, that tasks may read; none: no secret
	ConfigMaps      []string        `file:"config_maps"`         // likewise
	Claims          []string        `file:"claims"`              // volume claims that tasks may mount; none: no claim
	NodeLabels      []string        `file:"node_labels"`         // keys that node_selector may have; none: any
	Tolerations     []string        `file:"tolerations"`         // keys of taints that may be tolerated; none: no taint
	Labels          []string        `file:"labels"`              // keys of labels of the pod that tasks may set; none: no label
	Annotations     []string        `file:"annotations"`         // likewise
	PriorityClasses []string        `file:"priority_classes"`
	DefaultCPU      string          `file:"default_cpu"` // quantities, as Kubernetes writes them; empty: none
	MaxCPU          string          `file:"max_cpu"`
	DefaultMemory   string          `file:"default_memory"`
	MaxMemory       string          `file:"max_memory"`
	MaxGPUs         int             `file:"max_gpus"` // 0: none
	Template        json.RawMessage `file:"template"` // a PodTemplateSpec; tasks can't change what it fixes
}

// Check looks at the values; of the template, at as much as a task is put over.
func (k *Kubernetes) Check(at Place) {
	if len(k.Namespaces) == 0 && !at.Faulty("namespaces") {
		at.Fault("namespaces", "want the names of namespaces")
	}
	checkImages(at, k.Images)
	for key, patterns := range map[string][]string{
		"namespaces": k.Namespaces, "service_accounts": k.ServiceAccounts, "secrets": k.Secrets, "config_maps": k.ConfigMaps, "claims": k.Claims,
		"node_labels": k.NodeLabels, "tolerations": k.Tolerations, "labels": k.Labels, "annotations": k.Annotations, "priority_classes": k.PriorityClasses,
	} {
		checkPatterns(at, key, patterns)
	}
	for key, text := range map[string]string{
		"default_cpu": k.DefaultCPU, "max_cpu": k.MaxCPU, "default_memory": k.DefaultMemory, "max_memory": k.MaxMemory,
	} {
		if _, err := quantity.Parse(text); text != "" && err != nil {
			at.Fault(key, "%v", err)
		}
	}
	if k.MaxGPUs < 0 {
		at.Fault("max_gpus", "no limit is below 0")
	}
	k.checkTemplate(at.Key("template"))
}

func (k *Kubernetes) checkTemplate(at Place) {
	if len(k.Template) == 0 {
		return
	}
	var template map[string]json.RawMessage
	if json.Unmarshal(k.Template, &template) != nil {
		at.Fault("", "want an object with metadata and spec")
		return
	}
	for key, part := range template {
		switch key {
		case "metadata":
			var metadata map[string]json.RawMessage
			if json.Unmarshal(part, &metadata) != nil {
				at.Fault(key, "want an object")
			}
		case "spec":
			var spec struct {
				Containers []map[string]json.RawMessage `json:"containers"`
			}
			if json.Unmarshal(part, &spec) != nil {
				at.Fault(key, "want an object; if it has containers, a list of objects")
			}
		default:
			at.Fault(key, "unknown key; known are: metadata, spec")
		}
	}
}
