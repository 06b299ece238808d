package coordinator

import "errors"

var errNotYet = errors.New("is being built")
