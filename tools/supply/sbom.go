package main

import (
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// bom is a bill of materials as CycloneDX 1.6 has it, as far as we fill it.
type bom struct {
	Format       string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	Serial       string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     bomMetadata  `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type bomMetadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Purl       string     `json:"purl,omitempty"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref  string   `json:"ref"`
	Uses []string `json:"dependsOn,omitempty"`
}

// sbom is the bill of materials of a program: what was linked into it, and of the files that an image has beside it.
func sbom(binary, version string, files []string) (*bom, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	sum, err := sumOf(binary)
	if err != nil {
		return nil, err
	}
	program := component{
		Type: "application", Ref: "taskgrove", Name: "taskgrove", Version: version, Purl: purl(info.Main.Path, version), Hashes: []hash{{"SHA-256", sum}},
		Properties: settings(info.Settings),
	}
	b := &bom{Format: "CycloneDX", SpecVersion: "1.6", Serial: serial(sum), Version: 1, Metadata: bomMetadata{program}}
	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	b.Components = append(b.Components, component{Type: "library", Ref: purl("std", goVersion), Name: "std", Version: goVersion, Purl: purl("std", goVersion)})
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		b.Components = append(b.Components, component{
			Type: "library", Ref: purl(m.Path, m.Version), Name: m.Path, Version: m.Version, Purl: purl(m.Path, m.Version),
			Properties: []property{{"taskgrove:go.sum", m.Sum}},
		})
	}
	for _, file := range files {
		c, err := besides(file)
		if err != nil {
			return nil, err
		}
		b.Components = append(b.Components, c)
	}
	slices.SortFunc(b.Components, func(x, y component) int { return cmp.Compare(x.Ref, y.Ref) })
	all := dependency{Ref: program.Ref}
	for _, c := range b.Components {
		all.Uses = append(all.Uses, c.Ref)
	}
	b.Dependencies = []dependency{all}
	return b, nil
}

// settings are those of the build that change what it makes.
func settings(all []debug.BuildSetting) (out []property) {
	for _, s := range all {
		if s.Key == "-tags" || s.Key == "-trimpath" || s.Key == "CGO_ENABLED" || s.Key == "GOOS" || s.Key == "GOARCH" || s.Key == "GOAMD64" || s.Key == "GOARM64" {
			out = append(out, property{"taskgrove:build:" + s.Key, s.Value})
		}
	}
	return out
}

// besides is a file of an image: PATH=NAME@VERSION.
func besides(text string) (component, error) {
	path, from, ok := strings.Cut(text, "=")
	name, version, versioned := strings.Cut(from, "@")
	if !ok || !versioned {
		return component{}, fmt.Errorf("-file %s: want PATH=NAME@VERSION", text)
	}
	sum, err := sumOf(path)
	if err != nil {
		return component{}, err
	}
	return component{
		Type: "data", Ref: filepath.Base(path), Name: filepath.Base(path), Version: version, Hashes: []hash{{"SHA-256", sum}},
		Properties: []property{{"taskgrove:made-of", purl(name, version)}},
	}, nil
}

func purl(path, version string) string { return "pkg:golang/" + path + "@" + version }

func sumOf(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// serial is a UUID made of what is described: another program has another one.
func serial(sum string) string {
	s := sha256.Sum256([]byte("taskgrove sbom " + sum))
	s[6], s[8] = s[6]&0x0f|0x80, s[8]&0x3f|0x80 // version 8: made as we like
	x := hex.EncodeToString(s[:16])
	return "urn:uuid:" + x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}
