//go:build !linux

package process

import (
	"errors"
	"os"
)

// exchange is what only Linux can.
func exchange(*os.Root, string, string) error { return errors.ErrUnsupported }
