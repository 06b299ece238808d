package tools

import (
	"context"
	"errors"

	"github.com/taskgrove/taskgrove/executors"
)

// ofServer makes tools of those of an MCP server.
func (s *Session) ofServer(_ context.Context, _ *form) ([]*entry, error) {
	return nil, executors.Permanent(errors.New("mcp: not there yet"))
}
