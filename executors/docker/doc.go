// Package docker runs containers on a Docker engine (spec 8.7).
//
// It owns the guards of images, mounts and privileges, the life of one container from pull to removal, and the removal of
// what dead workers left. It must not know what runs inside.
//
// The engine is the operator's: DOCKER_HOST and the other variables that the docker command reads, else the socket of this host. A task
// never chooses it.
//
// # A container does not outlive its attempt
//
// Each of these ends and removes it:
//
//   - [Engine.Run], when it has exited, when the context ends, and when anything fails on the way.
//   - The warden, a process beside the worker (this same program again, Linux only), when the worker is gone or the lease of a
//     frozen one ends. It is started with the first container, and holds a socket that the kernel closes with the worker, even after kill -9.
//   - The next attempt of the same task on the same engine, before it starts.
//   - The sweep of any worker on the same engine, for what was left when worker and warden went together. It removes only what is known
//     to be dead; see the rules at [Engine.Sweep].
//
// # Containers for other executors
//
// [Engine] is for executors of any kind that bring their own container: same guards, same end, streams attached.
//
//	exit, err := engine.Run(ctx, docker.OwnerOf(call), docker.Container{
//		Image: "registry.example/tools/report:3", Command: []string{"serve"},
//	}, docker.Streams{Stdin: requests, Stdout: answers, Stderr: log})
//
// Run blocks until the container is gone. What the pool's [Policy] does not allow is a *[RefusedError], before anything ran. Importers
// carry the build constraint !nodocker: builds with the tag nodocker leave this package and the client library out.
package docker
