//go:build linux

package guardian

// WithoutBoxes has commands run as where no control group can be had, until the function returned is called.
func WithoutBoxes() (restore func()) {
	old := boxParent
	boxParent = func() string { return "" }
	return func() { boxParent = old }
}

// Boxes is where control groups are made; empty: none can be had.
func Boxes() string { return boxParent() }

// SetSelf makes path stand for this program until the function returned is called.
func SetSelf(path string) (restore func()) {
	old := self
	self = path
	return func() { self = old }
}
