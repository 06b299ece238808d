package grpcserver

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/taskgrove/taskgrove/api"
	"github.com/taskgrove/taskgrove/internal/modelkey"
)

// modelKey is the key of a model that came with the call (spec 5.7).
func modelKey(ctx context.Context) (key modelkey.Key, err error) {
	name := strings.ToLower(modelkey.Header)
	switch values := metadata.ValueFromIncomingContext(ctx, name); len(values) {
	case 0:
		return key, nil
	case 1:
		key, err = modelkey.Parse(values[0])
	default:
		err = errors.New("must not be there twice")
	}
	if err != nil {
		return key, api.InvalidParameter("llm_api_key", "the metadata "+name+" "+err.Error())
	}
	return key, nil
}
