package a2a

import (
	"log/slog"
	"time"

	"github.com/taskgrove/taskgrove/dag"
)

// Config bounds and names a [Handler]. The zero value is usable.
type Config struct {
	Log     *slog.Logger // default: slog.Default()
	Version string       // the card's
	BaseURL string       // under which clients reach the HTTP port, without a slash at its end; empty: what each names as Host
	Tokens  bool         // callers need one, which the card says
	Known   dag.Known    // the executors that a task's choice is made from (spec 1.3)
	Limits  dag.Limits   // of a tree

	MaxBodyBytes    int64 // of one request; default 10 MB (spec 6.2)
	MaxHistoryBytes int   // of a message that is kept; a longer one is kept without its data; default 64 KiB
	MaxStreams      int   // event streams and waiting calls at once; default 10 000

	RequestTimeout time.Duration // of a call, streaming and waiting apart; default 5 min
	MaxWait        time.Duration // for the end of a tree, before a call is answered with how far it has come; default 1 h
	KeepAlive      time.Duration // between comments on an idle stream; default 10 s
	ResumeTimeout  time.Duration // for which a stream tries to go on when events can't be read; default 30 s
}

func (c Config) withDefaults() Config {
	def(&c.Log, slog.Default())
	def(&c.Version, "dev")
	def(&c.MaxBodyBytes, 10_000_000)
	def(&c.MaxHistoryBytes, 64<<10)
	def(&c.MaxStreams, 10_000)
	def(&c.RequestTimeout, 5*time.Minute)
	def(&c.MaxWait, time.Hour)
	def(&c.KeepAlive, 10*time.Second)
	def(&c.ResumeTimeout, 30*time.Second)
	return c
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
