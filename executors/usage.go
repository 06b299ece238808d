package executors

// Usage is what calls of models have used.
type Usage struct {
	Calls            int64  // that were answered, or that a service had begun to work on
	PromptTokens     int64  // all that was read, those from a cache too
	CompletionTokens int64  // that were written, hidden reasoning too
	CachedTokens     int64  // part of PromptTokens that came from the service's cache
	CostNanos        int64  // billionths of Currency
	Unpriced         int64  // calls whose cost is not known, as their model has no price: CostNanos lacks them
	Currency         string // that the operator's prices are in, such as "USD"; empty: no call has a price
}

// Add adds what others used. Sums stay at the largest number. Costs in another currency can't be added: their calls count as unpriced.
func (u *Usage) Add(other Usage) {
	switch {
	case u.Currency == "":
		u.Currency = other.Currency
	case other.Currency != "" && other.Currency != u.Currency:
		other.CostNanos, other.Unpriced = 0, other.Calls
	}
	for _, sum := range []struct {
		to *int64
		n  int64
	}{
		{&u.Calls, other.Calls}, {&u.PromptTokens, other.PromptTokens}, {&u.CompletionTokens, other.CompletionTokens},
		{&u.CachedTokens, other.CachedTokens}, {&u.CostNanos, other.CostNanos}, {&u.Unpriced, other.Unpriced},
	} {
		if *sum.to += max(sum.n, 0); *sum.to < 0 {
			*sum.to = 1<<63 - 1
		}
	}
}

// TotalTokens is all tokens that were read and written. The sum stays at the largest number.
func (u *Usage) TotalTokens() int64 {
	if sum := u.PromptTokens + u.CompletionTokens; sum >= 0 || u.PromptTokens < 0 || u.CompletionTokens < 0 {
		return sum
	}
	return 1<<63 - 1
}

// Record adds to what the attempt has used, by the model's name. It is stored with the attempt, however that ends, except if its worker
// is lost. Call it once for each call of a model, as soon as the numbers are known.
func (c *Call) Record(model string, u Usage) {
	if c.Used != nil {
		c.Used(model, u)
	}
}
