package builtin

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/external"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// ExternalFromEnv opens the executors that are programs of their own, as the worker's file and TASKGROVE_EXTERNAL name them
// (docs/external-executors.md). It starts each, and waits until it has described itself. One that can't be used is among them, and says why
// it is off. The error names every fault of the settings and of the file.
func ExternalFromEnv(ctx context.Context, log *slog.Logger) ([]executors.Executor, error) {
	var settings config.Executors
	if err := config.LoadPart(&settings); err != nil {
		return nil, err
	}
	return OpenExternal(ctx, ExternalFromSettings(&settings), log)
}

// External says which executors are programs of their own.
type External struct {
	WorkerFile string // names some; see [Config]
	external.Config
}

// ExternalFromSettings maps the settings of a process. Programs outside the module call [ExternalFromEnv].
func ExternalFromSettings(s *config.Executors) External {
	return External{WorkerFile: s.WorkerFile, Config: external.Config{Commands: s.External, Grace: s.CommandGrace, Containers: containers(s)}}
}

// OpenExternal reads the worker's file and opens what it and the settings name.
func OpenExternal(ctx context.Context, cfg External, log *slog.Logger) ([]executors.Executor, error) {
	file := workerfile.At(cfg.WorkerFile)
	if err := file.Load(log); err != nil {
		return nil, fmt.Errorf("%sWORKER_FILE: %w", config.Prefix, err)
	}
	cfg.Programs, cfg.Log = file.File().Executors, log
	return external.Open(ctx, cfg.Config), nil
}
