package node

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/kubeapi"
)

// podCostWithin bounds one call.
const podCostWithin = 5 * time.Second

// podCost tells Kubernetes what it costs to take pods of this pod's namespace away; nil: it is not to be told.
func podCost(on bool, find func() (*kubeapi.Access, error)) (coordinator.PodCost, error) {
	if !on {
		return nil, nil
	}
	access, err := find()
	if err != nil {
		return nil, fmt.Errorf("%sPOD_DELETION_COST: %w", config.Prefix, err)
	}
	client := kubeapi.New(access)
	return func(ctx context.Context, pod string, cost int) error {
		ctx, cancel := context.WithTimeout(ctx, podCostWithin)
		defer cancel()
		change := map[string]any{"metadata": map[string]any{"annotations": map[string]string{"controller.kubernetes.io/pod-deletion-cost": strconv.Itoa(cost)}}}
		err := client.Call(ctx, http.MethodPatch, "/api/v1/namespaces/"+access.Namespace+"/pods/"+pod, nil, change, nil)
		if kubeapi.CodeOf(err) == http.StatusNotFound { // a worker outside, or one that has just gone
			return nil
		}
		if err != nil {
			return fmt.Errorf("pod %s: %w", pod, err)
		}
		return nil
	}, nil
}

// ownAccount finds the service account of the pod that this process runs in.
func ownAccount() (*kubeapi.Access, error) { return kubeapi.Find("", kubeapi.Account) }
