package workerfile

// Prices is a file of its own: what models cost, in one currency.
type Prices struct {
	Currency string           `file:"currency,required"` // such as USD
	Models   map[string]Price `file:"models"`            // by name or pattern, in which * is any text
}

// Price is what a model costs, per million tokens.
type Price struct {
	Input  float64  `file:"input,required"`  // tokens that it reads
	Output float64  `file:"output,required"` // tokens that it writes
	Cached *float64 `file:"cached"`          // tokens that it reads from its cache; nil: as input
}

// ParsePrices reads the text of such a file, as [Parse] does a worker's.
func ParsePrices(name string, text []byte) (*Prices, error) {
	prices := &Prices{}
	if err := Fill(name, text, prices); err != nil {
		return nil, err
	}
	return prices, nil
}

// Check looks at the names.
func (p *Prices) Check(at Place) {
	for name := range p.Models {
		if name == "" {
			at.Key("models").Fault(name, "a price has the name of a model")
		}
	}
}

// Check looks at the numbers.
func (p *Price) Check(at Place) {
	const most = 1e6
	for key, n := range map[string]*float64{"input": &p.Input, "output": &p.Output, "cached": p.Cached} {
		if n != nil && !(*n >= 0 && *n <= most) {
			at.Fault(key, "want a price per million tokens, from 0 to %d", int(most))
		}
	}
}
