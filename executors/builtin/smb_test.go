package builtin_test

import (
	"encoding/json"
	"net"
	"testing"

	"github.com/taskgrove/taskgrove/executors/builtin"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/smb/smbtest"
)

func init() {
	parts["smb_list_files"] = func(t *testing.T, _ *builtin.Config) conformance.Features {
		return smbFeatures(t, "smb_list_files", map[string]any{"min_count": 0}, "remote_dir", "has_data", "count", "files")
	}
	parts["smb_download_files"] = func(t *testing.T, _ *builtin.Config) conformance.Features {
		return smbFeatures(t, "smb_download_files", map[string]any{"files": []string{}, "dest_dir": "in"}, "files", "local_files", "dest_dir")
	}
	parts["smb_delete_files"] = func(t *testing.T, _ *builtin.Config) conformance.Features {
		return smbFeatures(t, "smb_delete_files", map[string]any{"files": []string{"/no/such/file"}}, "files", "is_deleted")
	}
	parts["smb_upload_files"] = func(t *testing.T, _ *builtin.Config) conformance.Features {
		return smbFeatures(t, "smb_upload_files", map[string]any{"local_files": []string{}}, "local_files", "manifest", "count")
	}
}

// smbFeatures are those of a step at a Samba server, which ends with the test; where there is none, the test is skipped.
func smbFeatures(t *testing.T, id string, own map[string]any, required string, demo ...string) conformance.Features {
	host := smbtest.Start(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	in := func(more map[string]any) string {
		all := map[string]any{"server": "127.0.0.1", "share": smbtest.Share, "port": host.Port, "username": host.User, "password": smbtest.Password}
		if required == "remote_dir" || required == "local_files" {
			all["remote_dir"] = "/"
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
	const secret = "other-canary"
	nobody := silent.Addr().(*net.TCPAddr).Port
	return conformance.Features{
		Quick:    in(nil),
		Slow:     in(map[string]any{"port": nobody, "timeout": 600}),
		Missing:  map[string]string{in(map[string]any{required: nil}): "[" + id + "] " + required + " is required in inputs"},
		TimesOut: map[string]string{in(map[string]any{"port": nobody, "timeout": 0.3}): "the server did not answer for 300ms"},
		Failing: []string{
			in(map[string]any{"password": secret}),
			in(map[string]any{"password": secret, "username": "nobody-like-that"}),
		},
		Secret: secret,
		Demo:   map[string][]string{in(nil): demo},
	}
}
