package workerfile

import "encoding/json"

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

// Check looks at what every policy needs; the rest is the executor's to check.
func (k *Kubernetes) Check(at Place) {
	if len(k.Namespaces) == 0 {
		at.Fault("namespaces", "want the names of namespaces")
	}
	var template map[string]json.RawMessage
	if len(k.Template) > 0 && json.Unmarshal(k.Template, &template) != nil {
		at.Fault("template", "want an object with metadata and spec")
	}
}
