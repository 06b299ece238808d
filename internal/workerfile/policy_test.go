package workerfile

import (
	"strings"
	"testing"
)

// TestPoliciesOfContainersAreChecked: a pattern that can't be read would allow nothing, or a maximum everything, and nobody would know.
func TestPoliciesOfContainersAreChecked(t *testing.T) {
	for text, want := range map[string][]string{
		"docker:\n    images: [alpine, Alpine, 'a:', 'a:1@sha256:x']\n": {
			"f:4:24: pools.p.docker.images[1]: want repository, repository:tag or repository@digest", "f:4:32: pools.p.docker.images[2]: want", "images[3]: want",
		},
		"docker:\n    host_namespaces: [pid, net]\n    devices: [null]\n": {"f:4:30: pools.p.docker.host_namespaces[1]: want pid, ipc", "f:5:17: pools.p.docker.devices[0]: want an absolute"},
		"docker:\n    networks: ['']\n    volumes: [a, '']\n":             {"f:4:18: pools.p.docker.networks[0]: is empty", "docker.volumes[1]: is empty"},
		"docker: {max_memory: 1MiB, max_pids: -1, pull: sometimes}\n":     {"docker.max_memory: no container runs with less", "docker: no limit is below 0", "docker.pull: want"},
		"docker:\n    mounts: [{path: data}]\n":                           {"f:4:17: pools.p.docker.mounts[0].path: want an absolute path"},
		"kubernetes: {}\n":                                                {"f:3:17: pools.p.kubernetes.namespaces: is missing"},
		"kubernetes: {namespaces: null}\n":                                {"pools.p.kubernetes.namespaces: want the names of namespaces"},
		"kubernetes:\n    namespaces: ['']\n    images: [A]\n":            {"f:4:20: pools.p.kubernetes.namespaces[0]: is empty", "f:5:16: pools.p.kubernetes.images[0]: want repository"},
		"kubernetes:\n    namespaces: [a]\n    max_cpu: many\n    default_memory: 0\n    max_memory: -1Gi\n    max_gpus: -1\n": {
			"f:5:7: pools.p.kubernetes.max_cpu: want a quantity", "f:6:23: pools.p.kubernetes.default_memory: want text", "f:7:7: pools.p.kubernetes.max_memory: want a quantity",
			"f:8:7: pools.p.kubernetes.max_gpus: no limit is below 0",
		},
		"kubernetes:\n    namespaces: [a]\n    template: {metadata: x, spec: {containers: {}}, containers: []}\n": {
			"f:5:18: pools.p.kubernetes.template.metadata: want an object", "template.spec: want an object; if it has containers", "template.containers: unknown key; known are: metadata, spec",
		},
		"kubernetes:\n    namespaces: [a]\n    template: [x]\n": {"pools.p.kubernetes.template: want an object with metadata and spec"},
		"{mode: enterprize, zip_drivers: [zipfile]}\n":          {"f:3:6: pools.p.mode: want internal_fast or enterprise", "pools.p.zip_drivers: only the mode enterprise has them"},
		"{mode: enterprise, zip_drivers: [zipfile, os]}\n":      {"pools.p.zip_drivers[1]: want pyzipper, zipfile or external"},
		"{mode: enterprise, files: {root: /srv}}\n":             {"pools.p.files.root: pools of the mode enterprise have no files but those of the job and of the bundle"},
		"files: {root: data, off: true}\n":                      {"f:3:13: pools.p.files.root: want an absolute path", "files.off: a pool has a root or no files, not both"},
	} {
		_, err := Parse("f", []byte("pools:\n  p:\n    "+strings.ReplaceAll(text, "\n    ", "\n      ")))
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%q:\n got %v\nwant %s", text, err, w)
			}
		}
	}
}

func TestPoliciesOfContainersPass(t *testing.T) {
	for _, text := range []string{
		`docker: {images: ["**", "a:*", "a/b@sha256:*", "registry.example:5000/team/**"], networks: ["team-*"], host_namespaces: [pid], devices: ["/dev/nvidia*"], max_memory: 1GiB}`,
		`kubernetes: {namespaces: [jobs, "team-*"], images: ["ghcr.io/acme/*"], max_cpu: 500m, max_memory: 1Gi, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: main}]}}}`,
		`kubernetes: {namespaces: [jobs], template: {spec: {hostNetwork: false}}}`,
		`files: {root: /srv/data, read_only: true}`,
		`mode: enterprise, zip_drivers: [zipfile, external]`, `mode: enterprise, zip_drivers: []`, `mode: internal_fast, files: {root: /srv}`, `mode: enterprise, files: {off: true}`,
	} {
		if _, err := Parse("f", []byte("pools: {p: {"+text+"}}")); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
