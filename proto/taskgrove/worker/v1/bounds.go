package workerv1

// Bounds of what one worker may announce in a [Beat]. Coordinators refuse a beat beyond them, as they store and create what it
// names; a worker that knows them says so when it is configured, before its first beat.
const (
	MaxPools     = 64   // each has four consumers in NATS
	MaxExecutors = 1000 // ids
	MaxFaults    = 100  // each with a text of 512 bytes
	MaxFaultText = 512
	MaxNameBytes = 128 // of an executor's id and of an instance's name; none is NUL

	MaxDescriptionBytes  = 64 << 10  // of one executor
	MaxDescriptionsBytes = 256 << 10 // of all in one beat
	MaxDescribe          = 64        // hashes that an answer asks for

	MaxCatalogueInputs = 32 << 10 // of the schema of one executor's inputs in a CatalogueReply

	MaxCheckpoint  = 64 << 10  // bytes of what an attempt notes
	MaxCheckpoints = 512 << 10 // of those in one beat
)
