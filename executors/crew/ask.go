package crew

import (
	"encoding/json"
	"fmt"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/agent"
	"github.com/taskgrove/taskgrove/executors/journal"
)

// asked is what whoever answers has to know of a use of a tool.
type asked struct {
	Message   string          `json:"message"`
	Choices   []string        `json:"choices"`
	Agent     string          `json:"agent"`
	Tool      string          `json:"tool"`
	Arguments json.RawMessage `json:"arguments"`
	Schema    json.RawMessage `json:"schema,omitempty"` // of the payload of edit, which takes the place of the arguments
}

const maxAsked = 48 << 10 // bytes of arguments and schema, each

// ask ends an attempt with a question. The next one goes on with the answer.
func (w *work) ask(waits *agent.Waits) *executors.Outcome {
	w.session.Journal.Await(waits.ID)
	data := asked{Message: waits.Error(), Choices: []string{agent.Accept, agent.Edit, agent.Refuse}, Agent: waits.Agent, Tool: waits.Tool,
		Arguments: waits.Arguments, Schema: waits.Schema}
	if len(data.Schema) > maxAsked/4 {
		data.Schema = nil // what is wrong with the arguments is found out where they are used
	}
	if len(data.Arguments) > maxAsked {
		data.Arguments, _ = json.Marshal(fmt.Sprintf("too long to be shown: %d bytes", len(data.Arguments))) // text
	}
	return executors.Awaiting(executors.Await{Kind: executors.AwaitApproval, Resume: true, Data: data})
}

// answered is what somebody said of the question that the attempt before ended with.
func answered(call *executors.Call, j *journal.Journal) func(id string) *journal.Ruled {
	return func(id string) *journal.Ruled {
		a := call.Answer
		if a == nil || id != j.Awaits() {
			return nil
		}
		return &journal.Ruled{Choice: a.Choice, Arguments: a.Payload, By: a.By, Comment: a.Comment}
	}
}
