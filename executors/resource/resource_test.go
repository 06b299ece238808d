package resource

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestDrivers: each driver has what its needs name, and each setting one place.
func TestDrivers(t *testing.T) {
	for i := range drivers {
		d := &drivers[i]
		if found, bad := Find(d.Kind, d.Name); found != d || bad != nil {
			t.Errorf("%s:%s: found %v, %v", d.Kind, d.Name, found, bad)
		}
		if len(d.Types()) == 0 {
			t.Errorf("%s:%s has no type", d.Kind, d.Name)
		}
		for _, one := range d.needs {
			for _, path := range one {
				if d.find("config", path) == nil {
					t.Errorf("%s:%s needs %s, which it has not", d.Kind, d.Name, path)
				}
			}
		}
		for _, part := range []string{"config", "options"} {
			var all []string
			for _, k := range d.keys(part) {
				all = append(append(all, k.path), k.also...)
			}
			slices.Sort(all)
			if len(slices.Compact(slices.Clone(all))) != len(all) {
				t.Errorf("%s:%s has a setting twice: %v", d.Kind, d.Name, all)
			}
		}
	}
	for text, want := range map[string]string{"db postgre": "did you mean postgres?", "dbs postgres": "did you mean db?", "archive pyminizip": "write pyzipper", "db x": "there are", "x y": "there are archive, db, mail"} {
		kind, name, _ := strings.Cut(text, " ")
		if _, bad := Find(kind, name); bad == nil || !strings.Contains(bad.Reason, want) {
			t.Errorf("%s: %v", text, bad)
		}
	}
}

// TestMerge: the layer above wins, maps key by key; lists of paths are put together; nothing is changed.
func TestMerge(t *testing.T) {
	under := Part{Config: map[string]any{"a": 1, "m": map[string]any{"x": 1, "y": 2}, "l": []any{1}, "n": 3}, Decode: map[string]any{"config": map[string]any{"a": true, "b": true}, "config_paths": []any{"p", "q"}}}
	over := Part{Config: map[string]any{"m": map[string]any{"y": 3, "z": 4}, "l": []any{2}, "n": nil, "a": map[string]any{"b": 1}}, Options: map[string]any{"o": 1}, Decode: map[string]any{"config": map[string]any{"b": false}, "config_paths": []any{"q", "r"}}}
	before := fmt.Sprint(under, over)
	got := fmt.Sprint(Merge(under, over))
	want := fmt.Sprint(Part{Config: map[string]any{"a": map[string]any{"b": 1}, "m": map[string]any{"x": 1, "y": 3, "z": 4}, "l": []any{2}, "n": nil}, Options: map[string]any{"o": 1},
		Decode: map[string]any{"config": map[string]any{"a": true, "b": false}, "config_paths": []any{"p", "q", "r"}}})
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if again := fmt.Sprint(Merge(Without(under, over), over)); again != want {
		t.Errorf("without what is overridden: %s", again)
	}
	if fmt.Sprint(under, over) != before {
		t.Error("a layer was changed")
	}
	merged := Merge(under, over)
	if paths, faults := merged.DecodePaths(); len(faults) > 0 || strings.Join(paths, " ") != "config.a config.p config.q config.r" {
		t.Errorf("decoded are %v, %v", paths, faults)
	}
}

