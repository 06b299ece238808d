//go:build nosql

package builtin_test

func init() { leftOut["sql_executor"] = true }
