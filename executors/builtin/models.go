package builtin

import (
	"sync"

	"github.com/taskgrove/taskgrove/executors/secrets"
	"github.com/taskgrove/taskgrove/internal/config"
)

// operatorSecrets finds the secrets that the operator names in the worker's file.
func operatorSecrets(cfg Config) func(name string) (string, error) {
	open := sync.OnceValues(func() (*secrets.Store, error) {
		return secrets.New(secrets.Config{File: cfg.WorkerFile, Dir: cfg.SecretsDir, LookupEnv: config.LookupEnv})
	})
	return func(name string) (string, error) {
		store, err := open()
		if err != nil {
			return "", err
		}
		return store.Operator(name)
	}
}
