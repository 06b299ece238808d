package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/taskgrove/taskgrove/node"
)

// addresses are where a process serves. They are what a ready file holds.
type addresses struct {
	HTTP     string `json:"http,omitempty"`     // http://host:port
	GRPC     string `json:"grpc,omitempty"`     // host:port
	NATS     string `json:"nats,omitempty"`     // dev's: with credentials, for coordinators and workers
	Postgres string `json:"postgres,omitempty"` // dev's: with credentials
}

// announce writes the ready file, if there is to be one, and removes it when the process stops.
func announce(p *node.Process, path string, at addresses) error {
	if path == "" {
		return nil
	}
	if err := writeReady(path, at); err != nil {
		return err
	}
	p.OnStop("ready file", func() error { return removeReady(path) })
	return nil
}

// writeReady writes the file: it holds passwords.
func writeReady(path string, at addresses) error {
	text, err := json.Marshal(at)
	if err == nil {
		err = writeWhole(path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	return nil
}

// writeWhole writes a file as a whole or not at all, for its owner only: whoever finds it can read all of it.
func writeWhole(path string, text []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}

func removeReady(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ready file: %w", err)
	}
	return nil
}
