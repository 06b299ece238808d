package builtin

import (
	"sync"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/doctor"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/secrets"
	"github.com/taskgrove/taskgrove/internal/config"
)

// secretStore opens the store of the worker's secrets when it is asked for first.
func secretStore(cfg Config) func() (*secrets.Store, error) {
	return sync.OnceValues(func() (*secrets.Store, error) {
		return secrets.New(secrets.Config{File: cfg.WorkerFile, Dir: cfg.SecretsDir, LookupEnv: config.LookupEnv})
	})
}

// operatorSecrets finds the secrets that the operator names in the worker's file.
func operatorSecrets(open func() (*secrets.Store, error)) func(name string) (string, error) {
	return func(name string) (string, error) {
		store, err := open()
		if err != nil {
			return "", err
		}
		return store.Operator(name)
	}
}

// tellsSecrets is the executor that says what tasks of its pool may use.
func tellsSecrets(open func() (*secrets.Store, error), net *network.Network) executors.Executor {
	return doctor.New(func() (doctor.Store, error) { return open() }, net)
}
