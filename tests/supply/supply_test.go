package supply

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

//go:generate go test -run TestImageList -update .

var update = flag.Bool("update", false, "write the list of images again")

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tool runs tools/supply and reads what it wrote.
func tool(t *testing.T, into any, args ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.json")
	cmd := exec.Command("go", append([]string{"run", "-C", "../../tools", "./supply", args[0], "-out", out}, args[1:]...)...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("supply %v: %v\n%s", args, err, text)
	}
	text, err := os.ReadFile(out)
	must(t, err)
	must(t, json.Unmarshal(text, into))
	return text
}

// TestSBOMNamesWhatIsLinked, with this test's own program as the one that is described.
func TestSBOMNamesWhatIsLinked(t *testing.T) {
	program, err := os.Executable()
	must(t, err)
	bundle := filepath.Join(t.TempDir(), "roots.crt")
	must(t, os.WriteFile(bundle, []byte("roots"), 0o600))
	var got struct {
		BOMFormat, SpecVersion, SerialNumber string
		Metadata                             struct{ Component struct{ Version string } }
		Components                           []struct{ Name, Version, Purl string }
	}
	args := []string{"sbom", "-binary", program, "-version", "1.2.3", "-file", bundle + "=example.org/roots@v1.0.0"}
	first := tool(t, &got, args...)
	if got.BOMFormat != "CycloneDX" || got.SpecVersion != "1.6" || !strings.HasPrefix(got.SerialNumber, "urn:uuid:") || got.Metadata.Component.Version != "1.2.3" {
		t.Errorf("got %+v", got)
	}
	if again := tool(t, &got, args...); string(again) != string(first) {
		t.Error("the same program has another bill the second time")
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		t.Fatal("no build info")
	}
	want := map[string]bool{"std": true, "roots.crt": true}
	for _, m := range info.Deps {
		want[m.Path] = true
	}
	for _, c := range got.Components {
		if delete(want, c.Name); c.Version == "" || c.Purl == "" && c.Name != "roots.crt" {
			t.Errorf("%+v", c)
		}
	}
	if len(want) > 0 {
		t.Errorf("not named: %v", want)
	}
}

func TestProvenanceNamesAllFiles(t *testing.T) {
	sums := filepath.Join(t.TempDir(), "SHA256SUMS")
	must(t, os.WriteFile(sums, fmt.Appendf(nil, "%s  a.tar.gz\n%s  b.json\n", strings.Repeat("a1", 32), strings.Repeat("b2", 32)), 0o600))
	var got struct {
		Type    string `json:"_type"`
		Subject []struct {
			Name   string
			Digest map[string]string
		}
		PredicateType string
		Predicate     struct {
			BuildDefinition struct {
				ResolvedDependencies []struct {
					URI    string
					Digest map[string]string
				}
			}
		}
	}
	commit := strings.Repeat("c3", 20)
	tool(t, &got, "provenance", "-sums", sums, "-version", "1.2.3", "-commit", commit, "-toolchain", "go1.27.3")
	if got.Type != "https://in-toto.io/Statement/v1" || got.PredicateType != "https://slsa.dev/provenance/v1" ||
		len(got.Subject) != 2 || got.Subject[1].Name != "b.json" || got.Subject[1].Digest["sha256"] != strings.Repeat("b2", 32) ||
		got.Predicate.BuildDefinition.ResolvedDependencies[0].Digest["gitCommit"] != commit {
		t.Errorf("got %+v", got)
	}
}

