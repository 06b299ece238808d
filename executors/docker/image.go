package docker

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"
)

// image is a reference to one image, in its whole form: registry, path, and either tag or digest.
type image struct {
	repo   string // docker.io/library/alpine
	tag    string // empty if there is a digest: the engine heeds no tag beside one
	digest string
}

// String is the reference that the engine gets. It always has a registry and a tag or digest, so that the engine can't take it for the
// beginning of an image's id.
func (i image) String() string {
	if i.digest != "" {
		return i.repo + "@" + i.digest
	}
	return i.repo + ":" + i.tag
}

// parseImage reads what a task calls an image, as the docker command does: alpine is docker.io/library/alpine:latest. It refuses ids.
func parseImage(name string) (image, error) {
	if strings.TrimSpace(name) != name || name == "" {
		return image{}, errors.New("is not the name of an image")
	}
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return image{}, fmt.Errorf("%q is not the name of an image: %w", name, err)
	}
	i := image{repo: ref.Name()}
	if digested, ok := ref.(reference.Digested); ok {
		i.digest = digested.Digest().String()
	} else {
		i.tag = reference.TagNameOnly(ref).(reference.Tagged).Tag() // TagNameOnly gives one to what has no digest
	}
	return i, nil
}

// ImagePattern is a rule for images: a repository, and after it possibly a tag or a digest. * stands for any text within a path segment, a
// tag or a digest, ** for any text. Without a registry it means Docker Hub, as in the name of an image. Without tag and digest it allows
// all of the repository. A tag never allows a digest: what is behind that is not what the tag says.
type ImagePattern struct {
	text              string
	repo, tag, digest *regexp.Regexp // tag, digest nil: any
}

// ParseImagePattern reads one.
func ParseImagePattern(text string) (ImagePattern, error) {
	p := ImagePattern{text: text}
	rest, digest, hasDigest := strings.Cut(text, "@")
	repo, tag, hasTag := rest, "", false
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, '/') {
		repo, tag, hasTag = rest[:colon], rest[colon+1:], true
	}
	if hasTag && hasDigest || repo == "" || hasTag && tag == "" || hasDigest && digest == "" || strings.ToLower(repo) != repo {
		return p, fmt.Errorf("%q is not a pattern of images: want repository, repository:tag or repository@digest in lower case", text)
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
func (p ImagePattern) String() string { return p.text }

// allows reports whether the pattern fits the image.
func (p ImagePattern) allows(i image) bool {
	switch {
	case !p.repo.MatchString(i.repo):
		return false
	case p.tag != nil:
		return i.digest == "" && p.tag.MatchString(i.tag)
	case p.digest != nil:
		return i.digest != "" && p.digest.MatchString(i.digest)
	}
	return true
}

// glob is a pattern with * and ** as a regular expression.
func glob(pattern string) *regexp.Regexp {
	text := regexp.QuoteMeta(pattern)
	text = strings.ReplaceAll(text, `\*\*`, `.*`)
	text = strings.ReplaceAll(text, `\*`, `[^/]*`)
	return regexp.MustCompile(`^` + text + `$`)
}
