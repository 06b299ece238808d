package python

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// ourPrefix begins variables that say something of the attempt or of the worker.
const ourPrefix = "TASKGROVE_"

// forUV names the variables by which operators tell uv where packages and interpreters come from. Code never sees them, as they may hold
// passwords; nor does a package's build, as nothing is built unless the operator says so.
var forUV = []string{
	"UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INDEX_STRATEGY", "UV_FIND_LINKS", "UV_INSECURE_HOST", "UV_NATIVE_TLS",
	"UV_SYSTEM_CERTS", "UV_CONFIG_FILE", "UV_PYTHON_DOWNLOADS", "UV_PYTHON_INSTALL_DIR", "UV_PYTHON_INSTALL_MIRROR", "UV_PYTHON_PREFERENCE", "UV_HTTP_TIMEOUT",
	"UV_EXCLUDE_NEWER", "UV_OFFLINE", "NETRC", "PYENV_ROOT", "PYENV_VERSION",
}

// indexes name the variables that hold addresses of registries.
var indexes = []string{"UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_PYTHON_INSTALL_MIRROR"}

// environ is the complete environment of the code; later variables win.
func (j *job) environ() []string {
	env := slices.Clone(j.e.env)
	for name, value := range j.in.Env {
		env = append(env, name+"="+value)
	}
	for _, v := range j.call.Environ() {
		env = append(env, v.Name+"="+v.Value)
	}
	for name, value := range j.in.files {
		env = append(env, name+"="+value)
	}
	return env
}

// findUV is the path of uv.
func findUV(named string) (string, error) {
	if named == "" {
		named = "uv"
	}
	found, err := exec.LookPath(named)
	if err != nil {
		return "", fmt.Errorf("uv, which makes environments, was not found (%s)", named)
	}
	return filepath.Abs(found)
}

// bundles are where machines have their authorities.
var bundles = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}

// authorities is a file of the machine's authorities and the operator's, for programs that know of one file only; empty: the machine's are
// all.
func (j *job) authorities() (string, error) {
	own := cmp.Or(j.e.file.File().Pool(j.call.Pool).CAFile, j.e.cfg.CAFile)
	if own == "" {
		return "", nil
	}
	var all strings.Builder
	for _, bundle := range append([]string{os.Getenv("SSL_CERT_FILE")}, bundles...) {
		if text, err := os.ReadFile(bundle); err == nil {
			all.Write(text)
			all.WriteString("\n")
			break
		}
	}
	text, err := os.ReadFile(own)
	if err != nil {
		return "", fmt.Errorf("read the authorities: %w", err)
	}
	all.Write(text)
	file := filepath.Join(j.dir, "authorities.pem")
	return file, os.WriteFile(file, []byte(all.String()), 0o600)
}