// TestSignaturesVerifyOffline runs the commands of docs/supply.md: they pass for what was signed, and fail for a changed byte, for a file that is
// not what the sums say, and for another's key.
func TestSignaturesVerifyOffline(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("ssh-keygen is not installed: no signature was checked")
	}
	page, err := os.ReadFile("../../docs/supply.md")
	must(t, err)
	commands := regexp.MustCompile("(?s)```sh verify\n(.*?)```").FindStringSubmatch(string(page))
	if commands == nil {
		t.Fatal("docs/supply.md has no commands that verify")
	}
	sign := func(t *testing.T) string {
		dir := t.TempDir()
		key := filepath.Join(t.TempDir(), "key")
		sh(t, dir, "ssh-keygen -q -t ed25519 -N '' -C release -f "+key)
		must(t, os.WriteFile(filepath.Join(dir, "a.tar.gz"), []byte("an archive"), 0o600))
		sh(t, dir, "sha256sum a.tar.gz >SHA256SUMS; printf 'release@taskgrove %s\\n' \"$(cat "+key+".pub)\" >allowed_signers")
		root, err := filepath.Abs("../..")
		must(t, err)
		sh(t, root, "tools/sign.sh "+key+" "+dir)
		return dir
	}
	for _, c := range []struct {
		fact   string
		change func(t *testing.T, dir string)
		fails  bool
	}{
		{"nothing was changed", func(*testing.T, string) {}, false},
		{"a byte of a file", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "a.tar.gz"), []byte("an Archive"), 0o600))
		}, true},
		{"a file and its sum", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "a.tar.gz"), []byte("an Archive"), 0o600))
			sh(t, dir, "sha256sum a.tar.gz >SHA256SUMS")
		}, true},
		{"another's key", func(t *testing.T, dir string) {
			other := sign(t)
			sh(t, dir, "cp "+other+"/SHA256SUMS.sig .")
		}, true},
	} {
		t.Run(c.fact, func(t *testing.T) {
			dir := sign(t)
			c.change(t, dir)
			cmd := exec.Command("bash", "-ec", commands[1])
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); (err != nil) != c.fails {
				t.Errorf("got %v\n%s", err, out)
			}
		})
	}
}

func sh(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.Command("bash", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

var (
	imageKey     = regexp.MustCompile(`(?m)^\s+image: (\S+)$`)
	withDefault  = regexp.MustCompile(`\$\{[A-Z_]+:-([^}]*)\}`)
	ofRepository = regexp.MustCompile(`(?m)^\s*repository: (\S+)\n(?:\s*#.*\n)*\s*tag: (\S+)$`)
	appVersion   = regexp.MustCompile(`(?m)^appVersion: "?([\d.]+)"?$`)
	versioned    = regexp.MustCompile(`(?m)^(taskgrove[a-z-]*):\d+\.\d+\.\d+$`)
)

// TestImageList: deploy/images.txt has each image that compose.yaml and the chart name, and compose.yaml the images of the chart's version.
func TestImageList(t *testing.T) {
	const path = "../../deploy/images.txt"
	text := func(name string) string {
		content, err := os.ReadFile("../../" + name)
		must(t, err)
		return string(content)
	}
	chart := appVersion.FindStringSubmatch(text("charts/taskgrove/Chart.yaml"))
	if chart == nil {
		t.Fatal("charts/taskgrove/Chart.yaml names no appVersion")
	}
	var images []string
	for _, m := range imageKey.FindAllStringSubmatch(text("compose.yaml"), -1) {
		images = append(images, withDefault.ReplaceAllString(m[1], "$1"))
	}
	for _, m := range ofRepository.FindAllStringSubmatch(text("charts/taskgrove/values.yaml"), -1) {
		images = append(images, m[1]+":"+strings.Trim(m[2], `"`))
	}
	slices.Sort(images)
	images = slices.DeleteFunc(slices.Compact(images), func(name string) bool { return strings.HasSuffix(name, ":") }) // of the chart's own version
	want := "# Generated by \"go generate ./tests/supply\" from compose.yaml and charts/taskgrove/values.yaml. Do not edit.\n" + strings.Join(images, "\n") + "\n"
	if *update {
		must(t, os.WriteFile(path, []byte(want), 0o644))
	}
	if text("deploy/images.txt") != want {
		t.Errorf("deploy/images.txt is not what compose.yaml and the chart name: run go generate ./tests/supply")
	}
	for _, m := range versioned.FindAllString(want, -1) {
		if !strings.HasSuffix(m, ":"+chart[1]) {
			t.Errorf("compose.yaml names %s, and the chart is of %s", m, chart[1])
		}
	}
}

// TestMirroredNames: the script tags images as the chart names them under a registry.
func TestMirroredNames(t *testing.T) {
	cmd := exec.Command("../../deploy/images.sh", "tag", "registry.example:5000/mirror")
	cmd.Env = append(os.Environ(), "DOCKER=true", "IMAGES=taskgrove:1 prom/prometheus:v3 quay.example/prom/prometheus:v3 localhost:5000/nats:2")
	out, err := cmd.CombinedOutput()
	must(t, err)
	want := "registry.example:5000/mirror/taskgrove:1\nregistry.example:5000/mirror/prom/prometheus:v3\nregistry.example:5000/mirror/prom/prometheus:v3\nregistry.example:5000/mirror/nats:2\n"
	if string(out) != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}
