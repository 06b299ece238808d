package sources

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/resource"
)

// id is what errors of inputs call whoever uses a connection here.
const id = "bundle.source"

// dialer is how sources connect: the operator chose where to in the manifest, as in a connection.
func dialer() *network.Network { return network.New(network.Config{}) }

// call is an attempt of nobody, whose inputs are those of the connection that the executors take.
func call(at *bundle.Place, takes *executors.Connection) (*executors.Call, error) {
	c := at.Connection
	if c == nil {
		return nil, fmt.Errorf("bundle.source.resource: is required by sources of type %s", at.Spec.Origin.Type)
	}
	if !slices.Contains(takes.Types, c.Type) {
		return nil, fmt.Errorf("bundle.source.resource: a connection of type %s is of no use for sources of type %s", c.Type, at.Spec.Origin.Type)
	}
	in, err := fields(c, takes.Fields)
	if err != nil {
		return nil, err
	}
	if takes.TypeField != "" && in[takes.TypeField] == nil {
		in[takes.TypeField] = c.Type
	}
	text, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return &executors.Call{TaskID: at.Spec.ID, Connection: cmp.Or(at.Spec.Origin.Resource, "bundle"), Inputs: text, Attempt: 1, Reporter: silent{}}, nil
}

// silent is the reporter of an attempt that nobody sees.
type silent struct{}

func (silent) Log(string, string)               {}
func (silent) Progress(float64, string)         {}
func (silent) Checkpoint(json.RawMessage) error { return nil }

// fields are the settings of a connection by the names that are taken.
func fields(c *resource.Connection, names []string) (map[string]any, error) {
	in := map[string]any{}
	for _, f := range c.Fields {
		i := slices.IndexFunc(f.Names, func(name string) bool { return slices.Contains(names, name) })
		switch {
		case i >= 0:
			if in[f.Names[i]] == nil {
				in[f.Names[i]] = f.Value
			}
		case !f.Soft:
			return nil, fmt.Errorf("bundle.source.resource: %s is of no use there", f.Path)
		}
	}
	return in, nil
}

// failed is an error of a source that may answer later.
func failed(err error) error { return fmt.Errorf("%w: %w", bundle.ErrSource, err) }

// watched is a context that ends when beat was not called for some time.
type watched struct {
	context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

func watch(limit time.Duration) *watched {
	ctx, cancel := context.WithCancelCause(context.Background())
	w := &watched{ctx, cancel, nil, limit}
	w.timer = time.AfterFunc(limit, func() {
		cancel(executors.WithKind(fmt.Errorf("the server did not answer for %v", limit), executors.KindTimeout))
	})
	return w
}

func (w *watched) beat() { w.timer.Reset(w.limit) }

// during ends what is watched with ctx, until stop is called, and begins to wait anew.
func (w *watched) during(ctx context.Context) (stop func() bool) {
	w.beat()
	return context.AfterFunc(ctx, func() { w.cancel(context.Cause(ctx)) })
}

// explained is why something failed: the end of what is watched, if it has ended.
func (w *watched) explained(err error) error {
	if err != nil && w.Err() != nil {
		return context.Cause(w)
	}
	return err
}

func (w *watched) close() {
	w.timer.Stop()
	w.cancel(nil)
}
