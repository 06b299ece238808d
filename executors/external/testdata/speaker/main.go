// Command speaker is an executor that speaks the protocol in a container: it answers with its inputs, as late as they say.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	say := func(m map[string]any) { _ = json.NewEncoder(os.Stdout).Encode(m) }
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var m struct {
			Type, Reason string
			Attempt      string `json:"attempt_id"`
			Inputs       struct {
				Value   any
				Seconds float64
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		switch m.Type {
		case "hello":
			say(map[string]any{"type": "hello", "version": 1})
		case "describe":
			say(map[string]any{"type": "description", "id": "speaker", "description": "Answers with its inputs", "cancelable": true, "concurrency": 4})
		case "cancel":
			say(map[string]any{"type": "error", "attempt_id": m.Attempt, "error": m.Reason, "partial": "half"})
		case "start":
			fmt.Fprintln(os.Stderr, "began")
			say(map[string]any{"type": "log", "attempt_id": m.Attempt, "text": "ready"})
			if m.Inputs.Seconds == 0 {
				say(map[string]any{"type": "result", "attempt_id": m.Attempt, "result": map[string]any{"value": m.Inputs.Value, "level": os.Getenv("LEVEL")}})
			}
		}
	}
}
