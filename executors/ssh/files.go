package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/taskgrove/taskgrove/executors"
)

// newFileMode is that of an uploaded file that is new.
const newFileMode = 0o644

// chunkBytes is how much is written between two looks at the context.
const chunkBytes = 256 << 10

// files opens an SFTP session. It ends soon after ctx; the caller closes it.
func (c *conn) files(ctx context.Context) (client *sftp.Client, done func(), err error) {
	ch, err := c.open(ctx, request{name: "subsystem", payload: struct{ Name string }{"sftp"}})
	if err != nil {
		return nil, nil, fmt.Errorf("SFTP: %w", err)
	}
	closed := make(chan struct{})
	go func() { // ends with the connection at the latest
		ssh.DiscardRequests(ch.requests)
		c.count(-1)
		close(closed)
	}()
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(confirmDelay): // time to tidy up
		case <-closed:
		}
		_ = ch.Close()
		if !await(closed, settleWithin) {
			c.lost() // what the attempt waits for ends no other way
		}
	})
	end := func() {
		stop()
		_ = ch.Close()
		c.settle(closed)
	}
	client, err = sftp.NewClientPipe(ch, ch, sftp.MaxConcurrentRequestsPerFile(16), sftp.UseConcurrentWrites(true))
	if err != nil {
		end()
		return nil, nil, fmt.Errorf("SFTP: %w", err)
	}
	return client, func() { _ = client.Close(); end() }, nil
}

// upload writes the files. Each appears whole, or not at all.
func (w *work) upload(ctx context.Context, c *conn) error {
	client, done, err := c.files(ctx)
	if err != nil {
		return err
	}
	defer done()
	w.begun = true
	for i := range w.in.Upload {
		u := &w.in.Upload[i]
		if err := put(ctx, client, u); err != nil {
			return fileError("upload", u.To, err)
		}
		w.call.Reporter.Progress(float64(i+1)/float64(len(w.in.Upload)+len(w.in.Download)+1), "uploaded "+u.To)
	}
	return nil
}

func put(ctx context.Context, client *sftp.Client, u *upload) error {
	mode := os.FileMode(newFileMode)
	old, err := client.Stat(u.To)
	switch {
	case err == nil && !old.Mode().IsRegular():
		return errors.New("is there and is no file")
	case err == nil:
		mode = old.Mode().Perm()
		if real, err := client.RealPath(u.To); err == nil {
			u = &upload{To: real, Mode: u.Mode, data: u.data} // what a link leads to is replaced, and not the link
		}
	}
	if u.Mode != "" {
		bits, _ := strconv.ParseUint(u.Mode, 8, 32) // checked
		mode = os.FileMode(bits)
	}
	temporary := fmt.Sprintf("%s.%s.part", u.To, newMark()[:8])
	file, err := client.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	err = file.Chmod(mode) // before anything is in it
	if err == nil {
		err = write(ctx, file, u.data)
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = client.PosixRename(temporary, u.To)
	}
	if err != nil {
		_ = client.Remove(temporary)
	}
	return err
}

// write writes all data, unless ctx ends.
func write(ctx context.Context, file *sftp.File, data []byte) error {
	for chunk := range slices.Chunk(data, chunkBytes) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := file.Write(chunk); err != nil {
			return err
		}
	}
	return nil
}

// download reads the files into the result. After a command that failed, those that can't be read are no error of the attempt.
func (w *work) download(ctx context.Context, c *conn) error {
	client, done, err := c.files(ctx)
	if err != nil {
		return err
	}
	defer done()
	left := w.cfg.MaxOutputBytes
	for i, d := range w.in.Download {
		most := left
		if d.MaxBytes != nil {
			most = min(most, *d.MaxBytes)
		}
		file, err := get(client, d.From, most)
		switch {
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && w.result.Success:
			return fileError("download", d.From, err)
		case err != nil:
			file = File{From: d.From, Error: fileError("download", d.From, err).Error()}
		}
		left -= file.Bytes
		w.result.Files = append(w.result.Files, file)
		count := len(w.in.Upload) + len(w.in.Download) + 1
		w.call.Reporter.Progress(float64(len(w.in.Upload)+2+i)/float64(count), "downloaded "+d.From)
	}
	return nil
}

// get reads the beginning of a file. A pipe or a device would have no end, so only files are read.
func get(client *sftp.Client, from string, most int) (File, error) {
	info, err := client.Stat(from)
	if err != nil {
		return File{}, err
	}
	if !info.Mode().IsRegular() {
		return File{}, errors.New("is no file")
	}
	file, err := client.Open(from)
	if err != nil {
		return File{}, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, int64(most)+1))
	if err != nil {
		return File{}, err
	}
	f := File{From: from}
	if len(data) > most {
		data, f.Truncated = data[:most], true
	}
	f.Bytes = len(data)
	f.Content, f.Encoding = executors.Faithful(data, f.Truncated)
	return f, nil
}

// fileError is about a file on the host. What the host's permissions refuse, it refuses again.
func fileError(doing, name string, err error) error {
	told := fmt.Errorf("%s %s: %w", doing, name, err)
	if status, ok := errors.AsType[*sftp.StatusError](err); ok && status.FxCode() == sftp.ErrSSHFxFailure {
		return told // may be a full disk
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return executors.Permanent(told)
	}
	return told
}
