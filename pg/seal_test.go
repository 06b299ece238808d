package pg

import (
	"os"
	"testing"

	"github.com/taskgrove/taskgrove/internal/sealed"
)

// sealIfAsked has a store seal what it writes, if TASKGROVE_TEST_SEAL is set: all tests of the package can be run so.
func sealIfAsked(t testing.TB, s *Store) {
	if os.Getenv("TASKGROVE_TEST_SEAL") != "" {
		sealing(t, s)
	}
}

var testMaster = sealed.NewKey()

// sealing has a store seal what it writes.
func sealing(t testing.TB, s *Store) {
	t.Helper()
	box, err := sealed.New(testMaster)
	if err != nil {
		t.Fatal(err)
	}
	s.SetKeyring(sealed.NewKeyring(box, s.DataKeys()))
	s.SealValues(true)
}
