package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/tools"
	"github.com/taskgrove/taskgrove/executors/tools/web"
)

// user, repos and search have the shapes of GitHub's REST API, version 2022-11-28.
const (
	user = `{"login":%q,"id":583231,"node_id":"MDQ6VXNlcjU4MzIzMQ==","avatar_url":"https://avatars.githubusercontent.com/u/583231?v=4","gravatar_id":"",
"url":"https://api.github.com/users/octocat","html_url":"https://github.com/octocat","repos_url":"https://api.github.com/users/octocat/repos","type":%q,
"user_view_type":"public","site_admin":false,"name":"The Octocat","company":"@github","blog":"https://github.blog","location":"San Francisco","email":null,
"hireable":null,"bio":null,"twitter_username":null,"public_repos":8,"public_gists":8,"followers":19000,"following":9,"created_at":"2011-01-25T18:44:36Z","updated_at":"2026-01-22T11:19:37Z"}`
	repos = `[{"id":132935648,"name":"boysenberry-repo-1","full_name":"octocat/boysenberry-repo-1","private":false,"owner":{"login":"octocat","id":583231,"type":"User"},
"html_url":"https://github.com/octocat/boysenberry-repo-1","description":"Testing","fork":true,"stargazers_count":420,"watchers_count":420,"language":null,"forks_count":33,
"topics":[],"visibility":"public","forks":33,"open_issues":1,"watchers":420,"default_branch":"master"},
{"id":1296269,"name":"Hello-World","full_name":"octocat/Hello-World","private":false,"owner":{"login":"octocat","id":583231,"type":"User"},"fork":false,
"stargazers_count":3000,"watchers_count":3000,"language":"Shell","forks_count":2700,"visibility":"public"}]`
	search = `{"total_count":%d,"incomplete_results":false,"items":[%s]}`
)

// service is GitHub, as far as these tools ask it. It wants a token if one is set.
func service(t testing.TB, token string) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{name}", func(w http.ResponseWriter, r *http.Request) {
		switch name := r.PathValue("name"); name {
		case "octocat":
			fmt.Fprintf(w, user, "octocat", "User")
		case "the-octo-org":
			fmt.Fprintf(w, user, "the-octo-org", "Organization")
		case "old-name":
			http.Redirect(w, r, "/users/octocat", http.StatusMovedPermanently)
		case "limited":
			w.Header().Set("X-Ratelimit-Remaining", "0")
			w.Header().Set("X-Ratelimit-Reset", strconv.FormatInt(time.Now().Add(90*time.Second).Unix(), 10))
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"message":"API rate limit exceeded for 192.0.2.1. (But here's the good news: …)","documentation_url":"https://docs.github.com/rest/overview/resources-in-the-rest-api#rate-limiting"}`)
		case "secondary":
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusTooManyRequests)
		case "down":
			w.WriteHeader(http.StatusBadGateway)
		case "odd":
			fmt.Fprint(w, `<html>`)
		case "away":
			http.Redirect(w, r, "http://localhost:1/users/octocat", http.StatusMovedPermanently)
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"message":"Not Found","documentation_url":"https://docs.github.com/rest/users/users#get-a-user","status":"404"}`)
		}
	})
	mux.HandleFunc("GET /users/{name}/repos", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("per_page") != "100" {
			t.Errorf("asked for %s", r.URL)
		}
		fmt.Fprint(w, repos)
	})
	mux.HandleFunc("GET /search/users", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("q") == `"octo labs" type:org` {
			fmt.Fprintf(w, search, 1, fmt.Sprintf(user, "the-octo-org", "Organization"))
			return
		}
		fmt.Fprintf(w, search, 0, "")
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token != "" && r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"message":"Bad credentials","documentation_url":"https://docs.github.com/rest","status":"401"}`)
			return
		}
		if r.Header.Get("User-Agent") == "" || r.Header.Get("Accept") != "application/vnd.github+json" {
			t.Errorf("the request has %v", r.Header)
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestGitHubTellsOfAccounts(t *testing.T) {
	t.Parallel()
	s := service(t, "")
	zeros := func(project, more string) string {
		return fmt.Sprintf(`{"github_project":%q,"github_presence_score":0,"github_repo_count":0,"github_stars_count":0,"github_forks_count":0,"github_watchers_count":0,"github_followers_count":0,"github_following_count":0,"github_public_repos":0,"github_type":"","github_login":"","github_url":"","github_created_at":"","most_popular_repo":null%s}`, project, more)
	}
	octocat := func(project string) string {
		return fmt.Sprintf(`{"github_project":%q,"github_presence_score":100,"github_repo_count":8,"github_stars_count":3420,"github_forks_count":2733,"github_watchers_count":3420,"github_followers_count":19000,"github_following_count":9,"github_public_repos":8,"github_type":"User","github_login":"octocat","github_url":"https://github.com/octocat","github_created_at":"2011-01-25T18:44:36Z","most_popular_repo":{"name":"Hello-World","stars":3000,"language":"Shell"}}`, project)
	}
	for arguments, want := range map[string]string{
		`{"project":"octocat"}`:                                octocat("octocat"),
		`{"project":"octocat/Hello-World"}`:                    octocat("octocat/Hello-World"),
		`{"project":"https://github.com/octocat/Hello-World"}`: octocat("https://github.com/octocat/Hello-World"),
		`{"project":"old-name"}`:                               octocat("old-name"),
		`{"project":"octo labs"}`:                              `"github_presence_score":50,`,
		`{"project":"octocat","include_repos":false}`:          `"github_stars_count":0,`,
		`{"project":"nobody"}`:                                 zeros("nobody", ""),
		`{"project":"limited"}`:                                `GitHub's limit of requests is reached; the next one makes sense after 1m`,
		`{"project":"secondary"}`:                              zeros("secondary", `,"error":"GitHub's limit of requests is reached; the next one makes sense after 1m0s"`),
		`{"project":"down"}`:                                   zeros("down", `,"error":"GitHub failed (502)"`),
		`{"project":"odd"}`:                                    zeros("odd", `,"error":"GitHub's answer is not what its API describes"`),
		`{"project":"away"}`:                                   zeros("away", `,"error":"GitHub redirects to another host"`),
		`{"project":"x\" user:octocat"}`:                       `"github_presence_score":0,`,
		`{"project":"../search/users?q=x"}`:                    `"github_presence_score":0,`,
		`{"project":""}`:                                       `Input validation failed`,
		`{}`:                                                   `project is required in inputs`,
	} {
		answer := use(t, web.Config{GitHub: s.URL}, nil, "GitHubAnalysisTool()", arguments) // the operator's address is trusted
		if got := answer.String(); got != want && !(len(want) < 100 && strings.Contains(got, want)) {
			t.Errorf("%s: got  %s\nwant %s", arguments, got, want)
		}
		if failed := strings.Contains(answer.String(), `"error"`) || answer.Text != ""; failed != answer.Failed {
			t.Errorf("%s: failed is %v: %s", arguments, answer.Failed, answer)
		}
	}
}

