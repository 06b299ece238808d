package faults

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy passes connections on to a server, and what goes over them late. Bytes keep their order within a connection, as
// TCP promises; connections overtake each other.
type Proxy struct {
	listener net.Listener
	delay    atomic.Int64 // a duration

	mu      sync.Mutex
	to      string // where new connections go
	conns   map[net.Conn]bool
	refuses bool
	flows   chan struct{} // closed while bytes pass
	done    bool

	running sync.WaitGroup
}

// NewProxy listens on a free port of 127.0.0.1 for connections to the address given. Each piece of data is held back
// for a random time up to delay, and one in a hundred for up to ten times as long. The caller closes it.
func NewProxy(to string, delay time.Duration) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, to: to, conns: map[net.Conn]bool{}, flows: make(chan struct{})}
	close(p.flows)
	p.SetDelay(delay)
	p.running.Go(p.accept)
	return p, nil
}

// URL is the server's URL with the proxy's address in it.
func (p *Proxy) URL(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic(err)
	}
	u.Host = p.listener.Addr().String()
	return u.String()
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Lead has new connections go to another address, and breaks those that there are.
func (p *Proxy) Lead(to string) {
	p.mu.Lock()
	p.to = to
	p.mu.Unlock()
	p.Cut()
}

// Cut breaks all connections; new ones are accepted at once.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// SetDelay changes how long pieces of data are held back at most, see [NewProxy].
func (p *Proxy) SetDelay(delay time.Duration) { p.delay.Store(int64(delay)) }

// Refuse breaks all connections, and new ones at once, until it is called with false.
func (p *Proxy) Refuse(refuse bool) {
	p.mu.Lock()
	p.refuses = refuse
	p.mu.Unlock()
	if refuse {
		p.Cut()
	}
}

// Hold keeps everything that is sent, either way, until it is called with false; connections stay open. It is what a
// network does that drops packets without a word.
func (p *Proxy) Hold(hold bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.flows:
		if hold && !p.done {
			p.flows = make(chan struct{})
		}
	default:
		if !hold {
			close(p.flows)
		}
	}
}

// flow returns when bytes may pass.
func (p *Proxy) flow() {
	p.mu.Lock()
	flows := p.flows
	p.mu.Unlock()
	<-flows
}

// Close breaks all connections and ends the proxy. What is held is lost.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.done = true
	p.mu.Unlock()
	p.listener.Close()
	p.Cut()
	p.Hold(false) // after the connections are gone, or what is held would still pass
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.mu.Lock()
		refuses, to := p.refuses, p.to
		p.mu.Unlock()
		if refuses {
			client.Close()
			continue
		}
		server, err := net.Dial("tcp", to)
		if err != nil {
			client.Close()
			continue
		}
		if !p.keep(client, server) {
			return
		}
		p.running.Go(func() { p.pass(client, server) })
		p.running.Go(func() { p.pass(server, client) })
	}
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.done {
			c.Close()
		} else {
			p.conns[c] = true
		}
	}
	return !p.done
}

// piece is data on its way.
type piece struct {
	data []byte
	due  time.Time
}

// pass copies from one connection to the other until either ends, and ends both.
func (p *Proxy) pass(from, to net.Conn) {
	late := make(chan piece, 1024) // more in flight holds the sender up, as a full network does
	var writer sync.WaitGroup
	writer.Go(func() {
		var err error
		for piece := range late {
			if err != nil {
				continue // drain
			}
			time.Sleep(time.Until(piece.due))
			p.flow()
			_, err = to.Write(piece.data)
		}
		to.Close()
	})
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			late <- piece{append([]byte(nil), buffer[:n]...), time.Now().Add(p.lag())}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				to.Close()
			}
			break
		}
	}
	close(late)
	writer.Wait()
	from.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, from)
	delete(p.conns, to)
}

func (p *Proxy) lag() time.Duration {
	delay := time.Duration(p.delay.Load())
	if delay <= 0 {
		return 0
	}
	lag := rand.N(delay)
	if rand.IntN(100) == 0 {
		lag *= 10
	}
	return lag
}
