package file

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/minio/minio-go/v7"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/archive"
	"github.com/taskgrove/taskgrove/executors/headers"
	"github.com/taskgrove/taskgrove/executors/network"
)

// at says which file or object an error is about.
func at(l location, err error) error {
	if err == nil {
		return nil
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return executors.Permanent(fmt.Errorf("%s does not exist", l))
	case errors.Is(err, fs.ErrExist):
		return executors.Permanent(fmt.Errorf("%s exists already (set overwrite to replace it)", l))
	}
	return fmt.Errorf("%s: %w", l, err)
}

// classed is the error as users see it, without secrets, and marked if another attempt can't help.
func classed(in *input, err error) error {
	text := executors.Text([]byte(err.Error()))
	for _, secret := range []string{in.SecretKey, in.SessionToken} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	shown := executors.WithKind(errors.New(text), kindOf(err))
	if executors.IsPermanent(err) || permanent(err) {
		return executors.Permanent(shown)
	}
	return shown
}

// KindFile is the kind of an error of the file system, or of what lies there.
const KindFile = "file_error"

// kindOf is the kind of an error.
func kindOf(err error) string {
	if kind := executors.KindOf(err); kind != "" {
		return kind
	}
	if answer, ok := errors.AsType[minio.ErrorResponse](err); ok && answer.StatusCode > 0 {
		return headers.Kind(answer.StatusCode)
	}
	if isNetwork(err) {
		return executors.KindConnect
	}
	return KindFile
}

func permanent(err error) bool {
	if _, ok := errors.AsType[*archive.Error](err); ok {
		return true
	}
	if answer, ok := errors.AsType[minio.ErrorResponse](err); ok {
		switch {
		case answer.StatusCode == 0, answer.StatusCode >= 500, answer.StatusCode == http.StatusTooManyRequests, answer.StatusCode == http.StatusRequestTimeout:
			return false
		}
		switch answer.Code {
		case "SlowDown", "RequestTimeTooSkewed", "RequestTimeout", "OperationAborted", "ConditionalRequestConflict", minio.NoSuchUpload, minio.BadDigest, minio.IncompleteBody:
			return false
		}
		return answer.StatusCode >= 400
	}
	for _, passing := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EAGAIN, syscall.EMFILE, syscall.ENFILE, syscall.EBUSY, syscall.ESTALE, syscall.EINTR} {
		if errors.Is(err, passing) {
			return false
		}
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok && !isNetwork(err) {
		return true // of the file system
	}
	if strings.Contains(err.Error(), "path escapes from parent") || errors.Is(err, os.ErrInvalid) {
		return true
	}
	return executors.IsPermanent(network.Classed(err))
}

// isNetwork reports whether an error of the system came from a connection.
func isNetwork(err error) bool {
	var timeout interface{ Timeout() bool } // a [net.Error]; so is a bare Errno, which has no connection around it
	if !errors.As(err, &timeout) {
		return false
	}
	_, bareErrno := timeout.(syscall.Errno)
	return !bareErrno
}
