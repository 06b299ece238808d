package apitest_test

import (
	"testing"

	"github.com/taskgrove/taskgrove/api/apitest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	apitest.Run(t, apitest.Direct, func(testing.TB) apitest.Backend { return apitest.New() })
}
