//go:build !etl

package table

import "io"

// NewParquet writes a Parquet file. nil: the build tag etl was not there.
var NewParquet func(to io.Writer) Writer
