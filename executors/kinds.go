package executors

// Kinds of errors that several executors have; see [WithKind].
const (
	KindConnect = "connect"      // there was no connection, or it broke
	KindExit    = "exit_nonzero" // a program ended with another code than 0, or by a signal
	KindTimeout = "timeout"      // the time was up that the inputs give
)

// ErrorKind is a kind of an executor's errors, which a task's retry_on and no_retry_on may name.
type ErrorKind struct {
	Word string // as [WithKind] has it; one that ends in * stands for all that begin so
	Text string // when it comes, a sentence without a full stop
}
