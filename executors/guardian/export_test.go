//go:build linux

package guardian

// SetSelf makes path stand for this program until the function returned is called.
func SetSelf(path string) (restore func()) {
	old := self
	self = path
	return func() { self = old }
}
