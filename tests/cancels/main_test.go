package cancels

import (
	"testing"

	"github.com/taskgrove/taskgrove/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
