package node

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/internal/config"
)

func TestLogFormat(t *testing.T) {
	for _, tt := range []struct {
		format   config.LogFormat
		terminal bool
		json     bool
	}{{"auto", true, false}, {"auto", false, true}, {"text", false, false}, {"json", true, true}} {
		var out bytes.Buffer
		log := slog.New(handler(config.Log{Level: config.Level(slog.LevelWarn), Format: tt.format}, &out, tt.terminal))
		log.Info("quiet")
		log.Warn("heard")
		if strings.HasPrefix(out.String(), "{") != tt.json || strings.Contains(out.String(), "quiet") {
			t.Errorf("%s, terminal %t: got %s", tt.format, tt.terminal, out.String())
		}
	}
}
