package queue

import "sync"

// group is the goroutines of a connection. A [sync.WaitGroup] alone must not get its first goroutine while somebody waits for the
// last one, and a connection may be closed while it is being used.
type group struct {
	mu    sync.Mutex
	ended bool
	all   sync.WaitGroup
}

// start runs f in a goroutine that end waits for. After end it returns [ErrClosed] and runs nothing.
func (g *group) start(f func()) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return ErrClosed
	}
	g.all.Go(f)
	return nil
}

// end waits for all goroutines; what makes them end is the caller's to do before.
func (g *group) end() {
	g.mu.Lock()
	g.ended = true
	g.mu.Unlock()
	g.all.Wait()
}
