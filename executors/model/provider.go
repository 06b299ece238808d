package model

import (
	"regexp"
	"slices"
	"strings"
)

// The wire formats.
const (
	apiOpenAI    = "openai"
	apiAnthropic = "anthropic"
)

// provider is a service as it is known to everybody.
type provider struct {
	url      string   // what stands before /chat/completions; empty: only its customers know
	api      string   // empty: openai
	keys     []string // variables of its key; nil: <NAME>_API_KEY
	keyless  bool     // it wants no key
	azure    bool     // its key goes in the header api-key
	whyNot   string   // it can't be asked without an address of the operator's
	noUsage  bool     // it refuses stream_options, and tells the usage of streams anyway
	hasGPT   bool     // new models want max_completion_tokens
	prefixes []string // other names of the same service
}

const (
	signs     = "its requests are signed in a way of its own"
	perClient = "each customer has an address of their own"
)

// providers are those of spec 5.7, and the best known others.
var providers = map[string]provider{
	"openai":       {url: "https://api.openai.com/v1", hasGPT: true},
	"anthropic":    {url: "https://api.anthropic.com", api: apiAnthropic},
	"google":       {url: "https://generativelanguage.googleapis.com/v1beta/openai", prefixes: []string{"gemini"}},
	"azure":        {whyNot: perClient, azure: true, hasGPT: true},
	"azure_openai": {whyNot: perClient, azure: true, hasGPT: true},
	"cohere":       {url: "https://api.cohere.ai/compatibility/v1"},
	"mistral":      {url: "https://api.mistral.ai/v1", noUsage: true},
	"groq":         {url: "https://api.groq.com/openai/v1"},
	"ai21":         {url: "https://api.ai21.com/studio/v1"},
	"together":     {url: "https://api.together.xyz/v1", prefixes: []string{"together_ai"}},
	"replicate":    {whyNot: "it does not speak OpenAI's format"},
	"ollama":       {url: "http://localhost:11434/v1", keyless: true, prefixes: []string{"ollama_chat"}},
	"local":        {whyNot: "it is a service of the operator's own", keyless: true},
	"deepinfra":    {url: "https://api.deepinfra.com/v1/openai"},
	"sambanova":    {url: "https://api.sambanova.ai/v1"},
	"nvidia":       {url: "https://integrate.api.nvidia.com/v1", prefixes: []string{"nvidia_nim"}},
	"cloudflare":   {whyNot: perClient},
	"voyage":       {whyNot: "it has no chat models"},
	"bedrock":      {whyNot: signs, keys: []string{"AWS_ACCESS_KEY_ID"}},
	"sagemaker":    {whyNot: signs, keys: []string{"AWS_ACCESS_KEY_ID"}},
	"vertex":       {whyNot: signs, keys: []string{"VERTEX_PROJECT"}, prefixes: []string{"vertex_ai"}},
	"deepseek":     {url: "https://api.deepseek.com/v1"},
	"xai":          {url: "https://api.x.ai/v1"},
	"openrouter":   {url: "https://openrouter.ai/api/v1"},
	"fireworks":    {url: "https://api.fireworks.ai/inference/v1", prefixes: []string{"fireworks_ai"}},
	"perplexity":   {url: "https://api.perplexity.ai"},
	"cerebras":     {url: "https://api.cerebras.ai/v1"},
	"huggingface":  {url: "https://router.huggingface.co/v1"},
	"moonshot":     {url: "https://api.moonshot.ai/v1"},
}

// parts of names of models that tell their provider, in the order of spec 5.7.
var parts = []struct{ part, provider string }{
	{"gpt-", "openai"}, {"claude", "anthropic"}, {"gemini", "google"}, {"palm", "google"}, {"command", "cohere"},
	{"mistral", "mistral"}, {"mixtral", "mistral"}, {"llama", "groq"}, {"j2-", "ai21"}, {"togethercomputer", "together"},
	{"replicate", "replicate"}, {"ollama", "ollama"}, {"deepinfra", "deepinfra"}, {"sambanova", "sambanova"}, {"nvidia", "nvidia"},
	{"cloudflare", "cloudflare"}, {"voyage", "voyage"},
}

// named is the provider that a prefix means, if it is a known one.
func named(prefix string) (string, bool) {
	prefix = strings.ToLower(prefix)
	if _, ok := providers[prefix]; ok {
		return prefix, true
	}
	for name, p := range providers {
		if slices.Contains(p.prefixes, prefix) {
			return name, true
		}
	}
	return "", false
}

// guessed is the provider that a name without a known prefix tells (spec 5.7).
func guessed(model string) string {
	model = strings.ToLower(model)
	for _, row := range parts {
		if strings.Contains(model, row.part) {
			return row.provider
		}
	}
	return "openai"
}

// variables are those that may hold a provider's key, in order. Spec 5.7 ends each list with OPENAI_API_KEY and ANTHROPIC_API_KEY; here these
// are keys of their own providers alone, as a key goes to nobody else.
func variables(name string) []string {
	upper := strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
	list := providers[name].keys
	if list == nil {
		list = []string{upper + "_API_KEY", upper + "_KEY"}
	}
	return append(slices.Clone(list), "LLM_API_KEY")
}

// KeysIn lists the variables of an environment that give keys to models of known services, by name.
func KeysIn(lookup func(name string) (string, bool)) (names []string) {
	for provider, known := range providers {
		if known.keys != nil { // of a service that has no such key
			continue
		}
		for _, name := range variables(provider) {
			if value, ok := lookup(name); ok && value != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// newer are models of OpenAI's that take max_completion_tokens, and no max_tokens.
var newer = regexp.MustCompile(`^(o[1-9]|gpt-[5-9]|gpt-[1-9][0-9])`)
