package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/internal/modelkey"
)

// llmKey says where the key of a language model is that goes along with a request: never on the command line, which others on the host can read.
type llmKey struct{ env, file string }

func (k *llmKey) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.env, "llm-key-env", "", "send a model's key along, which the tree's tasks use instead of the workers': this variable has [provider:]key")
	cmd.Flags().StringVar(&k.file, "llm-key-file", "", "as --llm-key-env, from a file")
	cmd.MarkFlagsMutuallyExclusive("llm-key-env", "llm-key-file")
}

// read is the key; empty: none is sent. Errors show nothing of it.
func (k *llmKey) read() (string, error) {
	text, err := secretText("llm-key", k.env, k.file)
	if err != nil || k.env+k.file == "" {
		return "", err
	}
	from := "--llm-key-env"
	if k.file != "" {
		from = "--llm-key-file"
	}
	key, err := modelkey.Parse(text)
	if err == nil && !key.Given() {
		err = errors.New("is empty")
	}
	if err != nil {
		return "", fmt.Errorf("%s: the key %w", from, err)
	}
	return text, nil
}

// maxSecretBytes is how long a secret of a flag may be; what is longer is cut, and refused where it is used.
const maxSecretBytes = max(modelkey.MaxBytes, 16<<10)

// secretText is the text that --flag-env or --flag-file leads to, without the end of its line; empty: neither was given.
func secretText(flag, env, path string) (string, error) {
	switch {
	case env != "":
		value, ok := os.LookupEnv(env)
		if !ok {
			return "", fmt.Errorf("--%s-env: there is no variable %s", flag, env)
		}
		return strings.TrimRight(value, "\r\n"), nil
	case path != "":
		file, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("--%s-file: %w", flag, err)
		}
		defer file.Close()
		all, err := io.ReadAll(io.LimitReader(file, maxSecretBytes+3))
		if err != nil {
			return "", fmt.Errorf("--%s-file: %w", flag, err)
		}
		return strings.TrimRight(string(all), "\r\n"), nil
	}
	return "", nil
}
