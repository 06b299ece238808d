//go:build !linux && !darwin

package systeminfo

func unknown() (facts, error) {
	return facts{"system": systemName(), "note": "not read on this system"}, nil
}

func cpu() (facts, error)    { return unknown() }
func memory() (facts, error) { return unknown() }
func disk() (facts, error)   { return unknown() }
