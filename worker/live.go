package worker

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/secrets"
	"github.com/taskgrove/taskgrove/internal/envelope"
	workerv1 "github.com/taskgrove/taskgrove/proto/taskgrove/worker/v1"
	"github.com/taskgrove/taskgrove/queue"
)

// Bounds of what attempts tell live. What exceeds them is dropped from the middle: the beginning and the end tell most.
const (
	liveEvery      = 100 * time.Millisecond
	liveHead       = 8 << 10 // bytes of the beginning and of the end of what one attempt tells in that time
	liveTail       = 8 << 10
	liveBuffer     = 4 << 20   // bytes that wait in the whole worker
	liveBatchBytes = 256 << 10 // in one message
	pieceText      = 4 << 10   // of one piece, the longest
	pieceName      = 128
	pieceOverhead  = 32 // what a piece counts for beside its text
	liveAgents     = 64 // agents of an attempt whose texts are told apart
)

// pieceDropped stands where pieces are missing; its text is how many bytes.
const pieceDropped = "dropped"

// live is what an attempt tells those who watch it, until it is sent. The attempt's output guards it.
type live struct {
	head, tail pieceList
	dropped    int // bytes between head and tail that are dropped
	number     uint64
	queued     bool                       // in voices.telling
	said       map[string]*secrets.Stream // of each agent; what may be a part of a secret is held back
}

// pieceList is pieces that wait.
type pieceList struct {
	list  []*piece
	bytes int
}

type piece struct {
	kind, agent, name string
	text              []byte
}

func (p *piece) size() int { return len(p.text) + len(p.agent) + len(p.name) + pieceOverhead }

// add appends a piece, to the last one if both are parts of one text.
func (ps *pieceList) add(p *piece) (grown int) {
	if n := len(ps.list); n > 0 && p.kind == string(executors.PieceToken) {
		if last := ps.list[n-1]; last.kind == p.kind && last.agent == p.agent && last.name == p.name {
			last.text = append(last.text, p.text...)
			ps.bytes += len(p.text)
			return len(p.text)
		}
	}
	ps.list = append(ps.list, p)
	ps.bytes += p.size()
	return p.size()
}

// shorten drops from the beginning until so many bytes are left at most.
func (ps *pieceList) shorten(most int) (dropped int) {
	for over := ps.bytes - most; over > 0; over = ps.bytes - most {
		first := ps.list[0]
		n := first.size()
		if first.kind == string(executors.PieceToken) && over < len(first.text) {
			n = over
			for n < len(first.text) && !utf8.RuneStart(first.text[n]) {
				n++
			}
			first.text = first.text[n:]
		} else {
			ps.list[0] = nil
			ps.list = ps.list[1:]
		}
		ps.bytes -= n
		dropped += n
	}
	return dropped
}

// Live tells a piece to those who watch. It does not block.
func (o *output) Live(p executors.Piece) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	agent := clean(o.redact().Text(p.Agent), pieceName)
	if p.Kind == executors.PieceToken {
		o.tell(executors.PieceToken, agent, "", o.speech(agent).Write(p.Text))
		return
	}
	o.finishSpeech(agent)
	o.tell(p.Kind, agent, clean(o.redact().Text(p.Name), pieceName), clean(o.redact().Text(p.Text), pieceText))
}

// speech is what an agent has said so far, as far as secrets are concerned. The caller holds mu, as in the next three.
func (o *output) speech(agent string) *secrets.Stream {
	l := &o.live
	if s := l.said[agent]; s != nil {
		return s
	}
	if len(l.said) == liveAgents {
		o.finishSpeeches()
	}
	if l.said == nil {
		l.said = map[string]*secrets.Stream{}
	}
	s := o.redact().Stream()
	l.said[agent] = s
	return s
}

// finishSpeech tells what was held back of an agent's text.
func (o *output) finishSpeech(agent string) {
	if s := o.live.said[agent]; s != nil {
		delete(o.live.said, agent)
		o.tell(executors.PieceToken, agent, "", s.Rest())
	}
}

func (o *output) finishSpeeches() {
	for agent := range o.live.said {
		o.finishSpeech(agent)
	}
}

