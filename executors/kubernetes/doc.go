// Package kubernetes runs Jobs on a Kubernetes cluster.
//
// It owns the Job that inputs and the pool's template describe, what a pool may ask for, the life of one Job from its making to the end of
// its pod, and the removal of what dead workers left. It must not know what runs inside.
//
// It speaks plain HTTP to the API: a few calls, two watches and a stream of logs, for which client-go would add 25 MB to the binary. Any
// version of Kubernetes since 1.24 has what it uses.
//
// # A Job does not outlive its attempt
//
//   - [Executor.Run] deletes its Job, with its pod, and waits until both are gone when the context ends or anything fails.
//   - The cluster ends it by itself when the attempt's time is over (activeDeadlineSeconds), and removes what has ended
//     (ttlSecondsAfterFinished).
//   - The next attempt of the same task deletes the Jobs of those before it, and waits for that, before it starts.
//   - A Job has a lease, an annotation that its worker renews. Any worker with the same namespace deletes Jobs whose lease is long over.
//
// The name of a Job follows from task and attempt. So a request that is sent again, since its answer was lost, finds the Job that it made.
package kubernetes
