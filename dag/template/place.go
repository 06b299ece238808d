package template

import (
	"strconv"
	"strings"
)

// place is where in a document one is. It is written out for faults only.
type place []step

// step is one key, or one index.
type step struct {
	name  string
	index int // if name is empty and key is not set
	key   bool
}

func (p *place) push(s step) { *p = append(*p, s) }
func (p *place) pop()        { *p = (*p)[:len(*p)-1] }

// String is the place as "a.b[0]".
func (p place) String() string {
	var b strings.Builder
	for _, s := range p {
		if !s.key {
			b.WriteByte('[')
			b.WriteString(strconv.Itoa(s.index))
			b.WriteByte(']')
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		const most = 80
		if len(s.name) > most {
			s.name = strings.ToValidUTF8(s.name[:most], "") + "…"
		}
		b.WriteString(s.name)
	}
	return b.String()
}
