package pgserver

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// CopyTo makes a base backup of the running server into the data directory of cfg, which must be new, for [Start] to run. The other fields of cfg are
// those that it will be started with. With a name, the copy is a standby that follows the server at the address from, host:port, empty: its own;
// the server knows it by that name. Without one, it is a copy that recovers by itself, or by the restore_command that its settings have.
func (s *Server) CopyTo(ctx context.Context, cfg Config, name, from string) error {
	dir, err := openDirectory(cfg.DataDir, s.as)
	if err != nil {
		return fmt.Errorf("copy postgres to %s: %w", cfg.DataDir, err)
	}
	s.mu.Lock()
	host, port, password := "127.0.0.1", strconv.Itoa(s.port), s.password
	s.mu.Unlock()
	if from != "" {
		if host, port, err = net.SplitHostPort(from); err != nil {
			return fmt.Errorf("copy postgres to %s: %w", cfg.DataDir, err)
		}
	}
	info := fmt.Sprintf("host=%s port=%s user=%s password=%s sslmode=disable", host, port, superuser, password)
	args := []string{"-D", dir.path("pgdata"), "-X", "stream", "--checkpoint=fast", "--no-sync"}
	if name != "" {
		info += " application_name=" + name
		args = append(args, "-R")
	}
	if out, err := run(ctx, s.as, dir.root, filepath.Join(s.bin.dir, "pg_basebackup"), append(args, "-d", info)...); err != nil {
		return fmt.Errorf("pg_basebackup: %w: %s", err, bytes.TrimSpace(out))
	}
	if err := writeSynced(dir.path("password"), password); err != nil {
		return fmt.Errorf("copy postgres to %s: %w", cfg.DataDir, err)
	}
	return s.as.own(dir.path("password"))
}

// Recover has a copy that is not started yet recover as the settings say that it will be started with (restore_command, recovery_target_time, …).
func (s *Server) Recover(cfg Config) error {
	path := filepath.Join(cfg.DataDir, "pgdata", "recovery.signal")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	return s.as.own(path)
}

// Tool runs a program of Postgres's, such as pg_dump, as the user that the server runs as, and returns what it printed.
func (s *Server) Tool(ctx context.Context, name string, args ...string) ([]byte, error) {
	out, err := run(ctx, s.as, s.dir.root, filepath.Join(s.bin.dir, name), args...)
	if err != nil {
		return out, fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return out, nil
}

// Dir is the server's data directory. Its user may write there, beside what the package comment lists.
func (s *Server) Dir() string { return s.dir.root }
