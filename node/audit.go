package node

import (
	"fmt"

	"github.com/taskgrove/taskgrove/coordinator"
	"github.com/taskgrove/taskgrove/internal/config"
)

// auditConfig says whether there is an audit record; the keys of its hashes are read when the process starts.
type auditConfig struct{ mode, keyFile string }

// recordCalls has the coordinator keep an audit record, if the settings say so. asked: callers are asked who they are.
func (p *coordinatorParts) recordCalls(asked bool) (err error) {
	into := &p.coordinator.Record
	into.On = p.audit.mode == "yes" || p.audit.mode == "auto" && asked
	if !into.On {
		return nil
	}
	if p.audit.keyFile != "" {
		text, err := readSecret(p.audit.keyFile)
		if err == nil {
			into.Keys, err = coordinator.ParseRecordKeys(text)
		}
		if err != nil {
			return fmt.Errorf("%sAUDIT_KEY_FILE: %s: %w", config.Prefix, p.audit.keyFile, err)
		}
	}
	if err := into.Check(); err != nil {
		return fmt.Errorf("%sAUDIT_LOG: %w", config.Prefix, err)
	}
	return nil
}
