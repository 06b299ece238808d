package python

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/archive"
)

// archiveSource is a file that has the code.
type archiveSource struct {
	URL       string `json:"url"`
	Path      string `json:"path"`
	SHA256    string `json:"sha256"`
	Directory string `json:"directory"`
}

func (a *archiveSource) check(fault func(string, ...any)) {
	if (a.URL == "") == (a.Path == "") {
		fault("archive: either url or path must be given")
	}
	if u, err := url.Parse(a.URL); a.URL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		fault("archive.url: want an http:// or https:// URL")
	}
	if a.Path != "" && !filepath.IsAbs(a.Path) {
		fault("archive.path: want an absolute path")
	}
	if !sumRule.MatchString(a.SHA256) {
		fault("archive.sha256: want 64 hexadecimal digits")
	}
	if a.Directory != "" && !localFile(a.Directory) {
		fault("archive.directory: %.100q is not a path below the archive", a.Directory)
	}
}

// unpack gets the archive, and unpacks it if it is the one that the task means.
func (j *job) unpack(ctx context.Context, dir string) error {
	src := j.in.Archive
	file, err := os.Create(filepath.Join(j.dir, "archive"))
	if err != nil {
		return err
	}
	defer file.Close()
	content, err := j.open(ctx, src)
	if err != nil {
		return err
	}
	defer content.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(file, sum), io.LimitReader(content, maxArchiveBytes+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the archive: %w", err)
	case n > maxArchiveBytes:
		return invalid("archive: it has more than %d bytes", maxArchiveBytes)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); !strings.EqualFold(got, src.SHA256) {
		return invalid("archive: its SHA-256 is %s, and must be %s", got, strings.ToLower(src.SHA256))
	}
	_, err = archive.Unpack(ctx, file, n, dir, archive.Limits{Bytes: maxTreeBytes, Entries: maxTreeEntries})
	if bad, ok := errors.AsType[*archive.Error](err); ok {
		return invalid("%v", bad)
	}
	return err
}

// open opens the archive where it is.
func (j *job) open(ctx context.Context, src *archiveSource) (io.ReadCloser, error) {
	if src.Path != "" {
		file, err := os.Open(src.Path)
		if err != nil {
			return nil, invalid("archive.path: %v", err)
		}
		if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
			_ = file.Close()
			return nil, invalid("archive.path: %q is not a file", src.Path)
		}
		return file, nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, src.URL, nil)
	if err != nil {
		return nil, invalid("archive.url: it can't be asked for")
	}
	for _, h := range j.call.Headers() {
		request.Header.Set(h.Name, h.Value)
	}
	client := &http.Client{Transport: j.e.net.Pool(j.call.Pool).RoundTripper(false)}
	answer, err := client.Do(request)
	if err != nil {
		if bad, ok := errors.AsType[*url.Error](err); ok { // its text has the whole URL, which may hold a password
			err = bad.Err
		}
		return nil, fmt.Errorf("get the archive: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		_ = answer.Body.Close()
		err := fmt.Errorf("get the archive: the server answered %s", answer.Status)
		if answer.StatusCode >= 400 && answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests {
			err = executors.Permanent(err)
		}
		return nil, err
	}
	return answer.Body, nil
}
