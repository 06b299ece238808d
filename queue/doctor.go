package queue

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/taskgrove/taskgrove/internal/doctor"
)

const (
	examineWithin = 5 * time.Second // one look of a diagnosis
	greetWithin   = 2 * time.Second // a server's greeting
	mostGreetings = 64 << 10        // bytes of one
)

// Examine gathers the facts of NATS for a coordinator with this configuration, over a connection of its own. It changes nothing: what it
// tries is subscribed to for an instant, or an event that nobody hears.
func Examine(ctx context.Context, cfg Config) *doctor.NATS {
	if cfg.Replicas == 0 {
		cfg.Replicas = 1
	}
	n := &doctor.NATS{Address: addresses(cfg.URL), Replicas: cfg.Replicas, Faults: map[string]error{}}
	nc, err := examiner(ctx, cfg)
	if err != nil {
		n.Err = err
		n.Servers = greetAll(ctx, named(cfg.URL), nil)
		return n
	}
	defer nc.Close()
	x := &examination{NATS: n, cfg: cfg, nc: nc, names: namesOf(cfg.Prefix).at(cfg.Domain)}
	x.server()
	var known []string
	for _, s := range nc.Servers() {
		known = append(known, hostOf(s))
	}
	n.Servers = greetAll(ctx, named(cfg.URL), known)
	x.permissions(ctx)
	x.jetStream(ctx)
	return n
}

// Examine is [Examine] with what the connection knows: the pools that it looks after, and how often it was too slow.
func (c *Conn) Examine(ctx context.Context) *doctor.NATS {
	cfg := c.cfg
	cfg.Prefix = c.names.prefix
	n := Examine(ctx, cfg)
	n.Dropped = int(c.slow.Load())
	if n.Err == nil && n.JetStreamErr == nil && n.Faults[doctor.NATSConsumers] == nil {
		n.Missing = append(n.Missing, c.missingConsumers(ctx, n)...)
	}
	return n
}

// missingConsumers are consumers of known pools that are not there. Nobody knows of a stream that is missing.
func (c *Conn) missingConsumers(ctx context.Context, n *doctor.NATS) (missing []string) {
	if slices.ContainsFunc(n.Streams, func(s doctor.Stream) bool { return s.Missing && s.Name == c.names.work }) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, examineWithin)
	defer cancel()
	stream, err := c.js.Stream(ctx, c.names.work)
	if err != nil {
		n.Faults[doctor.NATSConsumers] = err
		return nil
	}
	there := map[string]bool{}
	all := stream.ConsumerNames(ctx)
	for name := range all.Name() {
		there[name] = true
	}
	if err := all.Err(); err != nil {
		n.Faults[doctor.NATSConsumers] = err
		return nil
	}
	for _, pool := range c.knownPools() {
		for priority := range priorities {
			if name := consumerName(pool, priority); !there[name] {
				missing = append(missing, c.names.work+" "+name)
			}
		}
	}
	return missing
}

