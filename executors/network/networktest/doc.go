// Package networktest has what tests of connections need: a DNS server that answers as the test says, canaries that notice who reaches
// them, and proxies that tell what they were asked for.
//
// It owns these servers, which end with their test. It must not know what a test wants of them.
package networktest
