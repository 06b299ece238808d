package porttest

import (
	"fmt"
	"syscall"
)

// hold binds a socket and does not listen. Linux gives its port to nobody who asks for any port, and lets a socket bind the same one only
// if both have SO_REUSEADDR.
func hold() (port int, free func(), err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("hold a port: %w", err)
	}
	free = func() { _ = syscall.Close(fd) }
	bound, err := bind(fd)
	if err != nil {
		free()
		return 0, nil, fmt.Errorf("hold a port: %w", err)
	}
	return bound, free, nil
}

func bind(fd int) (int, error) {
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	return name.(*syscall.SockaddrInet4).Port, nil
}
