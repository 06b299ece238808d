package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/workdir"
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
			u = &upload{To: real, Mode: u.Mode, Content: u.Content} // what a link leads to is replaced, and not the link
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
		err = write(ctx, file, u.Content.reader())
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = client.PosixRename(temporary, u.To)
	}
	if err != nil {
		_ = client.Remove(temporary)
	}
	return err
}

// write writes all of it, unless ctx ends.
func write(ctx context.Context, file *sftp.File, from io.Reader) error {
	for chunk := make([]byte, chunkBytes); ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := io.ReadFull(from, chunk)
		if _, wrote := file.Write(chunk[:n]); wrote != nil {
			return wrote
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
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
		file, err := w.get(ctx, client, d, most)
		switch {
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && w.result.Success:
			return fileError("download", d.From, err)
		case err != nil:
			file = File{From: d.From, Error: fileError("download", d.From, err).Error()}
		}
		if file.kept == nil {
			left -= file.Bytes
		}
		w.result.Files = append(w.result.Files, file)
		count := len(w.in.Upload) + len(w.in.Download) + 1
		w.call.Reporter.Progress(float64(len(w.in.Upload)+2+i)/float64(count), "downloaded "+d.From)
	}
	return nil
}

// get reads the beginning of a file, or makes an artifact of it. A pipe or a device would have no end, so only files are read.
func (w *work) get(ctx context.Context, client *sftp.Client, d download, most int) (File, error) {
	info, err := client.Stat(d.From)
	if err != nil {
		return File{}, err
	}
	if !info.Mode().IsRegular() {
		return File{}, errors.New("is no file")
	}
	file, err := client.Open(d.From)
	if err != nil {
		return File{}, err
	}
	defer file.Close()
	f := File{From: d.From}
	if w.call.KeepOutputs && w.call.Files != nil && d.MaxBytes == nil {
		err := w.keep(ctx, file, &f, most)
		return f, err
	}
	data, err := io.ReadAll(io.LimitReader(file, int64(most)+1))
	if err != nil {
		return File{}, err
	}
	if len(data) > most {
		data, f.Truncated = data[:most], true
		f.TruncatedFields = executors.TruncatedFields(map[string]bool{"content": d.MaxBytes == nil || most < *d.MaxBytes})
	}
	f.Bytes = len(data)
	f.Content, f.Encoding = executors.Faithful(data, f.Truncated)
	return f, nil
}

// keep takes all of a file: as an artifact, if it is longer than what is left of the result.
func (w *work) keep(ctx context.Context, from io.Reader, f *File, most int) error {
	spill := workdir.NewSpill(w.call, executors.NewOutput(max(1, most), nil, ""), max(1, most), "")
	defer spill.Discard()
	if _, err := io.Copy(spill, io.LimitReader(from, w.call.Files.MaxOutput()+1)); err != nil {
		return err
	}
	ref, err := spill.Save(ctx, w.call, workdir.BaseName(f.From), workdir.MediaType(f.From))
	if err != nil {
		return err
	}
	if ref != nil {
		f.kept, f.Bytes = ref, int(ref.Size)
		return nil
	}
	data := spill.Bytes()
	f.Bytes, f.Truncated, f.TruncatedFields = len(data), spill.Truncated(), executors.TruncatedFields(map[string]bool{"content": spill.Truncated()})
	f.Content, f.Encoding = executors.Faithful(data, f.Truncated)
	return nil
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
