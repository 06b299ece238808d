package coordinator

import "context"

// SetModelKey keeps a key of a user; see [KeyKeeper].
func (c *Coordinator) SetModelKey(context.Context, string, ModelKeyOf) error { return errNotYet }

// ModelKeys are the providers that a user has keys for; see [KeyKeeper].
func (c *Coordinator) ModelKeys(context.Context, string) ([]string, error) { return nil, errNotYet }

// DeleteModelKey forgets a key of a user; see [KeyKeeper].
func (c *Coordinator) DeleteModelKey(context.Context, string, string) (bool, error) {
	return false, errNotYet
}
