package budget

import (
	"os"
	"strings"
	"sync"
	"time"

	"github.com/taskgrove/taskgrove/internal/workerfile"
)

// Prices are the prices of models, from a file that is read again when it changes. A version with faults changes nothing: the one before
// stays. A nil *Prices has none. Safe for concurrent use.
type Prices struct {
	path string

	mu     sync.Mutex
	file   *workerfile.Prices // newest version without faults
	fault  error              // of the newest version
	seen   os.FileInfo
	looked time.Time
}

// PricesAt are the prices in a file, which is read at first use; empty: none.
func PricesAt(path string) *Prices {
	if path == "" {
		return nil
	}
	return &Prices{path: path}
}

// lookEvery is how often the file is looked at, at most.
const lookEvery = time.Second

// Fault is what is wrong with the file as it is now, all at once; nil: nothing.
func (p *Prices) Fault() error {
	_, err := p.look()
	return err
}

// Currency is that of all prices; empty: there are none.
func (p *Prices) Currency() string {
	file, _ := p.look()
	return file.Currency
}

// none is what no file says.
var none = &workerfile.Prices{}

func (p *Prices) look() (*workerfile.Prices, error) {
	if p == nil {
		return none, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.looked) >= lookEvery {
		p.looked = now
		if info, err := os.Stat(p.path); err != nil || p.seen == nil || !workerfile.Same(info, p.seen) {
			p.read()
		}
	}
	if p.file == nil {
		return none, p.fault
	}
	return p.file, p.fault
}

// read reads the file as it is. The caller holds mu.
func (p *Prices) read() {
	text, info, err := workerfile.ReadFile(p.path, workerfile.MaxBytes)
	p.seen, p.fault = info, err
	if err != nil {
		return
	}
	file, err := workerfile.ParsePrices(p.path, text)
	if p.fault = err; err == nil {
		p.file = file
	}
}

// Of is the price of a model that is known by these names, such as openai/gpt-4o and gpt-4o. A whole name goes before a pattern, an earlier
// name before a later one, and a longer pattern before a shorter one. ok: it has one.
func (p *Prices) Of(names ...string) (price Price, ok bool) {
	file, _ := p.look()
	for _, name := range names {
		if known, ok := file.Models[name]; ok {
			return priceOf(known), true
		}
	}
	for _, name := range names {
		best := ""
		for pattern := range file.Models {
			if strings.Contains(pattern, "*") && len(pattern) > len(best) && fits(pattern, name) {
				best = pattern
			}
		}
		if best != "" {
			return priceOf(file.Models[best]), true
		}
	}
	return Price{}, false
}

func priceOf(p workerfile.Price) Price {
	out := Price{Input: p.Input, Output: p.Output, Cached: p.Input}
	if p.Cached != nil {
		out.Cached = *p.Cached
	}
	return out
}

// fits reports whether a name is one that a pattern stands for: * is any text.
func fits(pattern, name string) bool {
	first, rest, _ := strings.Cut(pattern, "*")
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	for _, part := range parts[:len(parts)-1] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return strings.HasSuffix(name, parts[len(parts)-1])
}
