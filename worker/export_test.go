package worker

// What the tests of the package's outside read of a result.
var (
	EndOf   = endOf
	ValueOf = valueOf

	SizeFault = sizeFault
)

// New is a worker on a connection of the test's.
var New = newWorker
