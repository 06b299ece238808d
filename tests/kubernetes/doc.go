// Command kubernetes proves the chart on a real cluster: it installs it as docs/kubernetes.md says, measures how long it takes until the first tree has
// ended, then keeps 100 000 tasks going in three pools while it upgrades the release from the version before, scales a pool up and down, and kills
// a coordinator, a worker, a NATS server and a node. In the end every tree must have settled once, and nothing may be left of the release.
//
// It owns the order of these steps and what is looked at after them. It must not know how a cluster is made: it uses kubectl and helm, and two
// commands that end and start a node.
package main
