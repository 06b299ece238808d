//go:build etl

package sql

import (
	"fmt"
	"testing"

	mssql "github.com/microsoft/go-mssqldb"
	oraclenet "github.com/sijms/go-ora/v2/network"

	"github.com/taskgrove/taskgrove/executors"
)

// TestErrorsOfServersThatCanNotBeHad: no server of either kind runs here, so the drivers' own errors are made as they are read from the wire.
func TestErrorsOfServersThatCanNotBeHad(t *testing.T) {
	t.Parallel()
	ofOracle := func(code int) error { return &oraclenet.OracleError{ErrCode: code} }
	ofSQLServer := func(number int32, class uint8) error { return mssql.Error{Number: number, Class: class} }
	for _, row := range []struct {
		name      string
		err       error
		kind      string
		permanent bool
	}{
		{"a deadlock of SQL Server", ofSQLServer(1205, 13), KindConflict, false}, {"its lock time-out", ofSQLServer(1222, 16), KindConflict, false}, {"a conflict of snapshots", ofSQLServer(3960, 16), KindConflict, false},
		{"it ends the connection", ofSQLServer(233, 20), executors.KindConnect, false}, {"it is busy", ofSQLServer(40501, 16), executors.KindConnect, false}, {"it is out of something", ofSQLServer(802, 17), KindStatement, false},
		{"no such table", ofSQLServer(208, 16), KindStatement, true}, {"no permission", ofSQLServer(229, 14), KindStatement, true}, {"a key that is there", ofSQLServer(2627, 14), KindStatement, true},
		{"a deadlock of Oracle", ofOracle(60), KindConflict, false}, {"a resource that is busy", ofOracle(54), KindConflict, false}, {"it can't serialize", ofOracle(8177), KindConflict, false},
		{"it is being shut down", ofOracle(1089), executors.KindConnect, false}, {"the end of its channel", ofOracle(3113), executors.KindConnect, false}, {"no such service", ofOracle(12514), executors.KindConnect, false},
		{"a snapshot too old", ofOracle(1555), KindStatement, false}, {"no space", ofOracle(1652), KindStatement, false}, {"no such table of Oracle", ofOracle(942), KindStatement, true}, {"a key that is there, of Oracle", ofOracle(1), KindStatement, true},
	} {
		kind, permanent, known := "", false, false
		for _, judge := range judges {
			if k, p, is := judge(fmt.Errorf("run: %w", row.err)); is {
				kind, permanent, known = k, p, true
				break
			}
		}
		if !known || kind != row.kind || permanent != row.permanent {
			t.Errorf("%s: kind %q, permanent %v, known %v", row.name, kind, permanent, known)
		}
	}
}
