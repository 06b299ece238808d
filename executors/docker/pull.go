package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/image"
)

// found is an image that the engine has.
type found struct{ id, digest string }

// ensure sees to it that the engine has the image, by the container's pull policy.
func (e *Engine) ensure(ctx context.Context, cli *client.Client, img image.Ref, c *Container, report executors.Reporter) (found, error) {
	if c.Pull != PullAlways {
		have, err := inspect(ctx, cli, img)
		switch {
		case err == nil:
			return have, nil
		case !errdefs.IsNotFound(err):
			return found{}, classed("look for image "+img.String(), err)
		case c.Pull == PullNever:
			return found{}, executors.Permanent(fmt.Errorf("image %s is not on the engine, and pull is never", img))
		}
	}
	if err := pull(ctx, cli, img, c.Auth, report); err != nil {
		return found{}, err
	}
	have, err := inspect(ctx, cli, img)
	if err != nil {
		return found{}, classed("look for image "+img.String(), err)
	}
	if report != nil {
		report.Log("log", strings.TrimSpace("pulled "+img.String()+" "+have.digest))
	}
	return have, nil
}

// inspect looks an image up.
func inspect(ctx context.Context, cli *client.Client, img image.Ref) (found, error) {
	got, err := cli.ImageInspect(ctx, img.String())
	if err != nil {
		return found{}, err
	}
	have := found{id: got.ID, digest: img.Digest}
	for _, text := range got.RepoDigests { // one for each repository that it was pulled from
		if other, err := image.Parse(text); err == nil && other.Repo == img.Repo && have.digest == "" {
			have.digest = other.Digest
		}
	}
	return have, nil
}

// pull fetches an image, and tells how far it is.
func pull(ctx context.Context, cli *client.Client, img image.Ref, auth *Auth, report executors.Reporter) error {
	options := client.ImagePullOptions{}
	if auth != nil {
		host, _, _ := strings.Cut(img.Repo, "/")
		header, err := authconfig.Encode(registry.AuthConfig{
			Username: auth.Username, Password: auth.Password, IdentityToken: auth.IdentityToken, ServerAddress: host,
		})
		if err != nil {
			return fmt.Errorf("encode registry_auth: %w", err)
		}
		options.RegistryAuth = header
	}
	stream, err := cli.ImagePull(ctx, img.String(), options)
	if err != nil {
		return pullError(img, err)
	}
	defer stream.Close()
	progress := newPulling(img, report)
	for message, err := range stream.JSONMessages(ctx) {
		if err == nil && message.Error != nil {
			err = message.Error
		}
		if err != nil {
			return pullError(img, err)
		}
		if message.Progress != nil {
			progress.layer(message.ID, message.Status, message.Progress.Current, message.Progress.Total)
		}
	}
	return nil
}

// pullError says whether another attempt may succeed: it may not if there is no such image, or the login lacks rights. The engine reports
// both by status, or in the text of what a registry said.
func pullError(img image.Ref, err error) error {
	text := strings.ToLower(err.Error())
	err = fmt.Errorf("pull image %s: %w", img, rootCause(err))
	for _, sign := range []string{"not found", "manifest unknown", "name unknown", "does not exist", "denied", "unauthorized", "authentication required", "no basic auth", "no matching manifest"} {
		if strings.Contains(text, sign) {
			return executors.Permanent(err)
		}
	}
	return err
}

// pulling sums up the layers of a pull.
type pulling struct {
	report  executors.Reporter
	name    string
	layers  map[string][2]int64 // bytes that are here, and all
	spoken  time.Time
	between time.Duration
}

func newPulling(img image.Ref, report executors.Reporter) *pulling {
	return &pulling{report: report, name: img.String(), layers: map[string][2]int64{}, between: time.Second}
}

// maxLayers bounds what is kept of a pull; images have 127 layers at most.
const maxLayers = 256

func (p *pulling) layer(id, status string, current, total int64) {
	if p.report == nil || total <= 0 || status != "Downloading" || len(p.layers) >= maxLayers {
		return
	}
	p.layers[id] = [2]int64{current, total}
	if time.Since(p.spoken) < p.between {
		return
	}
	p.spoken = time.Now()
	var here, all int64
	for _, l := range p.layers {
		here, all = here+l[0], all+l[1]
	}
	p.report.Progress(0, fmt.Sprintf("pulling %s: %d of %d MB", p.name, here/1e6, all/1e6))
}

// classed says whether another attempt may succeed, by what kind of error the engine reports.
func classed(what string, err error) error {
	if err == nil {
		return nil
	}
	said := fmt.Errorf("%s: %w", what, rootCause(err))
	if errdefs.IsInvalidArgument(err) || errdefs.IsNotFound(err) || errdefs.IsPermissionDenied(err) || errdefs.IsNotImplemented(err) {
		return executors.Permanent(said)
	}
	return said
}

// rootCause drops what the client's library puts before an engine's answer.
func rootCause(err error) error {
	const prefix = "Error response from daemon: "
	if text, ok := strings.CutPrefix(err.Error(), prefix); ok {
		return errors.New(text)
	}
	return err
}