// tell keeps a piece until it is sent.
func (o *output) tell(kind executors.PieceKind, agent, name, text string) {
	if kind == executors.PieceToken && text == "" {
		return
	}
	l, v := &o.live, &o.w.voices
	for first := true; first || text != ""; first = false {
		part := text
		if len(part) > pieceText {
			part = part[:pieceText]
			for !utf8.RuneStart(text[len(part)]) && len(part) > pieceText-utf8.UTFMax {
				part = part[:len(part)-1]
			}
		}
		text = text[len(part):]
		l.keep(&piece{string(kind), agent, name, []byte(clean(part, pieceText))}, &v.liveBytes)
	}
	if !l.queued {
		l.queued = true
		v.mu.Lock()
		v.telling = append(v.telling, o)
		v.mu.Unlock()
		signal(v.hasTelling)
	}
}

// keep adds a piece within the bounds of the attempt and of the worker, whose bytes that wait are in waiting.
func (l *live) keep(p *piece, waiting *atomic.Int64) {
	switch size := p.size(); {
	case waiting.Load()+int64(size) > liveBuffer:
		l.dropped += size
	case l.dropped == 0 && len(l.tail.list) == 0 && l.head.bytes+size <= liveHead:
		waiting.Add(int64(l.head.add(p)))
	default:
		grown := l.tail.add(p)
		dropped := l.tail.shorten(liveTail)
		l.dropped += dropped
		waiting.Add(int64(grown - dropped))
	}
}

// take gives what waits as a message, nil if nothing does. The caller holds mu.
func (o *output) takeLive() *workerv1.Live {
	l := &o.live
	if len(l.head.list)+len(l.tail.list) == 0 && l.dropped == 0 {
		return nil
	}
	l.number++
	m := &workerv1.Live{Attempt: o.a.work.Attempt, Token: o.a.work.Token, Number: l.number, Fraction: o.fraction}
	add := func(ps *pieceList) {
		for _, p := range ps.list {
			m.Pieces = append(m.Pieces, &workerv1.Piece{Kind: p.kind, Agent: p.agent, Name: p.name, Text: string(p.text)})
		}
	}
	add(&l.head)
	if l.dropped > 0 {
		m.Pieces = append(m.Pieces, &workerv1.Piece{Kind: pieceDropped, Text: strconv.Itoa(l.dropped)})
	}
	add(&l.tail)
	o.w.voices.liveBytes.Add(-int64(l.head.bytes + l.tail.bytes))
	l.head, l.tail, l.dropped = pieceList{}, pieceList{}, 0
	if k := o.a.key.Load(); k != nil {
		if err := envelope.SealLive(k, m); err != nil {
			o.w.quiet.warn("live", "what attempts tell live is lost", "attempts", 1, "error", err)
			return nil
		}
	}
	return m
}

// flushLive sends what attempts tell at once, then at most every [liveEvery], until ctx ends.
func (v *voices) flushLive(ctx context.Context) error {
	return v.every(ctx, 0, liveEvery, v.hasTelling, func() {
		v.mu.Lock()
		telling := v.telling
		v.telling = nil
		v.mu.Unlock()
		bySession := map[*session][]*workerv1.Live{}
		for _, o := range telling {
			o.mu.Lock()
			o.live.queued = false
			if m := o.takeLive(); m != nil {
				bySession[o.a.session] = append(bySession[o.a.session], m)
			}
			o.mu.Unlock()
		}
		for s, all := range bySession {
			for len(all) > 0 {
				n, bytes := 0, 0
				for n < len(all) && (n == 0 || bytes < liveBatchBytes) {
					bytes += proto.Size(all[n])
					n++
				}
				v.sendLive(s, all[:n])
				all = all[n:]
			}
		}
	})
}

// closeLive sends the last pieces, so that they precede the result. The caller holds mu.
func (o *output) closeLive() {
	o.finishSpeeches()
	if m := o.takeLive(); m != nil {
		o.w.voices.sendLive(o.a.session, []*workerv1.Live{m})
	}
}

func (v *voices) sendLive(s *session, told []*workerv1.Live) {
	data, err := proto.Marshal(&workerv1.ProgressBatch{Version: workerv1.Version, Instance: s.instance, Live: told})
	if err == nil {
		err = v.w.conn.Send(queue.Progress, data)
	}
	if err != nil {
		v.w.quiet.warn("live", "what attempts tell live is lost", "attempts", len(told), "error", err)
	}
}
