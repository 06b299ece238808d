// Package table writes tables to files: as text with separators (CSV and the like), as lines of JSON, and as Parquet, where the build tag etl puts that
// in.
//
// It owns the classes of values, their forms in files, and what is wrong with the options of a file. It must not know where rows come from, or where a
// file is: it writes to an io.Writer, a row at a time, and keeps none.
package table