// lends puts the token of a test into the inputs, as a worker does.
type lends struct {
	executors.Toolbox
	connection string
	inputs     string
}

func (l lends) Resolve(executors.Description, json.RawMessage) (*executors.Call, error) {
	return &executors.Call{Reporter: quiet{}, Inputs: json.RawMessage(l.inputs), Connection: l.connection,
		Redact: func(text string) string { return strings.ReplaceAll(text, "ghp_canary", "***") }}, nil
}

// TestGitHubsTokenGoesToItsServiceAlone: which no task can choose.
func TestGitHubsTokenGoesToItsServiceAlone(t *testing.T) {
	t.Parallel()
	s := service(t, "ghp_canary")
	run := func(l lends, base string) (string, error) {
		session := tools.NewRegistry(web.Kinds(web.Config{GitHub: base}, nil)...).Session(&executors.Call{Reporter: quiet{}, Toolbox: l})
		set, faults := session.Resolve(t.Context(), "t", json.RawMessage(`[{"tool":"GitHubAnalysisTool","connection":"x"}]`))
		if len(faults) > 0 {
			return "", faults[0]
		}
		answer, err := set.Use(context.Background(), model.ToolCall{Name: "github_analysis_tool", Arguments: json.RawMessage(`{"project":"octocat"}`)})
		return answer.String(), err
	}
	if got, err := run(lends{inputs: `{"token":"ghp_canary"}`}, s.URL); err != nil || !strings.Contains(got, `"github_presence_score":100`) {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := run(lends{connection: "x", inputs: fmt.Sprintf(`{"token":"ghp_canary","api_base":%q}`, s.URL+"/")}, ""); err != nil || !strings.Contains(got, `"github_presence_score":100`) {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := run(lends{inputs: `{"token":"wrong"}`}, s.URL); err != nil || !strings.Contains(got, "GitHub does not take the token (401)") || strings.Contains(got, "wrong") {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := run(lends{inputs: fmt.Sprintf(`{"token":"ghp_canary","api_base":%q}`, s.URL)}, ""); err == nil || !strings.Contains(err.Error(), "api_base: only a connection may set it") {
		t.Errorf("got %s, %v", got, err)
	}
}
