package process

import (
	"fmt"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// checks are what a program must leave, and must not.
type checks struct {
	required, globs, forbidden []check
}

type check struct {
	field string
	given string
	at    workdir.Spot
}

// newChecks finds the places. Its errors are of paths that lead elsewhere.
func newChecks(s *workdir.Sandbox, spec *success) (*checks, error) {
	c := &checks{}
	required := spec.RequireFiles
	if spec.Marker != "" {
		required = append(required[:len(required):len(required)], spec.Marker)
	}
	for _, part := range []struct {
		field string
		paths []string
		to    *[]check
	}{{"success.require_files", required, &c.required}, {"success.require_glob", spec.RequireGlob, &c.globs}, {"success.forbid_files", spec.ForbidFiles, &c.forbidden}} {
		for _, given := range part.paths {
			at, err := s.At(part.field, given)
			if err != nil {
				return nil, err
			}
			*part.to = append(*part.to, check{part.field, given, at})
		}
	}
	return c, nil
}

// pass looks at all. Paths in a directory that is about to be replaced are looked for in the one that takes its place; nil: there is none. The first
// that fails is the error, permanent and of [KindOutput].
func (c *checks) pass(a *atomicDir) error {
	for _, one := range c.required {
		if there, err := a.instead(one.at).Exists(one.field); err != nil {
			return err
		} else if !there {
			return badOutput("missing_required_file", one.given)
		}
	}
	for _, one := range c.globs {
		if found, err := a.instead(one.at).Glob(one.field); err != nil {
			return err
		} else if len(found) == 0 {
			return badOutput("missing_required_glob", one.given)
		}
	}
	for _, one := range c.forbidden {
		if there, err := a.instead(one.at).Exists(one.field); err != nil {
			return err
		} else if there {
			return badOutput("forbidden_file_present", one.given)
		}
	}
	return nil
}

func badOutput(reason, path string) error {
	return executors.WithKind(executors.Permanent(fmt.Errorf("%s:%s:%s", KindOutput, reason, executors.Text([]byte(path)))), KindOutput)
}
