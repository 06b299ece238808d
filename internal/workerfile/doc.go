// Package workerfile reads the file in which an operator says what a worker may use: connections, secrets, a policy for each pool, and
// executors of the operator's own.
//
// It owns the sections of that file, its bounds, and the faults of what is written in it, each with line and column. It must not know how a
// secret is found, how a connection is opened, or what an executor does with its policy.
//
// # A section of your own
//
//  1. Write a struct in a file of its own, with a tag `file:"name"` for each key (`file:"name,required"` if it must be there), and a comment
//     that says what zero means. Fields are text, numbers, booleans, [time.Duration] ("30s"), [Size] ("64MiB"), structs, pointers to them
//     (nil: not given), lists, maps by text, and [encoding/json.RawMessage] for anything. A struct without a name embeds its keys. A map
//     tagged `file:",rest"` takes the keys that no other field has; without one, keys that no field has are faults.
//
//  2. If values have rules of their own, give the struct a method Check(at [Place]), on the pointer. It is called once the struct is filled,
//     and calls at.Fault(path, …) for each fault. Faults never show values, which may be secrets.
//
//  3. Put it into [Pool], if it is a policy per pool, or else into [File]:
//
//     type Pool struct {
//     Outlet
//     Docker *Docker `file:"docker"`
//     }
//
//  4. Give the executor's Config a field *[Source], which executors/builtin fills: one [At] of its Config.WorkerFile serves all. Ask it at
//     each attempt: source.File().Pool(call.Pool).Docker. That takes some 60 ns, and a changed file counts without a restart. The worker has
//     read the file before the first attempt, and does not start if it is faulty.
package workerfile
