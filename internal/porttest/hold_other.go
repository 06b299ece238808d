//go:build !linux

package porttest

import (
	"fmt"
	"net"
)

func hold() (port int, free func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, nil, fmt.Errorf("find a port: %w", err)
	}
	return l.Addr().(*net.TCPAddr).Port, func() {}, l.Close()
}
