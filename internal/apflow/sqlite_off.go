//go:build nosql

package apflow

import "errors"

func openSQLite(string, string) (Source, error) {
	return nil, errors.New("this program was built without SQLite (the tag nosql)")
}
