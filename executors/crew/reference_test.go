package crew_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/taskgrove/taskgrove/executors/crew"
	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

// referenceCases are crews of the shapes that the reference's guides and tests have: lists and objects, agents that are named by their role,
// without goal, backstory or expected output, models of agents and of the whole crew, and tools.
var referenceCases = []struct {
	name, params, schemas, inputs string
	batch                         bool
	prompts                       []string // what each question must have
}{
	{
		name: "guide, LLM key: a model of the agent, and a variable",
		params: `{"works":{"agents":{"researcher":{"role":"Research Analyst","goal":"Research the topic that is given","llm":"openai/gpt-4"}},
			"tasks":{"research":{"description":"Research the topic: {topic}","agent":"researcher"}}}}`,
		inputs:  `{"topic":"Artificial Intelligence"}`,
		prompts: []string{"Research the topic: Artificial Intelligence"},
	},
	{
		name: "guide, basic task: lists, and an agent that is named by its role",
		params: `{"name":"Simple Analysis Crew","agents":[{"role":"Analyst","goal":"Find what the text says","backstory":"You know data"}],
			"tasks":[{"description":"Analyze the following text: {text}","agent":"Analyst"}]}`,
		inputs:  `{"text":"Sales increased by 20% this quarter."}`,
		prompts: []string{"Analyze the following text: Sales increased by 20% this quarter."},
	},
	{
		name:    "guide, quick reference: works with lists",
		params:  `{"works":{"agents":[{"role":"Analyst","goal":"Analyze data"}],"tasks":[{"description":"Analyze: {text}","agent":"Analyst"},{"description":"Sum up","agent":"Analyst"}]}}`,
		inputs:  `{"text":"T"}`,
		prompts: []string{"Analyze: T", "Sum up\n<result task=\"task_1\" agent=\"Analyst\">"},
	},
	{
		name: "guide, batch: works with lists",
		params: `{"works":{"data_collection":{"agents":[{"role":"Collector","goal":"Collect data"}],"tasks":[{"description":"Collect data","agent":"Collector"}]},
			"data_analysis":{"agents":[{"role":"Analyst","goal":"Analyze data"}],"tasks":[{"description":"Analyze data","agent":"Analyst"}]}}}`,
		inputs: `{}`, batch: true,
		prompts: []string{"Collect data", "Analyze data"},
	},
	{
		name: "tests, crew: an agent with all of the usual fields",
		params: `{"name":"Test Research Crew","works":{"agents":{"researcher":{"role":"Researcher","goal":"Sum up in brief","backstory":"You help with research",
			"verbose":false,"allow_delegation":false,"llm":"openai/gpt-3.5-turbo"}},
			"tasks":{"research_task":{"description":"Say in one sentence what Python is","expected_output":"One sentence","agent":"researcher"}}}}`,
		inputs: `{}`, prompts: []string{"Say in one sentence what Python is\nOne sentence"},
	},
	{
		name: "tests, crew: a model of the crew, and no inputs",
		params: `{"works":{"agents":{"researcher":{"role":"Researcher","goal":"Research things","backstory":"You research"}},
			"tasks":{"research":{"description":"Research","expected_output":"Findings","agent":"researcher"}}}}`,
		schemas: `{"method":"crewai_executor","model":"openai/gpt-4"}`,
		inputs:  `{}`, prompts: []string{"Findings"},
	},
	{
		name: "tests, batch: the same inputs for all works",
		params: `{"works":{
			"greeting_crew":{"agents":{"greeter":{"role":"Greeter","goal":"Greet people by name","backstory":"You are friendly","verbose":false,"allow_delegation":false,"llm":"openai/gpt-3.5-turbo"}},
				"tasks":{"greeting_task":{"description":"Write a greeting for {name}","expected_output":"A greeting","agent":"greeter"}}},
			"farewell_crew":{"agents":{"fareweller":{"role":"Fareweller","goal":"Say goodbye by name","backstory":"You are polite","verbose":false,"allow_delegation":false,"llm":"openai/gpt-3.5-turbo"}},
				"tasks":{"farewell_task":{"description":"Write a goodbye for {name}","expected_output":"A goodbye","agent":"fareweller"}}}}}`,
		inputs: `{"name":"Alice"}`, batch: true,
		prompts: []string{"Write a greeting for Alice", "Write a goodbye for Alice"},
	},
	{
		name: "tests, batch: one work",
		params: `{"works":{"single_crew":{"agents":{"assistant":{"role":"Assistant","goal":"Help","backstory":"You help","llm":"openai/gpt-3.5-turbo"}},
			"tasks":{"simple_task":{"description":"Say hello in one sentence","expected_output":"A greeting","agent":"assistant"}}}}}`,
		inputs: `{}`, batch: true, prompts: []string{"Say hello in one sentence"},
	},
}

// TestCrewsOfTheReferenceRun plays each of them.
func TestCrewsOfTheReferenceRun(t *testing.T) {
	t.Parallel()
	for _, c := range referenceCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "openai")
			var turns []modeltest.Turn
			for _, prompt := range c.prompts {
				turns = append(turns, modeltest.Turn{When: prompt, Text: "An answer"})
			}
			b.Play("*", play(turns...))
			b.set(`{}`, c.inputs)
			b.call.Params, b.call.Schemas = json.RawMessage(c.params), json.RawMessage(c.schemas)
			e := b.single
			if c.batch {
				e = b.batch
			}
			_, got, err := b.run(t, e)
			if err != nil || got["status"] != "success" || got["token_usage"] == nil {
				t.Fatalf("got %v, %v", got, err)
			}
			if works, ok := got["result"].(map[string]any); c.batch && (!ok || len(works) != len(c.prompts)) || !c.batch && got["result"] != "An answer" {
				t.Errorf("result is %v", got["result"])
			}
			if n := len(b.Requests()); n != len(c.prompts) {
				t.Errorf("%d questions, want %d", n, len(c.prompts))
			}
		})
	}
}

// TestExamplesRun runs what the documentation shows.
func TestExamplesRun(t *testing.T) {
	t.Parallel()
	scraper := kindOf("LimitedScrapeWebsiteTool", "scrape", func(context.Context, string) (string, error) { return "A page", nil })
	b := newBench(t, "openai", scraper)
	for _, e := range []*crew.Executor{b.single, b.batch} {
		for _, x := range e.Describe().Examples {
			b.Play("*", play(
				modeltest.Turn{When: "Read https://example.org/heat-pumps", Calls: []modeltest.Call{{Name: "scrape", Arguments: `{"q":"https://example.org/heat-pumps"}`}}},
				modeltest.Turn{When: "Rate this company", Text: `{"rating": 3, "reasons": ["debts"]}`},
				modeltest.Turn{Text: "An answer", Times: -1},
			))
			b.set(`{}`, string(x.Inputs))
			b.call.Params, b.call.Schemas = x.Params, x.Schemas
			if _, got, err := b.run(t, e); err != nil || got["status"] != "success" {
				t.Errorf("%s: got %v, %v", x.Title, got, err)
			}
		}
	}
}
