package coordinator

import (
	"context"
	"errors"
)

var errNotYet = errors.New("is being built")

// Copy copies a task; see [Editor].
func (c *Coordinator) Copy(context.Context, string, CopyOptions) (*Copied, error) {
	return nil, errNotYet
}
