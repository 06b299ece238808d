// Command supply writes what says where a release comes from: the parts of a binary, and how all files of a release were made.
//
//	supply sbom -binary FILE -version VERSION [-file PATH=NAME@VERSION...] -out FILE     CycloneDX 1.6, JSON
//	supply provenance -sums SHA256SUMS -version VERSION -commit HASH -out FILE           an in-toto statement with SLSA provenance 1.0
//
// It reads what the Go linker wrote into the binary, asks nobody, and gives the same bytes for the same files.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "supply:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("wants sbom or provenance")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	out := flags.String("out", "", "file to write")
	version := flags.String("version", "", "version of the release")
	var document any
	var err error
	switch args[0] {
	case "sbom":
		binary := flags.String("binary", "", "program to read")
		var files list
		flags.Var(&files, "file", "PATH=NAME@VERSION: a file beside the binary in an image, and what it was made of; may be repeated")
		if err = flags.Parse(args[1:]); err == nil {
			document, err = sbom(*binary, *version, files)
		}
	case "provenance":
		sums := flags.String("sums", "", "file of SHA-256 sums, as sha256sum writes it")
		commit := flags.String("commit", "", "hash of the commit")
		toolchain := flags.String("toolchain", "", "Go that compiled")
		command := flags.String("command", "make release", "command that made the files")
		if err = flags.Parse(args[1:]); err == nil {
			document, err = provenance(*sums, source{*version, *commit, *toolchain, *command})
		}
	default:
		return fmt.Errorf("%s is neither sbom nor provenance", args[0])
	}
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*out, append(text, '\n'), 0o644)
}

// list is a flag that may be repeated.
type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

// Set implements flag.Value.
func (l *list) Set(text string) error {
	*l = append(*l, text)
	return nil
}
