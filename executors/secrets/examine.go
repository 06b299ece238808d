package secrets

import (
	"context"
	"errors"
	"fmt"

	"github.com/taskgrove/taskgrove/executors/resource"
	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// Denied says why tasks of a pool can't have a secret, in words that they may see; empty: they can. It asks for the value, and keeps nothing of it.
func (s *Store) Denied(ctx context.Context, name, pool string) string {
	_, err := s.secret(ctx, name, pool)
	return denied("secret", name, pool, err)
}

// DeniedConnection is [Store.Denied] of a connection that the operator has named.
func (s *Store) DeniedConnection(name, pool string) string {
	_, err := s.connection(name, pool, anyone)
	return denied("connection", name, pool, err)
}

// denied says the same of what does not exist and of what others have.
func denied(what, name, pool string, err error) string {
	if err == nil {
		return ""
	}
	if _, later := errors.AsType[unreadable](err); later {
		return fmt.Sprintf("%s %.128q can't be read at this worker now", what, name)
	}
	return fmt.Sprintf("there is no %s %.128q for tasks of pool %q", what, name, pool)
}

// Examined is what the definition of a connection comes to for tasks of a pool. Its texts show no values.
type Examined struct {
	Overlay bool      // the worker's file has settings for the profile
	Secrets []Granted // that the settings name, with those of the overlay and without those that it replaces, by name
	Faults  []string  // of the settings as a whole
	Address string    // host and port that it goes to; empty: to none, or a secret says where
}

// Granted is a secret that settings name.
type Granted struct {
	resource.Secret
	Denied string // why an attempt would not get it, as far as it has to; empty: it would
}

// Examine looks whether tasks of a pool could use a definition: it asks for its secrets, and renders, decodes and dials nothing.
func (s *Store) Examine(ctx context.Context, pool string, d *resource.Definition) (out Examined) {
	file := s.file.File()
	raw, overlay := effective(file, pool, d)
	out.Overlay = overlay
	for _, one := range raw.Secrets() {
		g := Granted{Secret: one}
		_, err := s.secret(ctx, one.Name, pool)
		if _, later := errors.AsType[unreadable](err); !one.Optional || later {
			g.Denied = denied("secret", one.Name, pool, err)
		}
		out.Secrets = append(out.Secrets, g)
	}
	driver, bad := resource.Find(d.Kind, d.Driver)
	if bad != nil {
		out.Faults = append(out.Faults, bad.Error())
		return out
	}
	for _, f := range driver.Check(&raw, true) {
		if f.Kind != resource.Ignored && f.Kind != resource.Literal {
			out.Faults = append(out.Faults, f.Error())
		}
	}
	out.Address = driver.Address(&raw)
	if paths, _ := raw.DecodePaths(); len(paths) > 0 && !decodes(file) {
		out.Faults = append(out.Faults, noDecoder(paths[0]))
	}
	return out
}

// effective are the settings of a definition with those of the pool.
func effective(file *workerfile.File, pool string, d *resource.Definition) (raw resource.Part, overlay bool) {
	under := resource.Part{}
	if d.Defaults != nil {
		under = *d.Defaults
	}
	if d.Profile != "" {
		var over workerfile.Profile
		if over, overlay = file.Pool(pool).Profiles[d.Profile]; overlay {
			under = resource.Merge(under, over.Part())
		}
	}
	return resource.Merge(under, d.Part), overlay
}

// decodes reports whether a worker has keys to decode with.
func decodes(file *workerfile.File) bool {
	return file.Providers != nil && file.Providers.Age != nil && file.Providers.Age.Decode != ""
}

func noDecoder(path string) string {
	return path + ": is to be decoded, and this worker has nothing that decodes"
}
