// Package hostile attacks a running cluster: with garbage, with too much, too slowly, and in the name of others.
//
// It owns the attackers and their tests: workers that have real credentials and lie, and clients that misbehave. It must not
// know how the cluster refuses them, only what this looks like from outside.
package hostile
