package api

import "net/http"

// BeginEvents begins an answer of Server-Sent Events with the headers of the task-tree protocol (spec 5.4), and sends them at once: the first event
// may be long in coming. What it gives flushes the events that follow.
func BeginEvents(w http.ResponseWriter) *http.ResponseController {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream; charset=utf-8")
	header.Set("Cache-Control", "no-cache")
	header.Set("Connection", "keep-alive")
	header.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	_ = rc.Flush() // if the client has gone, the first event tells
	return rc
}
