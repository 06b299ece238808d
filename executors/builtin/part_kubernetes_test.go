//go:build !nokubernetes

package builtin_test

import (
	"testing"

	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/conformance"
)

func init() {
	parts["kubernetes_executor"] = func(t *testing.T, _ *builtin.Config) conformance.Features {
		t.Skip("TestKubernetesConforms, beside the executor, runs the suite where there is a cluster")
		return conformance.Features{}
	}
}
