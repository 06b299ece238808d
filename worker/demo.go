package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

// demoSleep is the key by which a demonstrated result says how many seconds the work would take; it is taken out (spec 3.10).
const demoSleep = "_demo_sleep"

// mostDemo bounds how long a demonstration lasts, whatever it says of itself.
const mostDemo = 24 * time.Hour

// demonstrate makes up the result of an attempt that is not to be run: what its executor shows, or what all show that have nothing of their
// own. Nothing happens outside, so inputs are not checked, secrets are not looked up, and an executor that is off shows its results, too.
func (w *Worker) demonstrate(ctx context.Context, e executors.Executor, call *executors.Call) ([]byte, error) {
	value, takes := executors.DemoResult()
	if d, ok := e.(executors.Demonstrator); ok {
		value, takes = d.Demo(call)
	}
	data, err := encode(value)
	if err != nil {
		return nil, executors.Permanent(fmt.Errorf("demonstrated result can't be encoded as JSON: %w", err))
	}
	data, more := marked(data)
	takes = time.Duration(float64(takes+more) * max(w.cfg.DemoSleepScale, 0))
	end := time.NewTimer(min(takes, mostDemo))
	defer end.Stop()
	select {
	case <-end.C:
	case <-ctx.Done():
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return data, nil
}

// marked gives a demonstrated result its mark, demo_mode, and takes out how long it lasts: objects have both among their members, other
// values become the member result.
func marked(data []byte) (out []byte, takes time.Duration) {
	if len(data) == 0 {
		data = []byte("null")
	}
	var object map[string]json.RawMessage
	if data[0] != '{' || rawjson.Unmarshal(data, &object) != nil {
		return fmt.Appendf(nil, `{"result":%s,"demo_mode":true}`, data), 0
	}
	var seconds float64
	if json.Unmarshal(object[demoSleep], &seconds) == nil && seconds > 0 {
		takes = time.Duration(min(seconds, mostDemo.Seconds()) * float64(time.Second))
	}
	delete(object, demoSleep)
	object["demo_mode"] = json.RawMessage("true")
	out, err := json.Marshal(object)
	if err != nil {
		return bytes.Clone(data), takes
	}
	return out, takes
}
