// Package compose brings up compose.yaml on a real engine, runs its example and kills one container after the other.
//
// It owns what is asked of the file as a whole. It must not know how the engine works: it uses containers, the one address and the client.
package compose
