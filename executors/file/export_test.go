package file

import "testing"

// CopyInPartsOf has stores copy in one step only what is not larger.
func CopyInPartsOf(t testing.TB, bytes int64) {
	before := copyBytes
	copyBytes = bytes
	t.Cleanup(func() { copyBytes = before })
}
