//go:build nosql

package sources

import (
	"errors"

	"github.com/taskgrove/taskgrove/executors/bundle"
)

func openDatabase(*bundle.Place) (bundle.Source, error) {
	return nil, errors.New("bundle.source.type: this program was built without databases (the tag nosql)")
}
