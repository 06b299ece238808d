//go:build !race

package dag

// manyTasks is how large a large tree is in tests.
const manyTasks = 1_000_000
