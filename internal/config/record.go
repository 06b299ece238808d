package config

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Record says what is recorded of changes and refusals.
type Record struct {
	AuditRecord    AuditMode     `envconfig:"AUDIT_RECORD" default:"auto" desc:"record who changes what, and who is refused ([audit record](audit.md)); auto: where callers are asked who they are"`
	AuditRetention time.Duration `envconfig:"AUDIT_RETENTION" default:"9600h" min:"0s" desc:"how long entries of the audit record are kept; 0: for ever"`
	AuditKeyFile   string        `envconfig:"AUDIT_KEY_FILE" desc:"file with a key of the hashes of the audit record, 32 bytes or more in a line, the same in all coordinators: so that who can write Postgres can't rewrite the record. Further lines are keys of older entries; empty: hashes have no key"`
	AuditLog       string        `envconfig:"AUDIT_LOG" desc:"file to which the coordinator appends the entries of the audit record that it makes, as lines of JSON; -: standard output; empty: nowhere"`
}

// AuditMode says whether there is an audit record: auto, yes or no.
type AuditMode string

func (m *AuditMode) takes() string { return "auto, yes or no" }

// Decode implements envconfig.Decoder.
func (m *AuditMode) Decode(text string) error {
	*m = AuditMode(strings.ToLower(strings.TrimSpace(text)))
	if !slices.Contains([]AuditMode{"auto", "yes", "no"}, *m) {
		return errors.New("none of these")
	}
	return nil
}
