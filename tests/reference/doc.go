// Package reference lets the protocol's first implementation, the Python package aipartnerupflow, use a cluster: its own tests of a server, and
// its own client.
//
// It owns which of those tests must not pass, and why. It must not know how our server works: it starts a cluster and gives its address away.
package reference
