package dag

// HasLimiting reports whether the change says what the task asks for.
func (c *Change) HasLimiting() bool { return c.HasLimits || c.HasLock || c.HasRates }

// Asks is what the task asks for after the change, as it is submitted, of what it asked for, as that is stored.
func (c *Change) Asks(stored *Limiting) *Limiting {
	out := stored.AsSubmitted()
	if out == nil {
		out = &Limiting{}
	}
	given := c.Limiting
	if given == nil {
		given = &Limiting{}
	}
	if c.HasLimits {
		out.Limits = given.Limits
	}
	if c.HasLock {
		out.Lock = given.Lock
	}
	if c.HasRates {
		out.Rates = given.Rates
	}
	return out
}
