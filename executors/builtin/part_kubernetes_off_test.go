//go:build nokubernetes

package builtin_test

func init() { leftOut["kubernetes_executor"] = true }
