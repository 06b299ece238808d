package tools

import (
	"fmt"
	"strings"
)

// elsewhere is what does the work of well-known tools that are none of ours. The names are those of CrewAI's package of tools.
var elsewhere = map[string]string{
	"SerperDevTool":                "a search service by its HTTP API: " + executorForm("rest_executor"),
	"EXASearchTool":                "a search service by its HTTP API: " + executorForm("rest_executor"),
	"TavilySearchTool":             "a search service by its HTTP API: " + executorForm("rest_executor"),
	"BraveSearchTool":              "a search service by its HTTP API: " + executorForm("rest_executor"),
	"WebsiteSearchTool":            "LimitedScrapeWebsiteTool() reads a page",
	"SeleniumScrapingTool":         "LimitedScrapeWebsiteTool() reads a page, without its scripts",
	"FirecrawlScrapeWebsiteTool":   "LimitedScrapeWebsiteTool() reads a page",
	"ScrapeElementFromWebsiteTool": "LimitedScrapeWebsiteTool(focus_sections=[…]) reads parts of a page",
	"GithubSearchTool":             "GitHubAnalysisTool() tells of an account; all else is in GitHub's MCP server: {\"mcp\": …}",
	"FileReadTool":                 executorForm("file_executor"),
	"FileWriterTool":               executorForm("file_executor"),
	"DirectoryReadTool":            executorForm("file_executor"),
	"DirectorySearchTool":          executorForm("file_executor"),
	"CodeInterpreterTool":          executorForm("python_executor"),
	"NL2SQLTool":                   executorForm("sql_executor"),
	"PGSearchTool":                 executorForm("sql_executor"),
	"MySQLSearchTool":              executorForm("sql_executor"),
	"MCPServerAdapter":             `{"mcp": {"transport": "http", "url": …}}`,
}

func executorForm(id string) string { return fmt.Sprintf(`{"executor": %q, …}`, id) }

// notFound is the text about a name that no kind has.
func (r *Registry) notFound(name string) string {
	text := fmt.Sprintf("Tool '%s' not found: ", shown(name))
	names := r.Names()
	if near := nearest(name, names); near != "" {
		return text + fmt.Sprintf("did you mean '%s'?", near)
	}
	if instead := elsewhere[name]; instead != "" {
		return text + "it is not part of Taskgrove. Use instead " + instead
	}
	if len(names) == 0 {
		return text + "this worker has no tools"
	}
	return text + "this worker has " + strings.Join(names, ", ")
}

// nearest is the name that is so close to another that it is likely meant; empty: none is.
func nearest(name string, names []string) string {
	best, least := "", max(2, len(name)/4)+1
	for _, other := range names {
		if strings.EqualFold(name, other) || strings.EqualFold(name+"Tool", other) {
			return other
		}
		if d := distance(strings.ToLower(name), strings.ToLower(other), least); d < least {
			best, least = other, d
		}
	}
	return best
}

// distance is how many letters differ (Levenshtein); most or more: too many.
func distance(a, b string, most int) int {
	if len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// shown is a name of unknown origin, as errors show it.
func shown(name string) string {
	const most = 64
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
}
