package command

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/taskgrove/taskgrove/executors"
)

// maxErrorBytes bounds how much of stderr an error shows.
const maxErrorBytes = 1000

// Result tells how a command ended (spec 8.2). Its output shows as trimmed text; nothing is lost all the same, so that
// [stdinFrom] can give it to another command as it was.
type Result struct {
	Command    string `json:"command"`
	ReturnCode int    `json:"return_code"`
	Stdout     string `json:"stdout"`
	Stderr     string `json:"stderr"`
	Success    bool   `json:"success"`
	Truncated  bool   `json:"truncated,omitempty"`

	TruncatedFields []string `json:"truncated_fields,omitempty"`

	Encoding       string   `json:"encoding,omitempty"`        // of Stdout: empty for text, or base64
	StderrEncoding string   `json:"stderr_encoding,omitempty"` // likewise
	StdoutTrimmed  *trimmed `json:"stdout_trimmed,omitempty"`  // nil: as usual
	StderrTrimmed  *trimmed `json:"stderr_trimmed,omitempty"`  // likewise
}

// trimmed is the white space before and after an output.
type trimmed [2]string

// usual is what is trimmed of most outputs, and so not said: a newline after text, and nothing around nothing.
func usual(text string) trimmed {
	if text == "" {
		return trimmed{}
	}
	return trimmed{"", "\n"}
}

// show puts both outputs into the result.
func (r *Result) show(stdout, stderr *executors.Output) {
	r.Stdout, r.Encoding, r.StdoutTrimmed = shown(stdout)
	r.Stderr, r.StderrEncoding, r.StderrTrimmed = shown(stderr)
}

// shown is an output as a result has it.
func shown(o *executors.Output) (text, encoding string, cut *trimmed) {
	whole, encoding := executors.Faithful(o.Bytes(), o.Truncated())
	if encoding != "" {
		return whole, encoding, nil
	}
	text = strings.TrimSpace(whole)
	start := strings.Index(whole, text)
	if got := (trimmed{whole[:start], whole[start+len(text):]}); got != usual(text) {
		cut = &got
	}
	return text, "", cut
}

// failure is the error of a command that failed while fail_on_error is set. It shows the end of stderr, which usually says why.
func (r *Result) failure(sig syscall.Signal, stderr string) error {
	text := fmt.Sprintf("command ended with exit code %d", r.ReturnCode)
	if sig != 0 {
		text = fmt.Sprintf("command was ended by signal %d (%v)", int(sig), sig)
	}
	if len(stderr) > maxErrorBytes {
		stderr = "..." + executors.Text([]byte(stderr[len(stderr)-maxErrorBytes:]))
	}
	if stderr != "" {
		text += ": " + stderr
	}
	return executors.WithKind(errors.New(text), executors.KindExit)
}
