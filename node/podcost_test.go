package node

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/kubeapi"
)

func TestPodCostIsPatched(t *testing.T) {
	t.Parallel()
	var asked []string
	status := http.StatusOK
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type")+" "+r.Header.Get("Authorization")+" "+string(body))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"message":"told so"}`)
	}))
	defer api.Close()
	find := func() (*kubeapi.Access, error) {
		return &kubeapi.Access{Server: api.URL, Namespace: "ns", Token: "t"}, nil
	}
	tell, err := podCost(true, find)
	if err != nil {
		t.Fatal(err)
	}
	if err := tell(t.Context(), "http-1", 3); err != nil {
		t.Fatal(err)
	}
	const want = `PATCH /api/v1/namespaces/ns/pods/http-1 application/merge-patch+json Bearer t {"metadata":{"annotations":{"controller.kubernetes.io/pod-deletion-cost":"3"}}}`
	if len(asked) != 1 || asked[0] != want {
		t.Errorf("got %q, want %q", asked, want)
	}
	status = http.StatusNotFound
	if err := tell(t.Context(), "gone", 3); err != nil {
		t.Errorf("a pod that is gone: %v", err)
	}
	status = http.StatusForbidden
	if err := tell(t.Context(), "http-1", 0); err == nil || !strings.Contains(err.Error(), "pod http-1: told so") {
		t.Errorf("not allowed: %v", err)
	}
	if tell, err := podCost(false, nil); tell != nil || err != nil {
		t.Errorf("off: %v", err)
	}
	none := func() (*kubeapi.Access, error) { return nil, kubeapi.ErrNone }
	if _, err := podCost(true, none); !errors.Is(err, kubeapi.ErrNone) || !strings.Contains(err.Error(), "TASKGROVE_POD_DELETION_COST") {
		t.Errorf("outside of a pod: %v", err)
	}
}
