package model

import (
	"encoding/json"
	"errors"
	"fmt"
)

// anthropicEvent is one of a streamed message.
type anthropicEvent struct {
	Type    string            `json:"type"`
	Message *anthropicMessage `json:"message"`
	Index   int               `json:"index"`
	Block   *anthropicBlock   `json:"content_block"`
	Delta   *struct {
		Type    string `json:"type"`
		Text    string `json:"text"`
		Partial string `json:"partial_json"`
		Stop    string `json:"stop_reason"`
	} `json:"delta"`
	Usage *anthropicUsage `json:"usage"`
	Error json.RawMessage `json:"error"`
}

// anthropicState is what a stream has begun.
type anthropicState struct {
	index  int
	open   string    // type of the block that is open; empty: none
	call   *toolCall // that the block is
	answer bool      // the block is the answer itself
	tokens [3]int64
}

func (w anthropic) event(_ *question, e event, to *draft) (text string, last bool, err error) {
	var a anthropicEvent
	if err := unmarshal(e.data, &a); err != nil {
		return "", false, err
	}
	if fault := inBand(a.Error); fault != nil {
		return "", false, fault
	}
	c, err := to.choice(0)
	if err != nil {
		return "", false, err
	}
	state := &to.anthropic
	switch a.Type {
	case "error":
		return "", false, errors.New("it is an error that says nothing")
	case "message_start":
		if a.Message != nil {
			to.id, to.model = a.Message.ID, a.Message.Model
			a.Message.Usage.into(to, &state.tokens)
		}
	case "content_block_start":
		text, err = state.begin(c, &a)
		return text, false, err
	case "content_block_delta":
		text, err = state.add(c, &a)
		return text, false, err
	case "content_block_stop":
		state.open, state.call, state.answer = "", nil, false
	case "message_delta":
		if a.Delta != nil && a.Delta.Stop != "" {
			c.finish = anthropicFinish(a.Delta.Stop)
		}
		a.Usage.into(to, &state.tokens)
	case "message_stop":
		return "", true, nil
	}
	return "", false, nil // ping, and what is new
}

func (s *anthropicState) begin(c *choice, a *anthropicEvent) (text string, err error) {
	if a.Block == nil || s.open != "" {
		return "", errors.New("a block begins in a way that the format does not have")
	}
	s.index, s.open = a.Index, a.Block.Type
	switch a.Block.Type {
	case "text":
		c.text.WriteString(a.Block.Text)
		return a.Block.Text, nil
	case "tool_use":
		if s.answer = a.Block.Name == answerTool; s.answer {
			c.text.Reset()
			return "", nil
		}
		s.call, err = c.call(a.Block.ID, a.Block.Name)
	}
	return "", err
}

func (s *anthropicState) add(c *choice, a *anthropicEvent) (text string, err error) {
	if a.Delta == nil || s.open == "" || a.Index != s.index {
		return "", fmt.Errorf("a part of block %d comes while that is not open", a.Index)
	}
	switch a.Delta.Type {
	case "text_delta":
		c.text.WriteString(a.Delta.Text)
		return a.Delta.Text, nil
	case "input_json_delta":
		switch {
		case s.answer:
			c.text.WriteString(a.Delta.Partial)
			return a.Delta.Partial, nil
		case s.call != nil:
			s.call.arguments.WriteString(a.Delta.Partial)
		}
	}
	return "", nil
}
