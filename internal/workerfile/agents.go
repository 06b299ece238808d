package workerfile

// Agents is what agents of a pool may do.
type Agents struct {
	// Tools are the ids of executors that they may use as tools; nil: as the worker's settings say; empty: none.
	Tools *[]string `file:"tools"`
}

// Check looks at what can't be an id.
func (a *Agents) Check(at Place) {
	if a.Tools == nil {
		return
	}
	for i, id := range *a.Tools {
		if id == "" {
			at.Key("tools").Index(i).Fault("", "is empty: want the id of an executor")
		}
	}
}
