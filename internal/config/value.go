package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Decode reads a value of these types. Their takes method describes the allowed values: its text follows "takes" in messages,
// and appears in the generated page.

type taker interface{ takes() string }

// Bool is a switch.
type Bool bool

func (b *Bool) takes() string { return "true or false (also 1 yes on, 0 no off)" }

// Decode implements envconfig.Decoder.
func (b *Bool) Decode(text string) error {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "1", "true", "t", "yes", "on":
		*b = true
	case "0", "false", "f", "no", "off":
		*b = false
	default:
		return errors.New("not a switch")
	}
	return nil
}

// Level is a log level.
type Level slog.Level

func (l *Level) takes() string { return "debug, info, warn or error" }

// Level implements slog.Leveler.
func (l Level) Level() slog.Level { return slog.Level(l) }

// Decode implements envconfig.Decoder. It also knows the names of Python's levels (spec 10).
func (l *Level) Decode(text string) error {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "debug":
		*l = Level(slog.LevelDebug)
	case "info":
		*l = Level(slog.LevelInfo)
	case "warn", "warning":
		*l = Level(slog.LevelWarn)
	case "error", "critical", "fatal":
		*l = Level(slog.LevelError)
	default:
		return errors.New("not a level")
	}
	return nil
}

// LogFormat is the format of log lines: auto, json or text.
type LogFormat string

func (f *LogFormat) takes() string { return "auto, json or text" }

// Decode implements envconfig.Decoder.
func (f *LogFormat) Decode(text string) error {
	*f = LogFormat(strings.ToLower(strings.TrimSpace(text)))
	if !slices.Contains([]LogFormat{"auto", "json", "text"}, *f) {
		return errors.New("not a format")
	}
	return nil
}

// Pooler says whether there is a pooler before Postgres: auto, yes or no.
type Pooler string

func (p *Pooler) takes() string { return "auto, yes or no" }

// Decode implements envconfig.Decoder.
func (p *Pooler) Decode(text string) error {
	*p = Pooler(strings.ToLower(strings.TrimSpace(text)))
	if !slices.Contains([]Pooler{"auto", "yes", "no"}, *p) {
		return errors.New("none of these")
	}
	return nil
}

// TaskLogs is where lines of tasks go besides the cluster.
type TaskLogs string

func (m *TaskLogs) takes() string { return "off, stdout or otlp" }

// Decode implements envconfig.Decoder.
func (m *TaskLogs) Decode(text string) error {
	*m = TaskLogs(strings.ToLower(strings.TrimSpace(text)))
	if !slices.Contains([]TaskLogs{"off", "stdout", "otlp"}, *m) {
		return errors.New("none of these")
	}
	return nil
}

// Bound is a number that is chosen by other settings unless it is given.
type Bound int

// AutoBound is a [Bound] that is chosen by other settings.
const AutoBound Bound = -1

const maxBound = 1_000_000

func (b *Bound) takes() string { return fmt.Sprintf("auto, or a whole number from 0 to %d", maxBound) }

