package dag

// Used is what an attempt, or several, used of one model, in one currency. No number is below 0.
type Used struct {
	Model      string
	Currency   string // of CostNanos, as the worker's operator calls it; empty: no call has a price
	Calls      int64  // that were answered
	Prompt     int64  // tokens that were read, those from a cache too
	Completion int64  // tokens that were written
	Cached     int64  // part of Prompt that came from the service's cache
	CostNanos  int64  // billionths of the currency
	Unpriced   int64  // calls whose cost is not known: CostNanos lacks them
}
