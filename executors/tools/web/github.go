package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/model"
	"github.com/taskgrove/taskgrove/executors/tools"
)

const (
	githubTime  = 20 * time.Second
	githubBytes = 8 << 20 // of one answer: a page of 100 repositories has some 600 KiB
	githubName  = "GitHubAnalysisTool"
)

// githubKind is the tool that tells of an account. The token comes from the task's author or a connection, and goes to the base URL alone,
// which is an operator's word. own: it is not GitHub's.
func githubKind(f *fetcher, own bool) tools.Kind {
	return tools.Kind{
		Description: executors.Description{
			ID: githubName, Name: "GitHub Analysis Tool", Description: "Tells what GitHub says of a user or an organization", Secrets: true,
			Inputs: json.RawMessage(`{"type": "object", "properties": {
  "token": {"type": ["string", "null"], "description": "Access token, which raises GitHub's limits"},
  "connection": {"type": ["string", "null"], "description": "Connection of type github"},
  "api_base": {"type": ["string", "null"], "description": "Base URL of the API, which only a connection may set"}},
  "additionalProperties": false}`),
			Connection: &executors.Connection{Types: []string{"github"}, Fields: []string{"api_base", "token"}},
		},
		New: func(call *executors.Call) (tools.Tool, error) {
			in := struct {
				Token string `json:"token"`
				Base  string `json:"api_base"`
			}{}
			if err := inputs.Decode(githubName, call, &in); err != nil {
				return nil, err
			}
			g := &github{fetcher: f, base: strings.TrimRight(f.cfg.GitHub, "/"), token: in.Token, trusted: own}
			if _, err := parseURL(g.base); err != nil {
				return nil, executors.Invalid(githubName, "TASKGROVE_GITHUB_API: "+err.Error())
			}
			if in.Base != "" {
				if call.Connection == "" {
					return nil, executors.Invalid(githubName, "api_base: only a connection may set it")
				}
				if _, err := parseURL(in.Base); err != nil {
					return nil, executors.Invalid(githubName, "api_base: "+err.Error())
				}
				g.base, g.trusted = strings.TrimRight(in.Base, "/"), true
			}
			return g, nil
		},
	}
}

// github is the tool.
type github struct {
	fetcher     *fetcher
	base, token string
	trusted     bool // the base is an operator's
}

// Spec implements [tools.Tool].
func (*github) Spec() model.Tool {
	return model.Tool{
		Name:        "github_analysis_tool",
		Description: "Tells what GitHub says of a user or an organization: repositories, stars, forks, followers, and the most popular repository.",
		Schema: json.RawMessage(`{"type": "object", "properties": {
  "project": {"type": "string", "minLength": 1, "maxLength": 200, "description": "Name of the user or organization, or of a project to search for"},
  "include_repos": {"type": "boolean", "default": true, "description": "Also count what the first hundred repositories have"}},
  "required": ["project"], "additionalProperties": false}`),
	}
}

// Analysis is the answer (spec 8.14).
type Analysis struct {
	Project     string   `json:"github_project"`
	Presence    int      `json:"github_presence_score"` // 100: it is an account; 50: an organization was found by search
	RepoCount   int      `json:"github_repo_count"`
	Stars       int      `json:"github_stars_count"`
	Forks       int      `json:"github_forks_count"`
	Watchers    int      `json:"github_watchers_count"`
	Followers   int      `json:"github_followers_count"`
	Following   int      `json:"github_following_count"`
	PublicRepos int      `json:"github_public_repos"`
	Type        string   `json:"github_type"` // User, Organization or empty
	Login       string   `json:"github_login"`
	URL         string   `json:"github_url"`
	CreatedAt   string   `json:"github_created_at"`
	MostPopular *Popular `json:"most_popular_repo"` // null: none is known
	Error       string   `json:"error,omitempty"`
}

// Popular is the repository with the most stars.
type Popular struct {
	Name     string `json:"name"`
	Stars    int    `json:"stars"`
	Language string `json:"language"`
}

// account and repository are as the API has them.
type account struct {
	Login, Type string
	HTMLURL     string `json:"html_url"`
	CreatedAt   string `json:"created_at"`
	PublicRepos int    `json:"public_repos"`
	Followers   int
	Following   int
}

type repository struct {
	Name     string
	Language string
	Stars    int `json:"stargazers_count"`
	Forks    int `json:"forks_count"`
	Watchers int `json:"watchers_count"`
}

// Run implements [tools.Tool]. What goes wrong is an answer of zeros.
func (g *github) Run(ctx context.Context, call *executors.Call, args json.RawMessage) (tools.Answer, error) {
	in := struct {
		Project string
		Repos   *bool `json:"include_repos"`
	}{}
	if err := json.Unmarshal(args, &in); err != nil {
		return tools.Answer{}, errors.New("the arguments can't be read")
	}
	limited, cancel := context.WithTimeoutCause(ctx, githubTime, fmt.Errorf("it takes longer than %v", githubTime))
	defer cancel()
	a := &Analysis{Project: in.Project}
	err := g.analyze(limited, call, a, in.Repos == nil || *in.Repos)
	if ctx.Err() != nil {
		return tools.Answer{}, context.Cause(ctx)
	}
	if err != nil {
		a = &Analysis{Project: in.Project, Error: err.Error()}
	}
	return tools.Answer{JSON: object(a), Failed: err != nil}, nil
}

