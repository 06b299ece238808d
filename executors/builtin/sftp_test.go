package builtin_test

import (
	"encoding/json"
	"net"
	"path/filepath"
	"testing"

	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/ssh/sshtest"
)

func init() {
	parts["sftp_list_files"] = func(t *testing.T, _ *builtin.Config) conformance.Features {
		return sftpFeatures(t, "sftp_list_files", map[string]any{"min_count": 0}, "remote_dir", "has_data", "count", "files")
	}
	parts["sftp_download_files"] = func(t *testing.T, _ *builtin.Config) conformance.Features {
		return sftpFeatures(t, "sftp_download_files", map[string]any{"files": []string{}, "dest_dir": "in"}, "files", "local_files", "dest_dir")
	}
	parts["sftp_delete_files"] = func(t *testing.T, _ *builtin.Config) conformance.Features {
		return sftpFeatures(t, "sftp_delete_files", map[string]any{"files": []string{"/no/such/file"}}, "files", "is_deleted")
	}
	parts["sftp_upload_files"] = func(t *testing.T, _ *builtin.Config) conformance.Features {
		return sftpFeatures(t, "sftp_upload_files", map[string]any{"items": []string{}}, "items", "manifest", "count")
	}
}

// sftpFeatures are those of a step at an OpenSSH server, which ends with the test; where there is none, the test is skipped.
func sftpFeatures(t *testing.T, id string, own map[string]any, required string, demo ...string) conformance.Features {
	host := sshtest.For(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	in := func(more map[string]any) string {
		all := map[string]any{"host": "127.0.0.1", "port": host.Port, "user": host.User, "private_key": host.Read("id"), "host_key": host.Read("host.pub")}
		if required == "remote_dir" || required == "items" {
			all["remote_dir"] = filepath.Join(t.TempDir(), "remote")
		}
		if id == "sftp_list_files" {
			all["remote_dir"] = t.TempDir()
		}
		for _, fields := range []map[string]any{own, more} {
			for name, value := range fields {
				if all[name] = value; value == nil {
					delete(all, name)
				}
			}
		}
		text, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const secret = "hunter2-canary"
	nobody := silent.Addr().(*net.TCPAddr).Port
	return conformance.Features{
		Quick:    in(nil),
		Slow:     in(map[string]any{"port": nobody, "timeout": 600}),
		Missing:  map[string]string{in(map[string]any{required: nil}): "[" + id + "] " + required + " is required in inputs"},
		TimesOut: map[string]string{in(map[string]any{"port": nobody, "timeout": 0.3}): "the server did not answer for 300ms"},
		Failing: []string{
			in(map[string]any{"private_key": nil, "password": secret}),
			in(map[string]any{"private_key": secret}),
			in(map[string]any{"passphrase": secret, "user": "nobody-like-that"}),
		},
		Secret: secret,
		Demo:   map[string][]string{in(nil): demo},
	}
}
