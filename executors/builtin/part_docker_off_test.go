//go:build nodocker

package builtin_test

func init() { leftOut["docker_executor"] = true }
