package node

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"

	"github.com/taskgrove/taskgrove/internal/config"
)

// newLogger makes the logger of a process: JSON, or text on a terminal.
func newLogger(cfg config.Log, to *os.File) *slog.Logger {
	return slog.New(handler(cfg, to, term.IsTerminal(int(to.Fd()))))
}

func handler(cfg config.Log, to io.Writer, terminal bool) slog.Handler {
	options := &slog.HandlerOptions{Level: cfg.Level}
	if cfg.Format == "text" || cfg.Format == "auto" && terminal {
		return slog.NewTextHandler(to, options)
	}
	return slog.NewJSONHandler(to, options)
}