// examiner makes a connection that looks around and is closed again.
func examiner(ctx context.Context, cfg Config) (*nats.Conn, error) {
	if strings.Trim(cfg.URL, ", ") == "" {
		return nil, errors.New("the URL is empty: want nats://user:password@host:port")
	}
	if err := cfg.Login.check(); err != nil {
		return nil, err
	}
	login, dialled := cfg.Login.options(cfg.URL)
	options := append([]nats.Option{
		nats.Name("doctor"), nats.Timeout(dialTimeout), nats.NoReconnect(), nats.PermissionErrOnSubscribe(true),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // who asks looks at the last error
	}, login...)
	if cfg.Within != nil {
		options = append(options, nats.InProcessServer(cfg.Within))
	}
	type dialed struct {
		nc  *nats.Conn
		err error
	}
	done := make(chan dialed, 1)
	go func() {
		nc, err := nats.Connect(cfg.Login.servers(cfg.URL), options...)
		done <- dialed{nc, err}
	}()
	select {
	case d := <-done:
		if bad, ok := errors.AsType[*url.Error](d.err); ok {
			return nil, fmt.Errorf("url: %w", bad.Err) // without the URL, which holds a password
		}
		if errors.Is(d.err, nats.ErrAuthorization) {
			return nil, fmt.Errorf("%s is refused: %w", cfg.Login.what(cfg.URL), d.err)
		}
		if d.err != nil {
			return nil, d.err
		}
		dialled(d.nc)
		return d.nc, nil
	case <-ctx.Done():
		go func() { // it ends with its own timeouts
			if d := <-done; d.nc != nil {
				d.nc.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// examination is one look at NATS.
type examination struct {
	*doctor.NATS
	cfg   Config
	nc    *nats.Conn
	names names
}

// server looks at the server of the connection.
func (x *examination) server() {
	x.Server, x.Version, x.MaxPayload = x.nc.ConnectedServerName(), x.nc.ConnectedServerVersion(), x.nc.MaxPayload()
	if rtt, err := x.nc.RTT(); err == nil {
		x.RTT = rtt
	}
	if state, err := x.nc.TLSConnectionState(); err == nil {
		x.TLS.Encrypted = true
		if len(state.PeerCertificates) > 0 {
			x.TLS.Ends = state.PeerCertificates[0].NotAfter
		}
	}
	host, _, _ := net.SplitHostPort(x.nc.ConnectedAddr())
	ip := net.ParseIP(host)
	x.TLS.Local = x.cfg.Within != nil || ip != nil && ip.IsLoopback()
}

// must are what the user of a coordinator has to be able to do; beyond is what it need not.
func (x *examination) permissions(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, examineWithin)
	defer cancel()
	subjects := []string{x.names.subject(event, "doctor"), "$JS.EVENT.ADVISORY.STREAM.DELETED." + x.names.work}
	others := []string{x.names.inbox("*") + ".>"} // of workers
	for _, worker := range anyWorker {
		for _, kind := range kinds {
			subjects = append(subjects, x.names.subject(kind, worker))
		}
		others = append(others, x.names.subject(news, worker))
	}
	for _, subject := range subjects {
		if err := x.maySubscribe(ctx, subject); err != nil {
			x.denied("subscribe to "+subject, err)
		}
	}
	if err := x.mayPublish(ctx, x.names.subject(event, "doctor")); err != nil {
		x.denied("publish to "+x.names.subject(event, "doctor"), err)
	}
	for _, subject := range others {
		if x.maySubscribe(ctx, subject) == nil && ctx.Err() == nil {
			x.Allowed = append(x.Allowed, "subscribe to "+subject)
		}
	}
	if ctx.Err() != nil {
		x.Faults[doctor.NATSPermissions] = ctx.Err()
	}
}

func (x *examination) denied(what string, err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		x.Denied = append(x.Denied, what)
		return
	}
	x.Faults[doctor.NATSPermissions] = err
}

// maySubscribe subscribes for an instant. What comes meanwhile is thrown away; others get it, too, as no group is joined.
func (x *examination) maySubscribe(ctx context.Context, subject string) error {
	sub, err := x.nc.SubscribeSync(subject)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection is about to be closed
	if err := x.nc.FlushWithContext(ctx); err != nil {
		return err
	}
	if last := x.nc.LastError(); refusedFor(last, subject) {
		return last
	}
	return nil
}

// mayPublish publishes a message that nobody hears.
func (x *examination) mayPublish(ctx context.Context, subject string) error {
	if err := x.nc.Publish(subject, nil); err != nil {
		return err
	}
	if err := x.nc.FlushWithContext(ctx); err != nil {
		return err
	}
	if last := x.nc.LastError(); refusedFor(last, subject) {
		return last
	}
	return nil
}

// refusedFor reports whether an error is the server's refusal of a subject.
func refusedFor(err error, subject string) bool {
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), `"`+subject+`"`)
}

// jetStream looks at the account and the streams.
func (x *examination) jetStream(ctx context.Context) {
	js, err := jetstream.NewWithAPIPrefix(x.nc, x.names.api())
	if err != nil {
		x.JetStreamErr = err
		return
	}
	look, cancel := context.WithTimeout(ctx, examineWithin)
	defer cancel()
	account, err := js.AccountInfo(look)
	if err != nil {
		x.JetStreamErr = x.explained(err, x.names.api()+".INFO")
		return
	}
	x.Account = doctor.Account{Store: int64(account.Store), StoreMost: account.Limits.MaxStore, Memory: int64(account.Memory), MemoryMost: account.Limits.MaxMemory,
		Streams: account.Streams, StreamsMost: account.Limits.MaxStreams, ConsumersMost: account.Limits.MaxConsumers}
	full := (&Conn{cfg: withDefaults(x.cfg), names: x.names}).streamConfigs()
	for i := range full {
		if err := x.stream(look, js, &full[i]); err != nil {
			x.Faults[doctor.NATSStreams] = fmt.Errorf("stream %s: %w", full[i].Name, x.explained(err, x.names.api()+".STREAM.INFO."+full[i].Name))
			return
		}
	}
	if err := x.resultsConsumer(look, js); err != nil {
		x.Faults[doctor.NATSConsumers] = err
	}
}

// explained says of a request that got no answer that its subject was refused, if it was.
func (x *examination) explained(err error, subject string) error {
	if last := x.nc.LastError(); refusedFor(last, subject) {
		x.Denied = append(x.Denied, "publish to "+subject)
		return fmt.Errorf("the user may not publish to %s", subject)
	}
	return err
}

