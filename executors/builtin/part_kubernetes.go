//go:build !nokubernetes

package builtin

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/kubernetes"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

type kubernetesConfig = kubernetes.Config

// kubernetesPart makes the executors that the build tag nokubernetes leaves out.
func kubernetesPart(cfg Config, net *network.Network, file *workerfile.Source) []executors.Executor {
	if cfg.Kubernetes.Policy == nil {
		cfg.Kubernetes.Policy = func(pool string) kubernetes.Policy { return kubernetesPolicy(file.File().Pool(pool).Kubernetes) }
		cfg.Kubernetes.Pools = func() []string { return poolsWith(file, func(p workerfile.Pool) bool { return p.Kubernetes != nil }) }
	}
	return []executors.Executor{kubernetes.New(cfg.Kubernetes, net)}
}

func kubernetesSettings(s *config.Executors) kubernetesConfig {
	return kubernetes.Config{Kubeconfig: s.KubernetesConfig, MaxOutputBytes: int(s.OutputBytes), Grace: s.KubernetesGrace}
}

// kubernetesPolicy is what the worker's file says of a pool; nil: nothing, so that nothing is allowed.
func kubernetesPolicy(k *workerfile.Kubernetes) kubernetes.Policy {
	if k == nil {
		return kubernetes.Policy{}
	}
	p := kubernetes.Policy{
		Namespaces: k.Namespaces, ServiceAccounts: k.ServiceAccounts, Images: k.Images, Secrets: k.Secrets, ConfigMaps: k.ConfigMaps,
		Claims: k.Claims, NodeLabels: k.NodeLabels, Tolerations: k.Tolerations, Labels: k.Labels, Annotations: k.Annotations,
		PriorityClasses: k.PriorityClasses, DefaultCPU: k.DefaultCPU, MaxCPU: k.MaxCPU, DefaultMemory: k.DefaultMemory,
		MaxMemory: k.MaxMemory, MaxGPUs: k.MaxGPUs,
	}
	if len(k.Template) > 0 {
		_ = json.Unmarshal(k.Template, &p.Template) // the file's check has seen that it is an object
	}
	return p
}
