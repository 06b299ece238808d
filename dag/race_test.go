//go:build race

package dag

// manyTasks is how large a large tree is in tests: under the race detector a million takes minutes.
const manyTasks = 100_000