// TestConnect: what becomes of the resources that AetherFlow has.
func TestConnect(t *testing.T) {
	for _, row := range []struct {
		kind, name string
		part       Part
		want       string // fields, or the first fault
	}{
		{"rest", "httpx", Part{Config: map[string]any{"base_url": "https://h/v2/", "headers": map[string]any{"X": "y"}, "bearer_token": "t"}, Options: map[string]any{"timeouts": map[string]any{"total": "5"}, "verify_ssl": "False", "retries": 2}},
			"http base_url=https://h/v2 auth_headers=map[X:y] auth=map[token:t type:bearer] timeout=5 verify=false retries=2"},
		{"mail", "smtp", Part{Config: map[string]any{"host": "m", "port": 25.0, "starttls": false, "from_addr": "a@b"}, Options: map[string]any{"retry": map[string]any{"max_attempts": 3.0}}}, "smtp host=m port=25 starttls=false from_addr=a@b retry=map[max_attempts:3]"},
		{"sftp", "paramiko", Part{Config: map[string]any{"host": "s", "username": "u", "pkey_path": "/k"}}, "sftp host=s user=u pkey_path=/k"},
		{"smb", "pysmb", Part{Config: map[string]any{"server": "s", "user": "u", "domain": "d"}}, "smb server=s username=u domain=d"},
		{"archive", "aes", Part{Config: map[string]any{"aes_strength": "128"}}, "archive aes_strength=128 driver=pyzipper"},
		{"archive", "external", Part{Config: map[string]any{"zip_cmd": []any{"7z", "a"}, "unzip_cmd": "x"}}, "config.unzip_cmd: must be a list of texts"},
		{"db", "oracledb", Part{Config: map[string]any{"user": "u", "password": "p", "dsn": "h:1521/svc"}}, "oracle username=u password=p dsn=h:1521/svc"},
		{"db", "mysql", Part{Config: map[string]any{"url": "mariadb://u:p@h/d?charset=utf8&tls=require"}}, "mysql url=mariadb://u:p@h/d?tls=require"},
		{"db", "postgres", Part{Config: map[string]any{"host": "h"}, Options: map[string]any{"connect_args": map[string]any{"sslmode": "require", "x": 1}}}, "postgres host=h sslmode=require"},
		{"db", "sqlite3", Part{Config: map[string]any{"url": "sqlite:///a/b.db"}}, "sqlite url=sqlite:///a/b.db"},
		{"db", "sqlite3", Part{Config: map[string]any{"url": "sqlite:a.db"}}, "config.url: must be sqlite:///path"},
		{"db", "sqlite3", Part{}, "config.path: must be there, or url"},
		{"db", "postgres", Part{Config: map[string]any{"host": ""}}, "config.url: must be there, or host"},
		{"db", "postgres", Part{Config: map[string]any{"host": "h", "port": "9e99"}}, "config.port: must be an integer, or a text that is one"},
	} {
		d, bad := Find(row.kind, row.name)
		if bad != nil {
			t.Fatal(bad)
		}
		c, faults := d.Connect(&row.part)
		got := ""
		if len(faults) > 0 {
			got = faults[0].Error()
		} else {
			got = c.Type
			for _, f := range c.Fields {
				got += fmt.Sprintf(" %s=%v", f.Names[0], f.Value)
			}
		}
		if got != row.want {
			t.Errorf("%s:%s: got\n%s\nwant\n%s", row.kind, row.name, got, row.want)
		}
	}
}

// FuzzParse: whatever a definition holds, it is read or refused, and what comes of it is made without a panic.
func FuzzParse(f *testing.F) {
	for _, text := range []string{`{"kind":"db","driver":"postgres","config":{"url":"postgres://{{env.A}}:{{env.B:c}}@h/d","password":"x"},"decode":{"config":{"password":true},"options_paths":["a.b"]}}`, `{"kind":"rest","driver":"httpx","defaults":{"config":{"headers":{"a":[1]}}},"config":{"base_url":null}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		def, err := Parse(text)
		if err != nil {
			return
		}
		part := def.Part
		if def.Defaults != nil {
			part = Merge(*def.Defaults, part)
		}
		env := map[string]string{}
		for _, s := range part.Secrets() {
			env[s.Name] = "v/@"
		}
		rendered, _, err := part.Render(env)
		if err != nil {
			return
		}
		for _, path := range rendered.Leaves() {
			if v, found := rendered.Find(path); found {
				rendered.Set(path, v)
			}
		}
		if d, bad := Find(def.Kind, def.Driver); bad == nil {
			d.Check(&part, true)
			d.Connect(&rendered)
		}
	})
}
