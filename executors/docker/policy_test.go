package docker

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTricksAreRefused tries to get around the guards of an operator who allows some images and two directories.
func TestTricksAreRefused(t *testing.T) {
	dir := t.TempDir()
	root, readOnly, outside := filepath.Join(dir, "data"), filepath.Join(dir, "data", "shared"), filepath.Join(dir, "secret")
	for _, d := range []string{root, readOnly, outside, filepath.Join(dir, "data-of-others")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"link": outside, "up": "..", "run": dir} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	socket, err := net.Listen("unix", filepath.Join(root, "engine.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	policy := Policy{
		Images:  []string{"alpine:3.*", "ghcr.io/acme/*", "registry.example:5000/team/**", "busybox@sha256:" + strings.Repeat("a", 64)},
		Mounts:  []MountRoot{{Path: root}, {Path: readOnly, ReadOnly: true}, {Path: "/var/run"}},
		Volumes: []string{"cache-*"}, CapAdd: []string{"NET_BIND_SERVICE"}, Devices: []string{"/dev/fuse"}, MaxMemory: 1 << 30, MaxCPU: 2,
	}
	mount := func(source, target string) func(*Container) {
		return func(c *Container) { c.Mounts = []Mount{{Source: source, Target: target}} }
	}
	img := func(name string) func(*Container) { return func(c *Container) { c.Image = name } }
	network := func(names ...string) func(*Container) { return func(c *Container) { c.Networks = names } }
	for name, trick := range map[string]func(*Container){
		"image of another registry":             img("evil.example/alpine:3.20"),
		"image of another user":                 img("evil/alpine:3.20"),
		"tag that is not allowed":               img("alpine:2.7"),
		"no tag means latest":                   img("alpine"),
		"tag and a digest of something else":    img("alpine:3.20@sha256:" + strings.Repeat("b", 64)),
		"digest where a tag is allowed":         img("alpine@sha256:" + strings.Repeat("b", 64)),
		"another digest":                        img("busybox@sha256:" + strings.Repeat("b", 64)),
		"tag where a digest is allowed":         img("busybox:1"),
		"id of an image":                        img(strings.Repeat("a", 64)),
		"id with its algorithm":                 img("sha256:" + strings.Repeat("a", 64)),
		"beginning of an id":                    img("deadbeef1234"),
		"two at signs":                          img("alpine:3.20@evil/x@sha256:" + strings.Repeat("a", 64)),
		"user name in front":                    img("ghcr.io@evil.example/acme/x:1"),
		"deeper than allowed":                   img("ghcr.io/acme/x/y:1"),
		"registry that only begins alike":       img("ghcr.io.evil.example/acme/x:1"),
		"another port":                          img("registry.example:5001/team/x:1"),
		"upper case":                            img("GHCR.IO/ACME/x:1"),
		"a way up in the name":                  img("ghcr.io/acme/../evil/x:1"),
		"white space":                           img(" alpine:3.20"),
		"scheme":                                img("https://ghcr.io/acme/x:1"),
		"a mount of what nobody allowed":        mount("/etc", "/data"),
		"the root":                              mount("/", "/data"),
		"a way up":                              mount(root+"/../secret", "/data"),
		"a neighbour that begins alike":         mount(root+"-of-others", "/data"),
		"a link out":                            mount(root+"/link", "/data"),
		"a link up":                             mount(root+"/up", "/data"),
		"behind a link":                         mount(root+"/run/secret", "/data"),
		"the engine's socket":                   mount("/var/run/docker.sock", "/s"),
		"the directory of the engine's socket":  mount("/var/run", "/s"),
		"the directory with a slash":            mount("/var/run/", "/s"),
		"any socket":                            mount(root+"/engine.sock", "/s"),
		"options behind the source":             mount(root+":/x:rw", "/data"),
		"writing to what is to be read":         mount(readOnly, "/data"),
		"a relative path":                       mount("data", "/data"),
		"a volume of others":                    mount("postgres-data", "/data"),
		"a volume that is a path":               mount("cache-../../etc", "/data"),
		"options behind the target":             mount(root, "/data:rw,shared"),
		"over the root of the container":        mount(root, "/"),
		"over /proc":                            mount(root, "/proc/sys"),
		"over /sys by a way up":                 mount(root, "/data/../sys"),
		"tmpfs over /dev":                       func(c *Container) { c.Tmpfs = map[string]int64{"/dev": 1 << 20} },
		"tmpfs with options":                    func(c *Container) { c.Tmpfs = map[string]int64{"/x:exec,suid": 1 << 20} },
		"network of the host":                   network("host"),
		"network of another container":          network("container:worker"),
		"any other network":                     network("production"),
		"the host's among others":               network("bridge", "host"),
		"privileged":                            func(c *Container) { c.Privileged = true },
		"a capability":                          func(c *Container) { c.CapAdd = []string{"SYS_ADMIN"} },
		"a capability in lower case":            func(c *Container) { c.CapAdd = []string{"cap_sys_admin"} },
		"all capabilities":                      func(c *Container) { c.CapAdd = []string{"all"} },
		"a device":                              func(c *Container) { c.Devices = []string{"/dev/sda"} },
		"a device behind an allowed one":        func(c *Container) { c.Devices = []string{"/dev/fuse/../sda"} },
		"a device under another's name":         func(c *Container) { c.Devices = []string{"/dev/sda:/dev/fuse"} },
		"processes of the host":                 func(c *Container) { c.Namespaces = []string{"pid"} },
		"namespace of another container":        func(c *Container) { c.Namespaces = []string{"container:x"} },
		"users of the host":                     func(c *Container) { c.Namespaces = []string{"user"} },
		"no seccomp":                            func(c *Container) { c.SecurityOpt = []string{"seccomp=unconfined"} },
		"new privileges":                        func(c *Container) { c.SecurityOpt = []string{"no-new-privileges:false"} },
		"too much memory":                       func(c *Container) { c.Memory = 2 << 30 },
		"memory without end":                    func(c *Container) { c.Memory = -1 },
		"too many cores":                        func(c *Container) { c.CPU = 2.5 },
		"processes without end":                 func(c *Container) { c.Pids = -1 },
		"graphics processors":                   func(c *Container) { c.GPUs = &GPUs{Count: -1} },
		"a variable with a value in its name":   func(c *Container) { c.Env = map[string]string{"A=b": "c"} },
		"more shared memory than the container": func(c *Container) { c.Memory, c.Shm = 64<<20, 128<<20 },
		"a working directory that is no path":   func(c *Container) { c.WorkingDir = "../x" },
		"two mounts at one place":               func(c *Container) { c.Mounts = []Mount{{root, "/x", false}, {root, "/x/", false}} },
		"pull policy that nobody knows":         func(c *Container) { c.Pull = "sometimes" },
		"the socket's directory behind /proc":   mount("/proc/1/root/var/run", "/s"),
		"a negative cpu":                        func(c *Container) { c.CPU = -1 },
		"a NUL in the command":                  func(c *Container) { c.Command = []string{"a\x00b"} },
	} {
		c := Container{Image: "alpine:3.20", Command: []string{"x"}}
		trick(&c)
		if _, err := policy.check(&c, true); err == nil {
			t.Errorf("%s: allowed as %+v", name, c)
		} else if _, ok := errors.AsType[*RefusedError](err); !ok {
			t.Errorf("%s: %T %v", name, err, err)
		}
	}
}

// TestRefusalsNameThePolicy: what the operator may allow is named; what nobody may allow is not.
func TestRefusalsNameThePolicy(t *testing.T) {
	for key, c := range map[string]Container{
		"images": {Image: "evil/x:1"}, "mounts": {Mounts: []Mount{{Source: "/etc", Target: "/x"}}}, "volumes": {Mounts: []Mount{{Source: "data", Target: "/x"}}},
		"networks": {Networks: []string{"host"}}, "privileged": {Privileged: true}, "gpus": {GPUs: &GPUs{Count: 1}}, "cap_add": {CapAdd: []string{"SYS_ADMIN"}},
		"devices": {Devices: []string{"/dev/sda"}}, "host_namespaces": {Namespaces: []string{"pid"}}, "security_opt": {SecurityOpt: []string{"x"}},
	} {
		if c.Image == "" {
			c.Image = "alpine:3"
		}
		want := " (see docker." + key + " in the pool's policy, in the worker's file)"
		if _, err := (Policy{Images: []string{"alpine:*"}}).check(&c, true); err == nil || strings.Count(err.Error(), want) != 1 {
			t.Errorf("%s: got %v, want %s", key, err, want)
		}
	}
	c := Container{Image: "alpine:3", Mounts: []Mount{{Source: "/var/run", Target: "/x"}}}
	if _, err := (Policy{Mounts: []MountRoot{{Path: "/"}}}).check(&c, false); err == nil || strings.Contains(err.Error(), "policy") {
		t.Errorf("the engine's socket: got %v", err)
	}
}

func TestWhatIsAllowedPasses(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("deep", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	policy := Policy{
		Images: []string{"alpine:3.*", "ghcr.io/acme/*", "registry.example:5000/team/**"},
		Mounts: []MountRoot{{Path: dir}}, Volumes: []string{"cache-*"}, CapAdd: []string{"CAP_NET_RAW"}, Networks: []string{"bridge", "team-*", "host"},
		SecurityOpt: []string{"seccomp=unconfined"}, Namespaces: []string{"pid"}, Devices: []string{"/dev/fuse"}, GPUs: true, Privileged: true,
	}
	c := Container{
		Image: "docker.io/library/alpine:3.20", Privileged: true, CapAdd: []string{"net_raw"}, Networks: []string{"team-a", "bridge"},
		SecurityOpt: []string{"seccomp=unconfined"}, Namespaces: []string{"pid"}, Devices: []string{"/dev/fuse"}, GPUs: &GPUs{Count: 1},
		Mounts: []Mount{{Source: dir + "/link", Target: "/a"}, {Source: "cache-1", Target: "/b"}, {Source: dir, Target: "/c/"}},
		Tmpfs:  map[string]int64{"/dev/shm": 1 << 20},
	}
	img, err := policy.check(&c, true)
	if err != nil {
		t.Fatal(err)
	}
	real, _ := filepath.EvalSymlinks(dir)
	if img.String() != "docker.io/library/alpine:3.20" || c.Mounts[0].Source != filepath.Join(real, "deep") {
		t.Errorf("got %s, %+v", img, c.Mounts)
	}
	if c.Memory != defaultMemory || c.Pids != defaultPids || c.Pull != PullMissing {
		t.Errorf("defaults: %+v", c)
	}
	for _, name := range []string{"ghcr.io/acme/x", "ghcr.io/acme/x:1@sha256:" + strings.Repeat("a", 64), "registry.example:5000/team/a/b:1", "alpine:3.1"} {
		if _, err := policy.check(&Container{Image: name}, true); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := policy.check(&Container{Image: "alpine:3.1", Networks: []string{"host"}}, true); err != nil {
		t.Errorf("the host's network, by its name: %v", err)
	}
	all := Policy{Networks: []string{"*"}}
	if _, err := all.check(&Container{Image: "x", Networks: []string{"host"}}, true); err == nil {
		t.Error("* allows the host's network")
	}
}

func TestFaultsAreToldAtOnce(t *testing.T) {
	p := Policy{Images: []string{"alpine"}}
	_, err := p.check(&Container{Image: "evil", Privileged: true, Networks: []string{"host"}, Memory: 1}, true)
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok || len(refused.Faults) != 4 {
		t.Errorf("got %v", err)
	}
}

func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		`a  b`:           {"a", "b"},
		`a 'b c' "d e"`:  {"a", "b c", "d e"},
		`a\ b "" ''`:     {"a b", "", ""},
		`a && b | c > d`: {"a", "&&", "b", "|", "c", ">", "d"},
		`"a\"b\\c\d" $X`: {`a"b\c\d`, "$X"},
		"a\n#b":          {"a", "#b"},
		`'it'"'"'s'`:     {"it's"},
		``:               nil,
	} {
		if got, err := split(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v", line, got, err)
		}
	}
	for _, line := range []string{`a 'b`, `a "b`, `a \`} {
		if _, err := split(line); err == nil {
			t.Errorf("%q passes", line)
		}
	}
}