func (g *github) analyze(ctx context.Context, call *executors.Call, a *Analysis, repos bool) error {
	found, presence, err := g.account(ctx, call, loginOf(a.Project))
	if err != nil || presence == 0 {
		return err
	}
	a.Presence, a.Login, a.Type, a.URL, a.CreatedAt = presence, short(found.Login), short(found.Type), short(found.HTMLURL), short(found.CreatedAt)
	a.PublicRepos, a.RepoCount, a.Followers, a.Following = found.PublicRepos, found.PublicRepos, found.Followers, found.Following
	if !repos {
		return nil
	}
	var all []repository
	if _, err := g.get(ctx, call, "/users/"+url.PathEscape(found.Login)+"/repos?per_page=100&sort=updated", &all); err != nil {
		return err
	}
	for _, r := range all {
		a.Stars, a.Forks, a.Watchers = a.Stars+r.Stars, a.Forks+r.Forks, a.Watchers+r.Watchers
		if a.MostPopular == nil || r.Stars > a.MostPopular.Stars {
			a.MostPopular = &Popular{short(r.Name), r.Stars, short(r.Language)}
		}
	}
	return nil
}

// logins are names that accounts have.
var logins = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?$`)

// loginOf is the account in a project's name: owner, owner/repository, or an address at GitHub.
func loginOf(project string) string {
	project = strings.TrimSpace(project)
	for _, prefix := range []string{"https://", "http://", "www.", "github.com/"} {
		project = strings.TrimPrefix(project, prefix)
	}
	if owner, _, ok := strings.Cut(project, "/"); ok && logins.MatchString(owner) {
		return owner
	}
	return strings.TrimPrefix(project, "@")
}

// account finds one by its name, and else an organization by search.
func (g *github) account(ctx context.Context, call *executors.Call, name string) (found account, presence int, err error) {
	if logins.MatchString(name) {
		there, err := g.get(ctx, call, "/users/"+url.PathEscape(name), &found)
		if err != nil || there {
			return found, 100, err
		}
	}
	var search struct{ Items []account }
	query := url.Values{"q": {searchTerm(name) + " type:org"}, "per_page": {"1"}}
	if _, err := g.get(ctx, call, "/search/users?"+query.Encode(), &search); err != nil || len(search.Items) == 0 {
		return account{}, 0, err
	}
	there, err := g.get(ctx, call, "/users/"+url.PathEscape(search.Items[0].Login), &found)
	if err != nil || !there {
		return account{}, 0, err
	}
	return found, 50, nil
}

// searchTerm is a name without what has a meaning in GitHub's searches: it adds no conditions.
func searchTerm(name string) string {
	return `"` + strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' || r < ' ' {
			return ' '
		}
		return r
	}, name) + `"`
}

// get reads what the API says; there is false if it has nothing of that name.
func (g *github) get(ctx context.Context, call *executors.Call, path string, to any) (there bool, err error) {
	dialer := g.fetcher.network.Pool(call.Pool)
	if g.trusted {
		dialer = dialer.Trusted()
	}
	u, err := url.Parse(g.base + path)
	if err != nil {
		return false, errors.New("the API's address is no URL")
	}
	headers := http.Header{"Accept": {"application/vnd.github+json"}, "X-Github-Api-Version": {"2022-11-28"}}
	if g.token != "" {
		headers.Set("Authorization", "Bearer "+g.token)
	}
	first := origin(u)
	for range 3 {
		answer, err := get(ctx, dialer.RoundTripper(false), u, headers)
		if err != nil {
			return false, fmt.Errorf("GitHub can't be reached: %w", err)
		}
		next := redirected(answer)
		if next == "" {
			return g.read(answer, to)
		}
		_ = answer.Body.Close()
		if u, err = u.Parse(next); err != nil || origin(u) != first { // of an account that was renamed
			return false, errors.New("GitHub redirects to another host")
		}
	}
	return false, errors.New("GitHub redirects without end")
}

// read reads an answer.
func (g *github) read(answer *http.Response, to any) (there bool, err error) {
	defer answer.Body.Close() //nolint:errcheck // it was only read
	if answer.StatusCode == http.StatusNotFound {
		return false, nil
	}
	if answer.StatusCode != http.StatusOK {
		return false, refused(answer, time.Now())
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, githubBytes+1))
	if err != nil {
		return false, fmt.Errorf("GitHub's answer breaks off: %w", cause(err))
	}
	if len(body) > githubBytes {
		return false, fmt.Errorf("GitHub's answer has more than %d bytes", githubBytes)
	}
	if json.Unmarshal(body, to) != nil {
		return false, errors.New("GitHub's answer is not what its API describes")
	}
	return true, nil
}

// refused is the error of an answer that is none. A limit that is reached is told with its end, and marked ([executors.RetryAfter]).
func refused(answer *http.Response, now time.Time) error {
	var wait time.Duration
	if seconds, err := strconv.ParseInt(answer.Header.Get("Retry-After"), 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if reset, err := strconv.ParseInt(answer.Header.Get("X-RateLimit-Reset"), 10, 64); err == nil && answer.Header.Get("X-RateLimit-Remaining") == "0" {
		wait = time.Unix(reset, 0).Sub(now).Round(time.Second)
	}
	switch status := answer.StatusCode; {
	case (status == http.StatusForbidden || status == http.StatusTooManyRequests) && (wait > 0 || answer.Header.Get("X-RateLimit-Remaining") == "0"),
		status == http.StatusTooManyRequests:
		return executors.RetryAfter(fmt.Errorf("GitHub's limit of requests is reached; the next one makes sense after %v", max(wait, time.Second)), max(wait, time.Second))
	case status == http.StatusUnauthorized:
		return executors.Permanent(errors.New("GitHub does not take the token (401)"))
	case status >= 500:
		return fmt.Errorf("GitHub failed (%d)", status)
	default:
		return executors.Permanent(fmt.Errorf("GitHub refused (%d)", status))
	}
}
