package zipfile_test

import (
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/zipfile"
)

// TestAllowedDrivers: a pool that names drivers takes no other, and no task that names none.
func TestAllowedDrivers(t *testing.T) {
	dir := place(t, "a")
	for _, row := range []struct {
		allowed []string
		driver  string
		refused bool
	}{
		{nil, "null", false}, {nil, `"zipfile"`, false}, {[]string{"zipfile"}, `"zipfile"`, false}, {[]string{"zipfile"}, "null", true}, {[]string{"zipfile"}, `""`, true}, {[]string{"zipfile"}, `"archive"`, true},
		{[]string{"zipfile"}, `"pyzipper"`, true}, {[]string{"pyzipper"}, `"zipfile"`, true}, {[]string{}, `"zipfile"`, true}, {[]string{"zipfile"}, `"external"`, true}, {[]string{"pyzipper"}, `"aes"`, false},
	} {
		c := external(dir)
		c.Archives = func(string) []string { return row.allowed }
		password := ""
		if row.driver == `"aes"` {
			password = `, "password": "p"`
		}
		for e, in := range map[executors.Executor]string{
			zipfile.NewZip(c): `{"dest_path": "@/z.zip", "items": ["a"], "src_dir": "@", "driver": ` + row.driver + password + `}`, zipfile.NewUnzip(c): `{"archives": [], "dest_dir": "@/to", "driver": ` + row.driver + password + `}`,
		} {
			_, err := run(t, e, dir, in)
			if refused := err != nil && strings.Contains(err.Error(), "pools of the mode enterprise want a resource"); refused != row.refused || refused && !executors.IsPermanent(err) || !refused && err != nil {
				t.Errorf("%v, %s: %v", row.allowed, row.driver, err)
			}
		}
	}
}
