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
	var text, from string
	switch {
	case k.env != "":
		value, ok := os.LookupEnv(k.env)
		if !ok {
			return "", fmt.Errorf("--llm-key-env: there is no variable %s", k.env)
		}
		text, from = value, "--llm-key-env"
	case k.file != "":
		file, err := os.Open(k.file)
		if err != nil {
			return "", fmt.Errorf("--llm-key-file: %w", err)
		}
		defer file.Close()
		all, err := io.ReadAll(io.LimitReader(file, modelkey.MaxBytes+3))
		if err != nil {
			return "", fmt.Errorf("--llm-key-file: %w", err)
		}
		text, from = string(all), "--llm-key-file"
	default:
		return "", nil
	}
	text = strings.TrimRight(text, "\r\n")
	key, err := modelkey.Parse(text)
	if err == nil && !key.Given() {
		err = errors.New("is empty")
	}
	if err != nil {
		return "", fmt.Errorf("%s: the key %w", from, err)
	}
	return text, nil
}
