package crew

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/agent"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/tools"
	"github.com/taskgrove/taskgrove/internal/rawjson"
)

const (
	delegateTool = "delegate_work_to_coworker"
	askTool      = "ask_question_to_coworker"

	maxDelegations = 100 // of a crew
	maxDepth       = 3   // agents that wait for one another's work
)

// team is the tools of an agent that may delegate: those to reach its coworkers, and its own.
type team struct {
	run   *run
	chain []*member // who waits for whose work; the last one is the agent
	list  []*member // coworkers
	own   agent.Tools
}

// withTeam adds to an agent's own tools those to delegate, if it has anybody to delegate to.
func (r *run) withTeam(own agent.Tools, chain, list []*member) agent.Tools {
	list = slices.DeleteFunc(slices.Clone(list), func(m *member) bool { return slices.Contains(chain, m) })
	if len(list) == 0 || len(chain) > maxDepth {
		return own
	}
	return &team{run: r, chain: chain, list: list, own: own}
}

// Specs implements [agent.Tools].
func (t *team) Specs() []model.Tool {
	names := make([]string, len(t.list))
	about := make([]string, len(t.list))
	for i, m := range t.list {
		names[i] = m.name()
		about[i] = "- " + m.name()
		if m.goal != "" {
			about[i] += ": " + cut(m.goal, 300)
		}
	}
	enum, _ := json.Marshal(names) // texts
	schema := func(what, why string) json.RawMessage {
		return json.RawMessage(fmt.Sprintf(`{"type":"object","properties":{%q:{"type":"string","description":%q},`+
			`"context":{"type":"string","description":"All that the coworker must know for it: they know nothing of your task"},`+
			`"coworker":{"type":"string","enum":%s}},"required":[%q,"context","coworker"]}`, what, why, enum, what))
	}
	list := " Coworkers:\n" + strings.Join(about, "\n")
	specs := []model.Tool{
		{Name: delegateTool, Description: "Give a coworker a piece of work, and get its result." + list, Schema: schema("task", "What the coworker shall do")},
		{Name: askTool, Description: "Ask a coworker a question, and get the answer." + list, Schema: schema("question", "What you want to know")},
	}
	if t.own != nil {
		specs = append(specs, t.own.Specs()...)
	}
	return specs
}

// Use implements [agent.Tools].
func (t *team) Use(ctx context.Context, wish model.ToolCall) (tools.Answer, error) {
	if wish.Name != delegateTool && wish.Name != askTool {
		return t.own.Use(ctx, wish) // the agent's loop lets no other names through
	}
	var in struct{ Task, Question, Context, Coworker string }
	if rawjson.Check(wish.Arguments) != nil || json.Unmarshal(wish.Arguments, &in) != nil {
		return refuse("The arguments must be a JSON object with coworker, context, and task or question, all of them texts."), nil
	}
	work := in.Task
	if wish.Name == askTool {
		work = in.Question
	}
	to := t.coworker(in.Coworker)
	switch {
	case to == nil:
		return refuse("There is no such coworker. They are: " + strings.Join(t.names(), ", ") + "."), nil
	case strings.TrimSpace(work) == "":
		return refuse("Say what the coworker shall do."), nil
	case t.run.delegations.Add(1) > maxDelegations:
		return refuse("Nothing can be delegated any more."), nil
	}
	chain := append(slices.Clone(t.chain), to)
	answer, err := t.run.work(ctx, to, to.kit, chain, agent.Job{
		Name:   fmt.Sprintf("work for %s", t.chain[len(t.chain)-1].name()),
		Prompt: delegated(executors.Text([]byte(work)), executors.Text([]byte(in.Context))),
	})
	if err != nil {
		return tools.Answer{}, err
	}
	return tools.Answer{Text: answer.Text}, nil
}

// Asks implements [agent.Asking]: of the agent's own tools.
func (t *team) Asks(tool string) bool {
	own, ok := t.own.(agent.Asking)
	return ok && tool != delegateTool && tool != askTool && own.Asks(tool)
}

// Check implements [agent.Asking].
func (t *team) Check(tool string, arguments json.RawMessage) error {
	return t.own.(agent.Asking).Check(tool, arguments)
}

func refuse(text string) tools.Answer { return tools.Answer{Text: text, Failed: true} }

// coworker finds one by its role or its name, as models write them.
func (t *team) coworker(name string) *member {
	plain := func(s string) string {
		return strings.ToLower(strings.Trim(strings.Join(strings.Fields(s), " "), `"'.`))
	}
	for _, m := range t.list {
		if plain(m.role) == plain(name) || plain(m.key) == plain(name) {
			return m
		}
	}
	return nil
}

func (t *team) names() []string {
	names := make([]string, len(t.list))
	for i, m := range t.list {
		names[i] = m.name()
	}
	return names
}