func (x *examination) stream(ctx context.Context, js jetstream.JetStream, wanted *jetstream.StreamConfig) error {
	is, err := js.Stream(ctx, wanted.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		x.Streams = append(x.Streams, doctor.Stream{Name: wanted.Name, Missing: true})
		return nil
	}
	if err != nil {
		return err
	}
	info := is.CachedInfo()
	s := doctor.Stream{Name: wanted.Name, Copies: info.Config.Replicas, Bytes: int64(info.State.Bytes), Most: info.Config.MaxBytes, Waiting: info.State.Msgs,
		Rolls: info.Config.Discard == jetstream.DiscardOld, Differs: differences(&info.Config, wanted)}
	if info.Cluster != nil {
		s.Leader = info.Cluster.Leader
		for _, peer := range info.Cluster.Replicas {
			s.Peers = append(s.Peers, doctor.Peer{Name: peer.Name, Current: peer.Current, Online: !peer.Offline, Lag: peer.Lag})
		}
	}
	x.Streams = append(x.Streams, s)
	return nil
}

// differences are the settings in which a stream is not as wanted. A bound that the server could not give is one that is smaller, or none.
func differences(has, wanted *jetstream.StreamConfig) (all []doctor.Difference) {
	note := func(setting string, has, wanted any) {
		if h, w := fmt.Sprint(has), fmt.Sprint(wanted); h != w {
			all = append(all, doctor.Difference{Setting: setting, Has: h, Wants: w})
		}
	}
	note("subjects", has.Subjects, wanted.Subjects)
	note("retention", has.Retention, wanted.Retention)
	note("storage", has.Storage, wanted.Storage)
	note("discard", has.Discard, wanted.Discard)
	note("replicas", has.Replicas, max(wanted.Replicas, 1))
	note("max_age", has.MaxAge, wanted.MaxAge)
	note("duplicate_window", has.Duplicates, wanted.Duplicates)
	note("max_bytes", max(has.MaxBytes, 0), max(wanted.MaxBytes, 0))
	note("max_consumers", max(has.MaxConsumers, 0), max(wanted.MaxConsumers, 0))
	if has.MaxMsgs > 0 {
		note("max_msgs", has.MaxMsgs, "no bound")
	}
	if has.MaxMsgSize > 0 {
		note("max_msg_size", has.MaxMsgSize, "no bound")
	}
	if has.Sealed {
		note("sealed", true, false)
	}
	return all
}

func (x *examination) resultsConsumer(ctx context.Context, js jetstream.JetStream) error {
	if slices.ContainsFunc(x.Streams, func(s doctor.Stream) bool { return s.Missing && s.Name == x.names.results }) {
		return nil
	}
	_, err := js.Consumer(ctx, x.names.results, resultsConsumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		x.Missing = append(x.Missing, x.names.results+" "+resultsConsumer)
		return nil
	}
	return err
}

// addresses are those of servers in a URL, without users and passwords.
func addresses(text string) string { return strings.Join(named(text), ", ") }

// named are the host:port of the servers that a URL names.
func named(text string) (hosts []string) {
	for one := range strings.SplitSeq(text, ",") {
		if one = strings.TrimSpace(one); one != "" {
			hosts = append(hosts, hostOf(one))
		}
	}
	return hosts
}

// hostOf is the host:port of a server's URL; of one that can't be read, nothing that it holds.
func hostOf(text string) string {
	if !strings.Contains(text, "://") {
		text = "nats://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "(not a URL)"
	}
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "4222")
	}
	return u.Host
}

// greetAll asks servers who they are. A NATS server says so before anybody has to.
func greetAll(ctx context.Context, named, known []string) []doctor.NATSServer {
	all := slices.Clone(named)
	for _, k := range known {
		if !slices.Contains(all, k) {
			all = append(all, k)
		}
	}
	const most = 16
	all = all[:min(len(all), most)]
	out := make([]doctor.NATSServer, len(all))
	var done sync.WaitGroup
	for i, address := range all {
		done.Go(func() {
			out[i] = greet(ctx, address)
			out[i].Seen = !slices.Contains(named, address)
		})
	}
	done.Wait()
	return out
}

func greet(ctx context.Context, address string) doctor.NATSServer {
	s := doctor.NATSServer{Address: address}
	ctx, cancel := context.WithTimeout(ctx, greetWithin)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		s.Err = err
		return s
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetReadDeadline(deadline)
	line, err := bufio.NewReaderSize(conn, mostGreetings).ReadSlice('\n')
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		s.Silent = true // it may want TLS first, or websockets
		return s
	}
	var info struct {
		Name    string `json:"server_name"`
		Version string `json:"version"`
	}
	text, is := strings.CutPrefix(string(line), "INFO ")
	if err != nil || !is || json.Unmarshal([]byte(text), &info) != nil {
		s.Err = errors.New("it does not greet as a NATS server does")
		return s
	}
	s.Name, s.Version = info.Name, info.Version
	return s
}
