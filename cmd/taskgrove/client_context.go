package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/taskgrove/taskgrove/internal/config"
)

// Names of the variables that a context stands for, and of its own.
const (
	contextVariable = config.Prefix + "CONTEXT"
	serverVariable  = config.Prefix + "SERVER"
	timeoutVariable = config.Prefix + "REQUEST_TIMEOUT"

	namespaceVariable = config.Prefix + "NAMESPACE"
)

// saved is a context: what a user does not want to type with each command.
type saved struct {
	Server         string `json:"server"`
	RequestTimeout string `json:"request_timeout,omitempty"` // empty: the default
	TokenFile      string `json:"token_file,omitempty"`      // the token itself is not kept here
	PlainToken     string `json:"plain_token,omitempty"`
	TLS            string `json:"tls,omitempty"`
	CAFile         string `json:"tls_ca_file,omitempty"`
	CertFile       string `json:"tls_cert_file,omitempty"`
	KeyFile        string `json:"tls_key_file,omitempty"`
	ServerName     string `json:"tls_server_name,omitempty"`
	Namespace      string `json:"namespace,omitempty"`
}

// variables are the settings that the context stands for.
func (c saved) variables() map[string]string {
	values := map[string]string{}
	for name, field := range c.fields() {
		values[name] = *field
	}
	return values
}

// fields are where the values of settings are kept, by their variables.
func (c *saved) fields() map[string]*string {
	return map[string]*string{
		serverVariable: &c.Server, timeoutVariable: &c.RequestTimeout, config.Prefix + "TOKEN_FILE": &c.TokenFile,
		config.Prefix + "PLAIN_TOKEN": &c.PlainToken, config.Prefix + "TLS": &c.TLS, config.Prefix + "TLS_CA_FILE": &c.CAFile,
		config.Prefix + "TLS_CERT_FILE": &c.CertFile, config.Prefix + "TLS_KEY_FILE": &c.KeyFile, config.Prefix + "TLS_SERVER_NAME": &c.ServerName,
		namespaceVariable: &c.Namespace,
	}
}

// contexts are what a user has saved.
type contexts struct {
	Current  string           `json:"current,omitempty"` // the one in use; empty: none
	Contexts map[string]saved `json:"contexts"`
}

// contextsFile is where they are kept.
func contextsFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("contexts: %w", err)
	}
	return filepath.Join(dir, "taskgrove", "contexts.json"), nil
}

// readContexts reads the file; no file is no contexts.
func readContexts(path string) (*contexts, error) {
	all := &contexts{Contexts: map[string]saved{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(text, all)
	}
	if err != nil {
		return nil, fmt.Errorf("contexts: %s: %w", path, err)
	}
	if all.Contexts == nil {
		all.Contexts = map[string]saved{}
	}
	return all, nil
}

// changeContexts reads the file, changes what is in it and writes it, as a whole or not at all. No other command changes it meanwhile.
func changeContexts(change func(*contexts) error) error {
	path, err := contextsFile()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("contexts: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("contexts: %w", err)
	}
	defer lock.Close() //nolint:errcheck // nothing is written to it
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("contexts: lock %s: %w", lock.Name(), err)
	}
	all, err := readContexts(path)
	if err != nil {
		return err
	}
	if err := change(all); err != nil {
		return err
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("contexts: %w", err)
	}
	if err := writeWhole(path, append(text, '\n')); err != nil {
		return fmt.Errorf("contexts: %w", err)
	}
	return nil
}

// get is the context of the name.
func (all *contexts) get(name string) (saved, error) {
	c, ok := all.Contexts[name]
	if ok {
		return c, nil
	}
	known := "there is none: taskgrove context set NAME --server HOST:PORT makes one"
	if len(all.Contexts) > 0 {
		known = "there are " + strings.Join(slices.Sorted(maps.Keys(all.Contexts)), ", ")
	}
	return c, usage("context %q is not known; %s", name, known)
}

// clientSettings loads the settings of client commands. What was given by flag comes first, then a context that was named by flag, the
// environment, the context that it names or that is in use, and the defaults.
func clientSettings(given map[string]string) (cfg config.Client, err error) {
	if err := addContext(given); err != nil {
		return cfg, err
	}
	return cfg, config.Load(&cfg, given)
}

// addContext adds what the context says to what was given by flag.
func addContext(given map[string]string) error {
	name, named := given[contextVariable]
	if _, direct := given[serverVariable]; direct && !named {
		return nil // whatever the context is, it does not matter
	}
	path, err := contextsFile()
	if err != nil {
		if named {
			return err
		}
		return nil // without a home there are no contexts
	}
	all, err := readContexts(path)
	if err != nil {
		return err
	}
	if name == "" {
		name, named = os.Getenv(contextVariable), false
	}
	if name == "" {
		name = all.Current
	}
	if name == "" {
		return nil
	}
	c, err := all.get(name)
	if err != nil {
		return err
	}
	elsewhere := os.Getenv(serverVariable)
	if server, flag := given[serverVariable]; flag {
		elsewhere = server
	} else if named {
		elsewhere = ""
	}
	if elsewhere != "" && elsewhere != c.Server { // its token is not for others
		c = saved{Server: c.Server, RequestTimeout: c.RequestTimeout}
	}
	for variable, value := range c.variables() {
		_, flag := given[variable]
		if value != "" && !flag && (named || os.Getenv(variable) == "") {
			given[variable] = value
		}
	}
	return nil
}
