package httpserver

import (
	"io"
	"net/http"
	"time"
)

// paced bounds how slowly a client may send its body and take its answer. A deadline for whole requests would cut off
// streams and large trees; here every piece has one, and the body as a whole.
func (s *Server) paced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if r.Body != nil && r.Body != http.NoBody {
			// The server reads the rest of a body that was refused before it lets the answer out: that has a deadline, too.
			_ = rc.SetReadDeadline(time.Now().Add(s.cfg.ChunkTimeout))
			body := &pacedBody{
				ReadCloser: r.Body, rc: rc, chunk: s.cfg.ChunkTimeout, end: time.Now().Add(s.cfg.BodyTimeout),
			}
			r = r.WithContext(r.Context()) // the server must know its own body again, or it waits for all that was announced
			r.Body = body
		}
		// What the server flushes after the handler has returned needs a deadline too.
		defer func() { _ = rc.SetWriteDeadline(time.Now().Add(s.cfg.ChunkTimeout)) }()
		next.ServeHTTP(&pacedWriter{ResponseWriter: w, rc: rc, chunk: s.cfg.ChunkTimeout}, r)
	})
}

type pacedBody struct {
	io.ReadCloser
	rc    *http.ResponseController
	chunk time.Duration
	end   time.Time // of the whole body
}

func (b *pacedBody) Read(p []byte) (int, error) {
	deadline := time.Now().Add(b.chunk)
	if b.end.Before(deadline) {
		deadline = b.end
	}
	_ = b.rc.SetReadDeadline(deadline)
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		// The server now waits in the background for the client to go away; a deadline would look like that.
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

// pieceBytes is how much of an answer a client must take within the chunk timeout.
const pieceBytes = 256 << 10

type pacedWriter struct {
	http.ResponseWriter
	rc    *http.ResponseController
	chunk time.Duration
}

func (w *pacedWriter) Write(p []byte) (written int, err error) {
	for first := true; first || len(p) > 0; first = false {
		piece := p[:min(len(p), pieceBytes)]
		p = p[len(piece):]
		_ = w.rc.SetWriteDeadline(time.Now().Add(w.chunk))
		n, err := w.ResponseWriter.Write(piece)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// Unwrap lets a ResponseController reach what is below.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// FlushError sends what is buffered, under a deadline of its own.
func (w *pacedWriter) FlushError() error {
	_ = w.rc.SetWriteDeadline(time.Now().Add(w.chunk))
	return w.rc.Flush()
}
