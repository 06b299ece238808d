package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// repository is where the source is.
const repository = "https://github.com/taskgrove/taskgrove"

// statement is an in-toto statement, version 1.
type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     predicate `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// predicate is SLSA provenance, version 1.
type predicate struct {
	Definition buildDefinition `json:"buildDefinition"`
	Details    runDetails      `json:"runDetails"`
}

type buildDefinition struct {
	Type       string            `json:"buildType"`
	External   map[string]string `json:"externalParameters"`
	Materials  []material        `json:"resolvedDependencies"`
	Parameters map[string]string `json:"internalParameters"`
}

type material struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest,omitempty"`
}

type runDetails struct {
	Builder map[string]string `json:"builder"`
}

// source is what was built, and by what.
type source struct{ version, commit, toolchain, command string }

var (
	sumLine = regexp.MustCompile(`^([0-9a-f]{64}) [ *](.+)$`)
	commit  = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// provenance says of all files in a list of sums that they were made of a commit.
func provenance(sums string, of source) (*statement, error) {
	if !commit.MatchString(of.commit) || of.version == "" || of.toolchain == "" {
		return nil, errors.New("provenance wants -version, -toolchain and the whole hash of a -commit")
	}
	subjects, err := readSums(sums)
	if err != nil {
		return nil, err
	}
	return &statement{
		Type: "https://in-toto.io/Statement/v1", Subject: subjects, PredicateType: "https://slsa.dev/provenance/v1",
		Predicate: predicate{
			Definition: buildDefinition{
				Type:       repository + "/blob/main/docs/supply.md#provenance",
				External:   map[string]string{"command": of.command, "version": of.version, "repository": repository},
				Parameters: map[string]string{"toolchain": of.toolchain},
				Materials: []material{
					{URI: "git+" + repository + "@" + of.commit, Digest: map[string]string{"gitCommit": of.commit}},
					{URI: "pkg:golang/golang.org/toolchain@" + of.toolchain},
				},
			},
			Details: runDetails{Builder: map[string]string{"id": repository + "/blob/main/Makefile"}},
		},
	}, nil
}

// readSums reads what sha256sum writes.
func readSums(path string) (all []subject, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		m := sumLine.FindStringSubmatch(lines.Text())
		if m == nil {
			return nil, fmt.Errorf("%s: no sum: %s", path, lines.Text())
		}
		all = append(all, subject{Name: strings.TrimSpace(m[2]), Digest: map[string]string{"sha256": m[1]}})
	}
	if len(all) == 0 && lines.Err() == nil {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return all, lines.Err()
}
