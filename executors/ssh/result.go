package ssh

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/taskgrove/taskgrove/executors"
)

// maxErrorBytes bounds how much of stderr an error shows.
const maxErrorBytes = 1000

// Result tells how a command ended (spec 8.4).
type Result struct {
	Command    string `json:"command"`
	Stdout     string `json:"stdout"`
	Stderr     string `json:"stderr"`
	ReturnCode int    `json:"return_code"`
	Success    bool   `json:"success"`
	Host       string `json:"host"`
	Username   string `json:"username"`

	Encoding        string   `json:"encoding,omitempty"`        // of Stdout: empty for text, or base64
	StderrEncoding  string   `json:"stderr_encoding,omitempty"` // likewise
	Truncated       bool     `json:"truncated,omitempty"`
	TruncatedFields []string `json:"truncated_fields,omitempty"`
	Files           []File   `json:"files,omitempty"`
}

// File is a download.
type File struct {
	From      string `json:"from"`
	Content   string `json:"content,omitempty"`
	Encoding  string `json:"encoding,omitempty"`
	Bytes     int    `json:"bytes"`
	Truncated bool   `json:"truncated,omitempty"`
	Error     string `json:"error,omitempty"`

	TruncatedFields []string `json:"truncated_fields,omitempty"`

	kept *executors.FileRef // what content is, instead of a text
}

// MarshalJSON shows a file that became an artifact as its reference.
func (f File) MarshalJSON() ([]byte, error) {
	type plain File
	if f.kept == nil {
		return json.Marshal(plain(f))
	}
	return json.Marshal(struct {
		plain
		Content *executors.FileRef `json:"content"`
	}{plain(f), f.kept})
}

func (r *Result) ended(code int) { r.ReturnCode, r.Success = code, code == 0 }

// failure is the error of a command that failed while fail_on_error is set. It shows the end of stderr, which usually says why.
func (r *Result) failure() error {
	text := fmt.Sprintf("command on %s ended with exit code %d", r.Host, r.ReturnCode)
	if r.ReturnCode < 0 {
		text = fmt.Sprintf("command on %s was ended by signal %d", r.Host, -r.ReturnCode)
	}
	if r.StderrEncoding == "" {
		text += tail(r.Stderr)
	}
	return executors.WithKind(errors.New(text), executors.KindExit)
}

// tail is the end of an error output, for the end of an error.
func tail(stderr string) string {
	if len(stderr) > maxErrorBytes {
		stderr = "..." + executors.Text([]byte(stderr[len(stderr)-maxErrorBytes:]))
	}
	if stderr == "" {
		return ""
	}
	return ": " + stderr
}
