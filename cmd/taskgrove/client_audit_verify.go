package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/internal/record"
)

// maxEntryBytes is how long a line of an export may be.
const maxEntryBytes = 1 << 20

// maxFaultsShown is how many faults of an export are shown; more are counted.
const maxFaultsShown = 1000

func auditVerifyCommand() *cobra.Command {
	var noted []string
	keyFile, partial := "", false
	cmd := clientCommand("verify [FILE]", "Check that nobody changed the record",
		"Makes a coordinator check the chain of the whole record; with FILE, checks lines that \"audit export\" or a mirror wrote, here, without a cluster\n"+
			"(-: standard input). --head is a head that was noted before: the check prints the present one. Prints one line for each fault.\n"+
			"Exit code 0: none was found; 6: some were.", cobra.MaximumNArgs(1), nil)
	online := func(ctx context.Context, s *session, _ []string) error {
		heads, err := parseHeads(noted)
		if err != nil {
			return err
		}
		if keyFile != "" || partial {
			return usage("--key-file and --partial are for a FILE: the coordinator has keys of its own, and checks all")
		}
		return s.verifyRecord(ctx, heads)
	}
	run(cmd, online)
	connected := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return connected(cmd, args)
		}
		heads, err := parseHeads(noted)
		if err != nil {
			return err
		}
		keys, err := readRecordKeys(keyFile)
		if err != nil {
			return codedError{err, exitUsage}
		}
		out := &session{in: cmd.InOrStdin(), out: cmd.OutOrStdout(), notes: harmlessWriter{cmd.ErrOrStderr()}, format: cmd.Flag("output").Value.(*formatFlag).format}
		return out.verifyFile(args[0], record.NewChecker(keys, partial, heads...))
	}
	cmd.ValidArgsFunction = nil
	cmd.Flags().StringArrayVar(&noted, "head", nil, "SEQ:HASH that must be in the record; may be repeated")
	cmd.Flags().StringVar(&keyFile, "key-file", "", "with FILE: file with the keys of the hashes, as TASKGROVE_AUDIT_KEY_FILE")
	cmd.Flags().BoolVar(&partial, "partial", false, "with FILE: it has only some entries, such as those of one namespace or coordinator")
	return cmd
}

func parseHeads(texts []string) (heads []record.Head, err error) {
	for _, text := range texts {
		head, err := record.ParseHead(text)
		if err != nil {
			return nil, usage("--head: %v", err)
		}
		heads = append(heads, head)
	}
	return heads, nil
}

func readRecordKeys(path string) (record.Keys, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--key-file: %w", err)
	}
	keys, err := record.ParseKeys(string(text))
	if err != nil {
		return nil, fmt.Errorf("--key-file: %s: %w", path, err)
	}
	return keys, nil
}

// verifyRecord has a coordinator check the record.
func (s *session) verifyRecord(ctx context.Context, heads []record.Head) error {
	noted := make([]client.AuditHead, len(heads))
	for i, h := range heads {
		noted[i] = client.AuditHead{Seq: h.Seq, Hash: h.Hash}
	}
	faults := 0
	for report, err := range s.VerifyAudit(ctx, noted...) {
		if err != nil {
			return err
		}
		for _, f := range report.Faults {
			faults++
			if err := s.printFault(record.Fault(f)); err != nil {
				return err
			}
		}
		if report.Done {
			return s.verified(report.Entries, report.Unchecked, record.Head{Seq: report.Head.Seq, Hash: report.Head.Hash}, faults)
		}
	}
	return errors.New("the check of the record ended before the record did")
}

func (s *session) printFault(f record.Fault) error {
	return s.print(f, func(w io.Writer) { fmt.Fprintln(w, oneLine(fmt.Sprintf("%s  entry %d  %s", f.Kind, f.Seq, f.Text))) })
}

// verified says what a check came to.
func (s *session) verified(entries, unchecked int64, head record.Head, faults int) error {
	text := fmt.Sprintf("%d entries", entries)
	if head.Seq > 0 {
		text += ", head " + head.String()
	}
	if unchecked > 0 {
		text += fmt.Sprintf("; of %d only the links were checked, as the keys of their hashes are not here", unchecked)
	}
	if err := s.note("%s", text); err != nil {
		return err
	}
	if faults > 0 {
		return codedError{fmt.Errorf("faults found: %d", faults), exitViolations}
	}
	return s.note("no faults found")
}

// verifyFile checks lines of JSON.
func (s *session) verifyFile(path string, check *record.Checker) error {
	in := s.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	faults := 0
	tell := func(found []record.Fault) error {
		for _, f := range found {
			if faults++; faults > maxFaultsShown {
				continue
			}
			if err := s.printFault(f); err != nil {
				return err
			}
		}
		return nil
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxEntryBytes)
	for n := 1; lines.Scan(); n++ {
		entry := &record.Entry{}
		dec := json.NewDecoder(strings.NewReader(lines.Text()))
		dec.DisallowUnknownFields()
		if err := dec.Decode(entry); err != nil {
			return codedError{fmt.Errorf("%s: line %d is no entry of the record: %w", path, n, err), exitViolations}
		}
		if err := tell(check.Add(entry)); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := tell(check.End()); err != nil {
		return err
	}
	entries, unchecked := check.Entries()
	return s.verified(entries, unchecked, check.Head(), faults)
}
