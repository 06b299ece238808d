// Command cabundle writes the certificates of the authorities that Mozilla trusts, as one PEM file for images that have no other.
//
//	go run -C tools ./cabundle -out /etc/ssl/certs/ca-certificates.crt
//
// They come from a module of the Go project, so that go.sum pins them and the same source gives the same file everywhere. It leaves
// out authorities that are trusted with a condition: PEM has no place for one.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func main() {
	out := flag.String("out", "ca-certificates.crt", "file to write")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "cabundle:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	var b strings.Builder
	written := 0
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return err
		}
		if root.Constraint != nil {
			fmt.Fprintf(os.Stderr, "cabundle: left out, as it is trusted with a condition: %s\n", cert.Subject)
			continue
		}
		fmt.Fprintf(&b, "# %s\n%s", cert.Subject, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		written++
	}
	if written < 50 {
		return fmt.Errorf("there are only %d authorities: the module can't be right", written)
	}
	return os.WriteFile(out, []byte(b.String()), 0o644)
}
