package compose

import (
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// docker is what a command of docker prints.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// images are those to test.
func images(t *testing.T) (taskgrove, tools string) {
	t.Helper()
	if os.Getenv("TASKGROVE_COMPOSE") == "" {
		t.Skip("needs docker and the images: make compose-test")
	}
	return os.Getenv("TASKGROVE_IMAGE"), os.Getenv("TASKGROVE_TOOLS_IMAGE")
}

// bare is a container that is given nothing: a uid that nobody knows, no rights, a root that can't be written, no network.
func bare(args ...string) []string {
	return append([]string{"run", "--rm", "--read-only", "--user", "12345:54321", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"}, args...)
}

// TestImage: it is small, runs as anybody, asks for nothing, and trusts whom Mozilla trusts.
func TestImage(t *testing.T) {
	image, _ := images(t)
	size, err := strconv.Atoi(docker(t, "inspect", "--format", "{{.Size}}", image))
	if err != nil || size >= 70e6 {
		t.Errorf("it has %d bytes, want less than 70 MB (%v)", size, err)
	}
	t.Logf("%.1f MB", float64(size)/1e6)
	if got := docker(t, bare(image, "version")...); !strings.HasPrefix(got, "taskgrove ") {
		t.Errorf("version: got %s", got)
	}
	var config struct {
		User        string
		Entrypoint  []string
		Healthcheck struct{ Test []string }
	}
	if err := json.Unmarshal([]byte(docker(t, "inspect", "--format", "{{json .Config}}", image)), &config); err != nil {
		t.Fatal(err)
	}
	if config.User != "65532:65532" || config.Entrypoint[0] != "/usr/local/bin/taskgrove" || strings.Join(config.Healthcheck.Test, " ") != "CMD /usr/local/bin/taskgrove health" {
		t.Errorf("got %+v", config)
	}
	id := docker(t, "create", image)
	defer docker(t, "rm", id)
	bundle := filepath.Join(t.TempDir(), "ca.crt")
	docker(t, "cp", id+":/etc/ssl/certs/ca-certificates.crt", bundle)
	text, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	authorities := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		authorities++
	}
	if authorities < 100 {
		t.Errorf("it trusts %d authorities, want those of Mozilla", authorities)
	}
}

func TestToolsImage(t *testing.T) {
	_, image := images(t)
	got := docker(t, bare("--tmpfs", "/tmp", "--entrypoint", "bash", image, "-ec",
		"git --version; python3 --version; python3 -m venv --without-pip /tmp/v; taskgrove version; id -u")...)
	got += docker(t, "run", "--rm", "--read-only", "--entrypoint", "ssh", image, "-V") // which wants a uid that it knows
	for _, want := range []string{"git version", "Python 3", "OpenSSH", "taskgrove ", "12345"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if user := docker(t, "inspect", "--format", "{{.Config.User}}", image); user != "65532:65532" {
		t.Errorf("it runs as %s", user)
	}
}

// TestLayersAreTheSame: the same files give the same layers in every build.
func TestLayersAreTheSame(t *testing.T) {
	images(t)
	made, err := filepath.Glob("../../bin/image/*")
	if err != nil || len(made) == 0 {
		t.Skip("make image has made no files here: nothing was built twice")
	}
	var layers []string
	for range 2 {
		cmd := exec.CommandContext(t.Context(), "docker", "build", "--no-cache", "-q", "--build-arg", "PREBUILT="+filepath.Base(made[0]),
			"--build-arg", "GO_IMAGE=debian:bookworm-slim", "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--target", "taskgrove", ".")
		cmd.Dir, cmd.Env = "../..", append(os.Environ(), "DOCKER_BUILDKIT=1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
		layers = append(layers, docker(t, "inspect", "--format", "{{json .RootFS.Layers}}", strings.TrimSpace(string(out))))
	}
	if layers[0] != layers[1] {
		t.Errorf("got\n%s, then\n%s", layers[0], layers[1])
	}
}
