//go:build !race

package simulation

// underRace: these tests are built with the race detector.
const underRace = false
