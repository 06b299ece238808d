package crew

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/agent"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/tools"
)

// equip makes the tools of all agents, and finds out what can't work, before anything is paid for.
func (o *order) equip(ctx context.Context, id string, kits *tools.Session, ask *model.Session) error {
	var bad troubles
	for _, c := range o.crews {
		for _, m := range c.everybody() {
			m.kit = bad.resolve(ctx, kits, m.path+".tools", m.tools)
		}
		for _, t := range c.tasks {
			t.kit = bad.resolve(ctx, kits, t.path+".tools", t.tools)
		}
		for _, m := range c.everybody() {
			bad.check(ctx, ask, id, m.path, c.request(m, m.kit, nil))
		}
		for _, t := range c.tasks {
			who, kit := t.agent, t.kit
			if c.manager != nil {
				who = c.manager
			} else if kit == nil {
				kit = who.kit
			}
			bad.check(ctx, ask, id, t.path, c.request(who, kit, t))
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return bad.error(id)
}

// everybody is all agents of the crew, and its manager.
func (c *crew) everybody() []*member {
	if c.manager == nil {
		return c.members
	}
	return append(c.members[:len(c.members):len(c.members)], c.manager)
}

// request is like the one by which an agent begins to work on a task.
func (c *crew) request(m *member, kit agent.Tools, t *task) *model.Request {
	r := &model.Request{
		Models: m.llm.models, Messages: []model.Message{model.Text(model.User, "?")}, Temperature: m.llm.temperature, MaxTokens: m.llm.maxTokens,
		Extra: m.llm.extra,
	}
	if m.delegates || m == c.manager {
		kit = (&run{crew: c}).withTeam(kit, []*member{m}, c.members)
	}
	if kit != nil {
		r.Tools = kit.Specs()
	}
	if t != nil {
		r.Schema = t.schema
	}
	return r
}

// troubles are what stands in the way of a crew.
type troubles struct {
	texts   []string
	passing error // the first one that another attempt may not meet
}

func (b *troubles) resolve(ctx context.Context, kits *tools.Session, path string, list json.RawMessage) agent.Tools {
	if empty(list) {
		return nil
	}
	set, errs := kits.Resolve(ctx, path, list)
	for _, err := range errs {
		b.add(err.Error())
		if !executors.IsPermanent(err) && b.passing == nil {
			b.passing = err
		}
	}
	if set == nil {
		return nil
	}
	return set
}

func (b *troubles) check(ctx context.Context, ask *model.Session, id, path string, r *model.Request) {
	err := ask.Check(ctx, r)
	if err == nil {
		return
	}
	if !executors.IsPermanent(err) && b.passing == nil {
		b.passing = err
	}
	text := strings.TrimPrefix(err.Error(), "["+id+"] ")
	for _, known := range b.texts {
		if strings.HasSuffix(known, ": "+text) {
			return // of another agent: one telling is enough
		}
	}
	b.add(path + ": " + text)
}

func (b *troubles) add(text string) { b.texts = append(b.texts, text) }

func (b *troubles) error(id string) error {
	if len(b.texts) == 0 {
		return nil
	}
	text := list(b.texts)
	if b.passing != nil { // all may be well later, so this is no fault of the document
		return executors.RetryAfter(errors.New(text), executors.RetryAfterOf(b.passing))
	}
	return executors.Invalid(id, text)
}
