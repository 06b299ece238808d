package ssh

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

const (
	defaultPort = 22
	maxJumps    = 4
	maxFiles    = 64 // uploads, and downloads
	// maxArgument bounds a command and each variable: Linux takes no longer one (MAX_ARG_STRLEN, with the name and its end).
	maxArgument = 128<<10 - 300
)

// target is a host, and as whom to log in there.
type target struct {
	Host          string `json:"host"`
	Port          *int   `json:"port"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	Key           string `json:"key"`
	KeyFile       string `json:"key_file"`
	Passphrase    string `json:"passphrase"`
	Certificate   string `json:"certificate"`
	Agent         bool   `json:"agent"`
	KnownHosts    string `json:"known_hosts"`
	HostKey       string `json:"host_key"`
	VerifyHostKey *bool  `json:"verify_host_key"`
}

func (t *target) port() int {
	if t.Port == nil {
		return defaultPort
	}
	return *t.Port
}

func (t *target) verifies() bool { return t.VerifyHostKey == nil || *t.VerifyHostKey }

type input struct {
	target
	Jump        []target        `json:"jump"`
	Command     string          `json:"command"`
	Env         map[string]text `json:"env"`
	Stdin       content         `json:"stdin"`
	Upload      []upload        `json:"upload"`
	Download    []download      `json:"download"`
	Plain       bool            `json:"plain"`
	Timeout     json.Number     `json:"timeout"`
	FailOnError bool            `json:"fail_on_error"`
}

type upload struct {
	To       string  `json:"to"`
	Content  content `json:"content"`
	Encoding string  `json:"encoding"`
	Mode     string  `json:"mode"`
}

// content is a text, or an artifact.
type content struct {
	text string // decoded
	ref  *executors.FileRef
	file *os.File // the artifact's content, once it is here
}

// UnmarshalJSON implements [json.Unmarshaler].
func (c *content) UnmarshalJSON(raw []byte) error {
	if ref, ok := executors.RefOf(raw); ok {
		c.ref = &ref
		return nil
	}
	return json.Unmarshal(raw, &c.text)
}

// none reports whether there is nothing.
func (c *content) none() bool { return c.text == "" && c.ref == nil }

// reader reads it from its beginning, however often it was read.
func (c *content) reader() io.Reader {
	if c.file != nil {
		return io.NewSectionReader(c.file, 0, c.ref.Size)
	}
	return strings.NewReader(c.text)
}

// fetch gets artifacts that are sent to the host, whole and checked.
func (in *input) fetch(ctx context.Context, call *executors.Call, scratch *workdir.Scratch) error {
	all := []*content{&in.Stdin}
	for i := range in.Upload {
		all = append(all, &in.Upload[i].Content)
	}
	for _, c := range all {
		if c.ref == nil {
			continue
		}
		if call.Files == nil {
			return invalid("artifact %.100q: the worker has no place for artifacts", c.ref.Artifact)
		}
		var err error
		if c.file, err = workdir.Open(ctx, call, *c.ref, scratch); err != nil {
			return err
		}
	}
	return nil
}

// close lets go of what was fetched.
func (in *input) close() {
	_ = in.Stdin.file.Close()
	for i := range in.Upload {
		_ = in.Upload[i].Content.file.Close()
	}
}

type download struct {
	From     string `json:"from"`
	MaxBytes *int   `json:"max_bytes"`
}

// text is a string, or a number or boolean as it is written.
type text string

// UnmarshalJSON implements [json.Unmarshaler].
func (t *text) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && (raw[0] == '{' || raw[0] == '[' || bytes.Equal(raw, []byte("null"))) {
		return &json.UnmarshalTypeError{Value: "list, object or null"}
	}
	if raw[0] != '"' {
		*t = text(raw)
		return nil
	}
	return json.Unmarshal(raw, (*string)(t))
}

// sessions is how many sessions the attempt has open at once.
func (in *input) sessions() int {
	if !in.Stdin.none() && !in.Plain {
		return 2 // the second one guards the command, as stdin is not free to do it
	}
	return 1
}

// read reads and checks an attempt's inputs. The error names all faults, unless a required field is missing.
func read(call *executors.Call) (*input, error) {
	in := &input{}
	if err := inputs.Decode(ID, call, in); err != nil {
		return nil, err
	}
	for _, field := range []struct{ name, value string }{{"host", in.Host}, {"username", in.Username}, {"command", in.Command}} {
		if strings.TrimSpace(field.value) == "" {
			return nil, invalid("%s is required", field.name) // spec 8.4's words
		}
	}
	if !in.hasCredentials() {
		return nil, invalid("Either password or key_file must be provided (or key, or agent)") // spec 8.4's words, and ours
	}
	faults := in.target.check("")
	faults = append(faults, checkJumps(in.Jump)...)
	faults = append(faults, in.checkCommand()...)
	faults = append(faults, in.checkFiles()...)
	if len(faults) > 0 {
		return nil, invalid("%s", strings.Join(faults, "; "))
	}
	return in, nil
}

func (t *target) hasCredentials() bool {
	return t.Password != "" || t.Key != "" || t.KeyFile != "" || t.Agent
}

// hostText is what a host's name or address consists of; a zone may follow.
var hostText = regexp.MustCompile(`^[A-Za-z0-9_.:-]+(%[A-Za-z0-9_.-]+)?$`)

// check tells the faults of the target's fields; prefix stands before their names.
func (t *target) check(prefix string) []string {
	var faults []string
	fault := func(field, format string, args ...any) {
		faults = append(faults, prefix+field+": "+fmt.Sprintf(format, args...))
	}
	if !hostText.MatchString(t.Host) {
		fault("host", "is neither a name nor an address")
	}
	if port := t.port(); port < 1 || port > 65535 {
		fault("port", "must be from 1 to 65535")
	}
	if strings.ContainsAny(t.Username, "\x00\r\n") {
		fault("username", "contains a control character")
	}
	if t.Key != "" && t.KeyFile != "" {
		fault("key", "excludes key_file")
	}
	if t.Certificate != "" && t.Key == "" && t.KeyFile == "" {
		fault("certificate", "needs its key: give key or key_file")
	}
	if t.KnownHosts != "" && t.HostKey != "" {
		fault("known_hosts", "excludes host_key")
	}
	if !t.verifies() && (t.KnownHosts != "" || t.HostKey != "") {
		fault("verify_host_key", "must not be false beside known_hosts or host_key")
	}
	return faults
}

func checkJumps(jump []target) (faults []string) {
	if len(jump) > maxJumps {
		faults = append(faults, fmt.Sprintf("jump: more than %d hosts", maxJumps))
	}
	for i := range jump {
		faults = append(faults, jump[i].checkJump(fmt.Sprintf("jump[%d].", i))...)
	}
	return faults
}

func (t *target) checkJump(prefix string) []string {
	if t.Host == "" || t.Username == "" {
		return []string{prefix + "host and " + prefix + "username are required"}
	}
	faults := t.check(prefix)
	if !t.hasCredentials() {
		faults = append(faults, prefix+"password or key must be provided")
	}
	return faults
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (in *input) checkCommand() []string {
	var faults []string
	if strings.ContainsRune(in.Command, 0) {
		faults = append(faults, "command: contains a NUL")
	}
	if len(in.Command) > maxArgument {
		faults = append(faults, fmt.Sprintf("command: longer than %d bytes; upload it as a file", maxArgument))
	}
	for _, name := range slices.Sorted(maps.Keys(in.Env)) {
		switch value := in.Env[name]; {
		case !variableName.MatchString(name):
			faults = append(faults, fmt.Sprintf("env: %.64q is not a variable's name", name))
		case strings.HasPrefix(name, ourPrefix):
			faults = append(faults, fmt.Sprintf("env: %.64q belongs to the script that runs the command", name))
		case strings.ContainsRune(string(value), 0):
			faults = append(faults, fmt.Sprintf("env: %s contains a NUL", name))
		case len(value) > maxArgument:
			faults = append(faults, fmt.Sprintf("env: %s is longer than %d bytes", name, maxArgument))
		}
	}
	return faults
}

// checkFiles also decodes uploads.
func (in *input) checkFiles() []string {
	var faults []string
	if len(in.Upload) > maxFiles || len(in.Download) > maxFiles {
		faults = append(faults, fmt.Sprintf("upload, download: more than %d files", maxFiles))
	}
	for i := range in.Upload {
		u := &in.Upload[i]
		if fault := remotePath(u.To); fault != "" {
			faults = append(faults, fmt.Sprintf("upload[%d].to: %s", i, fault))
		}
		if u.Mode != "" {
			if mode, err := strconv.ParseUint(u.Mode, 8, 32); err != nil || mode > 0o777 {
				faults = append(faults, fmt.Sprintf("upload[%d].mode: must be permissions such as 0755", i))
			}
		}
		switch u.Encoding {
		case "":
		case executors.Base64:
			data, err := base64.StdEncoding.DecodeString(u.Content.text)
			if err != nil || u.Content.ref != nil {
				faults = append(faults, fmt.Sprintf("upload[%d].content: is not base64", i))
			}
			u.Content.text = string(data)
		default:
			faults = append(faults, fmt.Sprintf("upload[%d].encoding: must be base64, or absent", i))
		}
	}
	for i, d := range in.Download {
		if fault := remotePath(d.From); fault != "" {
			faults = append(faults, fmt.Sprintf("download[%d].from: %s", i, fault))
		}
		if d.MaxBytes != nil && *d.MaxBytes < 1 {
			faults = append(faults, fmt.Sprintf("download[%d].max_bytes: must be above 0", i))
		}
	}
	return faults
}

// remotePath says what is wrong with a path of a file on a host; empty: nothing. Where it leads is for the host's permissions to judge.
func remotePath(name string) string {
	switch base := path.Base(name); {
	case name == "":
		return "is required"
	case strings.ContainsAny(name, "\x00\r\n"):
		return "contains a control character"
	case strings.HasSuffix(name, "/"), base == ".", base == "..":
		return "names a directory"
	}
	return ""
}
