package workdir

import (
	"fmt"
	"path/filepath"
)

// Stage names, below Root, where an attempt writes what takes this path's place when it is whole. It removes what earlier attempts have left there.
func (p Spot) Stage(attempt int) string {
	name := func(attempt int) string {
		return filepath.Join(filepath.Dir(p.Name), fmt.Sprintf(".%s.%d.tmp", filepath.Base(p.Name), attempt))
	}
	const before = 20
	for earlier := max(1, attempt-before); earlier <= attempt; earlier++ {
		_ = p.Root.RemoveAll(name(earlier)) // if there is one
	}
	return name(attempt)
}