// Decode implements envconfig.Decoder.
func (b *Bound) Decode(text string) error {
	if text = strings.ToLower(strings.TrimSpace(text)); text == "auto" {
		*b = AutoBound
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxBound {
		return errors.New("not such a number")
	}
	*b = Bound(n)
	return nil
}

// Or is the number, or the one given where none was chosen.
func (b Bound) Or(auto int) int {
	if b == AutoBound {
		return auto
	}
	return int(b)
}

// Namespace is the name of a namespace.
type Namespace string

func (n *Namespace) takes() string {
	return "1 to 63 of a-z, 0-9 and -, a letter or digit first and last"
}

// Decode implements envconfig.Decoder.
func (n *Namespace) Decode(text string) error {
	if *n = Namespace(strings.TrimSpace(text)); *n != "" && !namespaceForm.MatchString(string(*n)) {
		return errors.New("not a name")
	}
	return nil
}

var namespaceForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// JWTAlgorithm is by what tokens are signed.
type JWTAlgorithm string

var jwtAlgorithms = []string{"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

func (a *JWTAlgorithm) takes() string { return "one of " + strings.Join(jwtAlgorithms, ", ") }

// Decode implements envconfig.Decoder.
func (a *JWTAlgorithm) Decode(text string) error {
	for _, name := range jwtAlgorithms {
		if strings.EqualFold(name, strings.TrimSpace(text)) {
			*a = JWTAlgorithm(name)
			return nil
		}
	}
	return errors.New("not an algorithm")
}

// Address is an address to listen on: host:port.
type Address string

func (a *Address) takes() string {
	return "host:port, the port a number up to 65535 (an IPv6 address in brackets)"
}

// Decode implements envconfig.Decoder.
func (a *Address) Decode(text string) error {
	host, port, err := net.SplitHostPort(text)
	if err != nil || strings.ContainsAny(host, " /@") {
		return errors.New("not an address")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return errors.New("not a port")
	}
	*a = Address(text)
	return nil
}

// Loopback reports whether only this machine can reach the address.
func (a Address) Loopback() bool {
	host, _, err := net.SplitHostPort(string(a))
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// BaseURL is the URL of a server, without a slash at its end.
type BaseURL string

func (u *BaseURL) takes() string { return "http:// or https://, a host, and a path if need be" }

// Decode implements envconfig.Decoder.
func (u *BaseURL) Decode(text string) error {
	parsed, err := url.Parse(strings.TrimSpace(text))
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Hostname() == "" || parsed.User != nil || parsed.RawQuery+parsed.Fragment != "" {
		return errors.New("not the URL of a server")
	}
	*u = BaseURL(strings.TrimRight(parsed.String(), "/"))
	return nil
}

// OptionalAddress is an Address, or empty, written "off".
type OptionalAddress string

func (a *OptionalAddress) takes() string { return "host:port, or off" }

// Decode implements envconfig.Decoder.
func (a *OptionalAddress) Decode(text string) error {
	if strings.EqualFold(text, "off") {
		*a = ""
		return nil
	}
	var addr Address
	err := addr.Decode(text)
	*a = OptionalAddress(addr)
	return err
}

// Size is a number of bytes.
type Size int64

func (s *Size) takes() string { return "a size, such as 131072, 128KiB, 64MiB, 1GiB" }

var units = []struct {
	suffix string
	bytes  int64
}{{"gib", 1 << 30}, {"mib", 1 << 20}, {"kib", 1 << 10}, {"gb", 1e9}, {"mb", 1e6}, {"kb", 1e3}, {"b", 1}, {"", 1}}

// Decode implements envconfig.Decoder.
func (s *Size) Decode(text string) error {
	text = strings.ToLower(strings.TrimSpace(text))
	for _, unit := range units {
		number, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/unit.bytes {
			return errors.New("not a size")
		}
		*s = Size(n * unit.bytes)
		return nil
	}
	return errors.New("not a size")
}

// String writes the size in the largest unit of which it is a multiple.
func (s Size) String() string {
	for _, unit := range units[:3] {
		if n := int64(s); n != 0 && n%unit.bytes == 0 {
			return fmt.Sprintf("%d%siB", n/unit.bytes, strings.ToUpper(unit.suffix[:1]))
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Name is a token of NATS subjects.
type Name string

func (n *Name) takes() string { return "1 to 64 letters, digits, - and _" }

// Decode implements envconfig.Decoder.
func (n *Name) Decode(text string) error {
	*n = Name(text)
	if !validName(text) {
		return errors.New("not a name")
	}
	return nil
}

// WorkerID is the id of a worker: a name, or a group's and a member's.
type WorkerID string

func (w *WorkerID) takes() string {
	return "1 to 64 letters, digits, - and _, or two such names with a dot between: group.member; {host} in it is the host's name"
}

// Decode implements envconfig.Decoder.
func (w *WorkerID) Decode(text string) error {
	if strings.Contains(text, "{host}") {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("the host has no name: %w", err)
		}
		text = strings.ReplaceAll(text, "{host}", strings.ReplaceAll(host, ".", "-"))
	}
	*w = WorkerID(text)
	group, member, grouped := strings.Cut(text, ".")
	if !validName(group) || grouped && !validName(member) {
		return errors.New("not a worker's id")
	}
	return nil
}

func validName(s string) bool {
	return len(s) > 0 && len(s) <= 64 && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) < 0
}

// List is text separated by commas.
type List []string

func (l *List) takes() string { return "words separated by commas" }

// Decode implements envconfig.Decoder.
func (l *List) Decode(text string) error {
	*l = nil
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			*l = append(*l, word)
		}
	}
	return nil
}

// Hosts are names and addresses of a server, each with a port or for every port.
type Hosts []string

func (h *Hosts) takes() string {
	return "names or addresses separated by commas, each with a port or for every port, such as grove.example,10.0.0.7:8000"
}

// Decode implements envconfig.Decoder.
func (h *Hosts) Decode(text string) error {
	*h = nil
	var list List
	_ = list.Decode(text)
	for _, word := range list {
		if !validHost(word) {
			return fmt.Errorf("%q is no host", word)
		}
		*h = append(*h, strings.ToLower(word))
	}
	return nil
}

// validHost: a name or an address as it stands in a URL, with or without a port.
func validHost(text string) bool {
	u, err := url.Parse("http://" + text)
	return err == nil && u.Host == text && u.Hostname() != "" && !strings.ContainsAny(text, "*%")
}

// Origins are origins of web pages.
type Origins []string

func (o *Origins) takes() string {
	return "scheme, name and port as browsers send them, separated by commas, such as https://grove.example,http://localhost:3000"
}

// Decode implements envconfig.Decoder.
func (o *Origins) Decode(text string) error {
	*o = nil
	var list List
	_ = list.Decode(text)
	for _, word := range list {
		word = strings.ToLower(word)
		scheme, host, _ := strings.Cut(word, "://")
		if scheme != "http" && scheme != "https" || !validHost(host) {
			return fmt.Errorf("%q is no origin", word)
		}
		*o = append(*o, word)
	}
	return nil
}

// Prefixes are ranges of addresses.
type Prefixes []netip.Prefix

func (p *Prefixes) takes() string {
	return "addresses and CIDR ranges separated by commas, such as 10.0.0.0/8,192.0.2.7"
}

// Decode implements envconfig.Decoder.
func (p *Prefixes) Decode(text string) error {
	*p = nil
	var list List
	_ = list.Decode(text)
	for _, word := range list {
		if addr, err := netip.ParseAddr(word); err == nil {
			*p = append(*p, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(word)
		if err != nil {
			return fmt.Errorf("%q is neither", word)
		}
		*p = append(*p, prefix.Masked())
	}
	return nil
}

// Pools are the pools that a worker serves.
type Pools struct {
	All   bool   // the pool of each executor
	Named []Pool // each once
}

// Pool is one pool. Concurrency 0 means the worker's default.
type Pool struct {
	Name        string
	Concurrency int
}

func (p *Pools) takes() string {
	return "all, or names with the attempts at a time: noop_executor=8,gpu=2; both together, too: all,gpu=2"
}

// Decode implements envconfig.Decoder.
func (p *Pools) Decode(text string) error {
	*p = Pools{}
	var list List
	_ = list.Decode(text)
	seen := map[string]bool{}
	for _, word := range list {
		if word == "all" {
			p.All = true
			continue
		}
		name, number, counted := strings.Cut(word, "=")
		if !validName(name) {
			return fmt.Errorf("%q is no pool's name (letters, digits, - and _)", name)
		}
		if seen[name] {
			return fmt.Errorf("%s is named twice", name)
		}
		seen[name] = true
		pool := Pool{Name: name}
		if counted {
			n, err := strconv.Atoi(number)
			if err != nil || n < 1 || n > 20_000 {
				return fmt.Errorf("%s needs a number from 1 to 20000", name)
			}
			pool.Concurrency = n
		}
		p.Named = append(p.Named, pool)
	}
	if !p.All && len(p.Named) == 0 {
		return errors.New("no pool")
	}
	return nil
}

// Factor is by how much something is multiplied.
type Factor float64

func (f *Factor) takes() string { return "a number from 0 to 1000" }

// Decode implements envconfig.Decoder.
func (f *Factor) Decode(text string) error {
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(n >= 0 && n <= 1000) {
		return errors.New("not a factor")
	}
	*f = Factor(n)
	return nil
}

// String writes the number.
func (f Factor) String() string { return strconv.FormatFloat(float64(f), 'g', -1, 64) }
