package kubernetes

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/internal/kubeapi"
)

// newAPI makes a client that goes out as the dialer does. The operator chose the address.
func newAPI(a *kubeapi.Access, dialer *network.Dialer) *kubeapi.Client {
	transport := dialer.Trusted().Transport()
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = dialer.TLS("")
	}
	transport.MaxIdleConnsPerHost = 16
	return kubeapi.NewWith(a, transport)
}

// find is [kubeapi.Find] of a worker.
func find(kubeconfig, account string) (*kubeapi.Access, error) {
	a, err := kubeapi.Find(kubeconfig, account)
	if errors.Is(err, kubeapi.ErrNone) {
		return nil, fmt.Errorf("%w: set TASKGROVE_KUBERNETES_CONFIG to a kubeconfig's path, and restart the worker", err)
	}
	return a, err
}

// classed says whether another attempt may succeed.
func classed(what string, err error) error {
	refused, ok := errors.AsType[*kubeapi.StatusError](err)
	if err == nil || !ok {
		if err != nil {
			err = fmt.Errorf("%s: %w", what, err)
		}
		return err
	}
	err = fmt.Errorf("%s: %w", what, err)
	switch refused.Code {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		if strings.Contains(refused.Message, "exceeded quota") { // it gets free again
			return err
		}
		return executors.Permanent(err)
	}
	return executors.RetryAfter(err, refused.After)
}
