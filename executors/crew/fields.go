package crew

// Fields of the reference's crews that are neither read nor unknown.

// ignoredOfAgents change nothing of what an agent of ours does.
var ignoredOfAgents = []string{
	"id", "cache", "memory", "embedder", "function_calling_llm", "max_retry_limit", "respect_context_window", "use_system_prompt",
	"response_template", "date_format", "code_execution_mode", "security_config", "max_reasoning_attempts", "use_better_compaction",
	"config", "tags", "description",
}

const (
	noFunctions = "functions of Python are not known here"
	noSkills    = "is not supported: give the agent tools"
)

// refusedOfAgents are those that an author counts on, each with why it can't be had.
var refusedOfAgents = map[string]string{
	"allow_code_execution": "code of a model is never run: give the agent tools",
	"step_callback":        noFunctions, "callbacks": noFunctions, "guardrail": noFunctions,
	"knowledge_sources": noSkills, "knowledge": noSkills, "knowledge_config": noSkills, "skills": noSkills, "apps": noSkills,
	"mcps":            "is not supported: name MCP servers in tools",
	"multimodal":      "is not supported",
	"reasoning":       "is not supported: choose a model that reasons",
	"planning":        "is not supported: choose a model that reasons",
	"from_repository": "agents are written here, and fetched from nowhere",
}

var ignoredOfTasks = []string{
	"id", "config", "prompt_context", "security_config", "create_directory", "converter_cls", "max_retries", "guardrail_max_retries",
	"allow_crewai_trigger_context", "output",
}

var refusedOfTasks = map[string]string{
	"human_input": "is not supported yet: no person can be asked in the middle of a crew",
	"output_file": "a crew writes no files: let a file_executor task do it, from this task's result",
	"callback":    noFunctions, "guardrail": noFunctions, "guardrails": noFunctions,
	"input_files": "is not supported: give the agent a tool that reads them",
}

var ignoredOfCrews = []string{
	"id", "name", "cache", "memory", "embedder", "function_calling_llm", "share_crew", "full_output", "language", "output_log_file", "tracing",
	"usage_metrics", "config", "security_config", "prompt_file", "chat_llm", "stream", "description",
}

var refusedOfCrews = map[string]string{
	"step_callback": noFunctions, "task_callback": noFunctions, "before_kickoff_callbacks": noFunctions, "after_kickoff_callbacks": noFunctions,
	"planning":          "is not supported: a manager plans (process: hierarchical)",
	"planning_llm":      "is not supported: a manager plans (process: hierarchical)",
	"knowledge_sources": noSkills, "knowledge": noSkills, "skills": noSkills,
}
