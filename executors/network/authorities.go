package network

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// lookEvery is how often a file of authorities is looked at: a changed one counts that much later at most.
const lookEvery = time.Second

// authorities are the machine's, and those of a file, which is read again when it changes.
type authorities struct {
	file string // empty: only the machine's

	mu     sync.Mutex
	looked time.Time
	stamp  stamp
	have   *x509.CertPool
}

// stamp tells one state of a file from another.
type stamp struct {
	changed time.Time
	size    int64
}

// pool is nil for the machine's authorities alone. If the file can't be read, what it held last stays, and before the first time nobody
// is trusted.
func (a *authorities) pool() *x509.CertPool {
	if a.file == "" {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.looked) < lookEvery {
		return a.have
	}
	a.looked = time.Now()
	info, err := os.Stat(a.file) // follows links: a mounted secret is changed by moving one
	if err == nil && a.stamp != (stamp{info.ModTime(), info.Size()}) {
		if pool, err := read(a.file); err == nil {
			a.have, a.stamp = pool, stamp{info.ModTime(), info.Size()}
		}
	}
	if a.have == nil {
		a.have = x509.NewCertPool()
	}
	return a.have
}

// check says why the file can't be used.
func (a *authorities) check() error {
	if a.file == "" {
		return nil
	}
	_, err := read(a.file)
	return err
}

// read reads a PEM file and adds its certificates to the machine's.
func read(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("authorities of the machine: %w", err)
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("authorities: " + file + " holds no certificate in PEM")
	}
	return pool, nil
}
