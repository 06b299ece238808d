package queue

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// loginPatience is how long a first connection is tried although the server refuses the user: it may just be starting.
	loginPatience = 5 * time.Second
	// refusedMost bounds the subjects that are remembered as refused.
	refusedMost = 100
	// refusedSoon is how long an error that the server has sent needs to be noted.
	refusedSoon = 50 * time.Millisecond
)

// violation is how a server says what it refused.
var violation = regexp.MustCompile(`(?i)for (publish|subscription) to "([^"]+)"`)

// noteRefusal remembers what the server does not let the user do. It tells of that later than it refuses, and to nobody else.
func (c *Conn) noteRefusal(err error) {
	found := violation.FindStringSubmatch(err.Error())
	if found == nil || !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	what := "publish to " + found[2]
	if strings.EqualFold(found[1], "subscription") {
		what = "subscribe to " + c.withoutInbox(found[2])
	}
	if c.cfg.Worker == "" && strings.HasSuffix(what, ".*.*") {
		c.log.Warn("workers in groups are not heard: the NATS server has the permissions of an older version, see taskgrove nats-config", "refused", what)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.refused) < refusedMost {
		c.refused[what] = true
	}
}

// withoutInbox names all inboxes in place of a random one.
func (c *Conn) withoutInbox(subject string) string {
	if own := c.names.inbox(c.cfg.Worker) + "."; strings.HasPrefix(subject, own) {
		return own + ">"
	}
	return subject
}

// Refused lists what the server has not let this connection do since it was made or made again: "publish to tg.beat.w1",
// sorted. Only a change of the server's configuration helps, and then the server has the connection made again.
func (c *Conn) Refused() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for what := range c.refused {
		all = append(all, what)
	}
	slices.Sort(all)
	return all
}

func (c *Conn) isRefused(what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused[what]
}

// CheckPermissions tests whether the server lets this worker do what it needs for its pools. The error names all that is
// refused. It sends empty messages that nobody acts on. Nil also if the connection breaks meanwhile.
func (c *Conn) CheckPermissions(ctx context.Context, pools []string) error {
	for _, subject := range []string{c.nc.NewInbox(), c.names.subject(news, c.cfg.Worker)} {
		sub, err := c.nc.SubscribeSync(subject)
		if err != nil {
			return closedErr(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
	}
	var subjects []string
	for _, kind := range append(slices.Clone(needed), result) {
		subjects = append(subjects, c.names.subject(kind, c.cfg.Worker))
	}
	for _, consumer := range consumersOf(pools) {
		subjects = append(subjects, c.names.nextSubject(consumer))
	}
	for _, subject := range subjects {
		if err := c.nc.Publish(subject, nil); err != nil {
			return closedErr(err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if err := c.nc.FlushWithContext(ctx); err != nil || !errors.Is(c.nc.LastError(), nats.ErrPermissionViolation) {
		return nil //nolint:nilerr // it shows later
	}
	time.Sleep(refusedSoon)
	refused := c.Refused()
	if len(refused) == 0 {
		return nil
	}
	return fmt.Errorf("NATS does not let user %q do what worker %s needs: %s. %s, "+
		"with permissions for the pools that it serves, under the same prefix (%s): see taskgrove nats-config %s",
		userOf(c.cfg.URL), c.cfg.Worker, strings.Join(refused, ", "), neededUser(c.cfg.Worker), c.names.prefix, configFlag(c.cfg.Worker))
}

// neededUser says which user a worker needs.
func neededUser(worker string) string {
	group := User(worker)
	if group != worker {
		return "The worker is a member of group " + group + ": it needs the user of that group, called " + group
	}
	return "Each worker needs a user of its own, called like the worker (if " + worker + " is the user of a group, the worker's id has to be " + worker + ".NAME)"
}

// configFlag makes nats-config print that user.
func configFlag(worker string) string {
	if group := User(worker); group != worker {
		return "--group " + group
	}
	return "--worker " + worker
}

// userOf is the user of the first address in a URL; empty: none.
func userOf(urls string) string {
	first, _, _ := strings.Cut(urls, ",")
	parsed, err := url.Parse(strings.TrimSpace(first))
	if err != nil {
		return ""
	}
	return parsed.User.Username()
}
