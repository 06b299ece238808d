// Package image reads the names of container images, and the patterns of those that an operator allows.
//
// It owns their whole form, registry included, so that no two spellings of a name are judged differently. It must not know who runs images.
package image

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// Ref is a reference to one image, in its whole form: registry, path, and either tag or digest.
type Ref struct {
	Repo   string // docker.io/library/alpine
	Tag    string // empty if there is a digest: the engine heeds no tag beside one
	Digest string
}

// String is the reference that the engine gets. It always has a registry and a tag or digest, so that the engine can't take it for the
// beginning of an image's id.
func (i Ref) String() string {
	if i.Digest != "" {
		return i.Repo + "@" + i.Digest
	}
	return i.Repo + ":" + i.Tag
}

// Parse reads what a task calls an image, as the docker command does: alpine is docker.io/library/alpine:latest. It refuses ids.
func Parse(name string) (Ref, error) {
	if strings.TrimSpace(name) != name || name == "" {
		return Ref{}, errors.New("is not the name of an image")
	}
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return Ref{}, fmt.Errorf("%q is not the name of an image: %w", name, err)
	}
	i := Ref{Repo: ref.Name()}
	if digested, ok := ref.(reference.Digested); ok {
		i.Digest = digested.Digest().String()
	} else {
		i.Tag = reference.TagNameOnly(ref).(reference.Tagged).Tag() // TagNameOnly gives one to what has no digest
	}
	return i, nil
}

// Pattern is a rule for images: a repository, and after it possibly a tag or a digest. * stands for any text within a path segment, a
// tag or a digest, ** for any text. Without a registry it means Docker Hub, as in the name of an image. Without tag and digest it allows
// all of the repository. A tag never allows a digest: what is behind that is not what the tag says.
type Pattern struct {
	text              string
	repo, tag, digest *regexp.Regexp // tag, digest nil: any
}

// ParsePattern reads one. The error says what a pattern looks like.
func ParsePattern(text string) (Pattern, error) {
	p := Pattern{text: text}
	rest, digest, hasDigest := strings.Cut(text, "@")
	repo, tag, hasTag := rest, "", false
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, '/') {
		repo, tag, hasTag = rest[:colon], rest[colon+1:], true
	}
	if hasTag && hasDigest || repo == "" || hasTag && tag == "" || hasDigest && digest == "" || strings.ToLower(repo) != repo {
		return p, errors.New("want repository, repository:tag or repository@digest, the repository in lower case")
	}
	if first, _, deeper := strings.Cut(repo, "/"); repo != "**" {
		isHost := strings.ContainsAny(first, ".:*") || first == "localhost"
		switch {
		case !deeper:
			repo = "docker.io/library/" + repo
		case !isHost:
			repo = "docker.io/" + repo
		case first == "index.docker.io":
			repo = "docker.io" + strings.TrimPrefix(repo, first)
		}
	}
	p.repo = glob(repo)
	if hasTag {
		p.tag = glob(tag)
	}
	if hasDigest {
		p.digest = glob(digest)
	}
	return p, nil
}

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Allows reports whether the pattern fits the image.
func (p Pattern) Allows(i Ref) bool {
	switch {
	case !p.repo.MatchString(i.Repo):
		return false
	case p.tag != nil:
		return i.Digest == "" && p.tag.MatchString(i.Tag)
	case p.digest != nil:
		return i.Digest != "" && p.digest.MatchString(i.Digest)
	}
	return true
}

// Allowed reports whether one of the patterns allows the image; without any, all are allowed. A pattern that can't be read allows none.
func Allowed(patterns []string, i Ref) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(text string) bool {
		p, err := ParsePattern(text)
		return err == nil && p.Allows(i)
	})
}

// Fits reports whether one of the patterns is all of the text; * stands for any text but slashes, ** for any.
func Fits(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return glob(pattern).MatchString(text) })
}

// glob is a pattern with * and ** as a regular expression.
func glob(pattern string) *regexp.Regexp {
	text := regexp.QuoteMeta(pattern)
	text = strings.ReplaceAll(text, `\*\*`, `.*`)
	text = strings.ReplaceAll(text, `\*`, `[^/]*`)
	return regexp.MustCompile(`^` + text + `$`)
}
