package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	ws "github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/taskgrove/taskgrove/executors/ssh/sshtest"
)

// services are what the tasks speak with. Start fills all but dir and source.
type services struct {
	dir, source string
	off         map[string]string // by executor: why its tasks are left out

	token     string // that shop, rates and board ask for
	web       *http.Server
	webAddr   string
	rates     *grpc.Server
	ratesAddr string
	warehouse *warehouse
	archive   *sshtest.Server // nil: there is no sshd
	image     *image          // nil: no engine answers

	mu    sync.Mutex // guards off while the services start, and board
	board []string   // what was posted
}

// start starts all services. The caller stops them, also after an error.
func (s *services) start(ctx context.Context) error {
	s.token = rand.Text()
	starts, ctx := errgroup.WithContext(ctx)
	starts.Go(s.startWeb)
	starts.Go(s.startRates)
	starts.Go(func() (err error) {
		s.warehouse, err = startWarehouse(ctx, filepath.Join(s.dir, "warehouse"))
		return err
	})
	s.startOptional(starts, "ssh_executor", func() (err error) {
		s.archive, err = sshtest.Start()
		return err
	})
	s.startOptional(starts, "docker_executor", func() (err error) {
		s.image, err = makeImage(ctx, s.source)
		return err
	})
	return starts.Wait()
}

// startOptional starts what only tasks of one executor need. If it can't, those are left out.
func (s *services) startOptional(starts *errgroup.Group, executor string, start func() error) {
	if s.off[executor] != "" {
		return
	}
	starts.Go(func() error {
		if err := start(); err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.off[executor] = err.Error()
		}
		return nil
	})
}

// stop ends what was started, the latest users first.
func (s *services) stop() (err error) {
	if s.image != nil {
		err = s.image.remove()
	}
	if s.archive != nil {
		s.archive.Stop()
	}
	if s.warehouse != nil {
		err = errors.Join(err, s.warehouse.server.Stop())
	}
	if s.rates != nil {
		s.rates.Stop()
	}
	if s.web != nil {
		err = errors.Join(err, s.web.Close())
	}
	return err
}

// describe tells what runs where.
func (s *services) describe(out io.Writer) {
	fmt.Fprintf(out, "   shop          http://%s/v1\n   notice board  ws://%s/board\n   rates         grpc://%s\n   warehouse     postgres://%s\n",
		s.webAddr, s.webAddr, s.ratesAddr, s.warehouse.addr())
	if s.archive != nil {
		fmt.Fprintf(out, "   archive       ssh://%s\n", s.archive.Addr())
	}
	if s.image != nil {
		fmt.Fprintf(out, "   auditor       %s, an image\n", s.image.name)
	}
}

// startWeb starts the shop and the notice board.
func (s *services) startWeb() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/orders", s.orders)
	mux.HandleFunc("GET /board", s.notices)
	s.webAddr = l.Addr().String()
	s.web = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+s.token {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})}
	go func() { _ = s.web.Serve(l) }() // ends with stop
	return nil
}

// orders are what was sold on the day of the report.
func (s *services) orders(w http.ResponseWriter, r *http.Request) {
	if day := r.FormValue("day"); day != "2030-01-02" {
		http.Error(w, "the shop was closed on "+day, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `[
		{"id": 1, "country": "AT", "amount": 120.00, "currency": "EUR"},
		{"id": 2, "country": "US", "amount": 250.00, "currency": "USD"},
		{"id": 3, "country": "GB", "amount": 85.00, "currency": "GBP"},
		{"id": 4, "country": "AT", "amount": 19.90, "currency": "EUR"},
		{"id": 5, "country": "US", "amount": 50.00, "currency": "USD"},
		{"id": 6, "country": "DE", "amount": 310.50, "currency": "EUR"}
	]`)
}

// notices is the board: it greets, keeps what is posted, and confirms it after a line of chatter.
func (s *services) notices(w http.ResponseWriter, r *http.Request) {
	conn, err := ws.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	if wsjson.Write(r.Context(), conn, map[string]any{"type": "welcome"}) != nil {
		return
	}
	for {
		var post struct{ Type, Text string }
		if wsjson.Read(r.Context(), conn, &post) != nil || post.Type != "post" {
			return
		}
		s.mu.Lock()
		s.board = append(s.board, post.Text)
		number := len(s.board)
		s.mu.Unlock()
		for _, reply := range []map[string]any{{"type": "chatter"}, {"type": "posted", "number": number}} {
			if wsjson.Write(r.Context(), conn, reply) != nil {
				return
			}
		}
	}
}

// posted is what the board has.
func (s *services) posted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.board)
}

// workerFile writes the operator's file: where to go and as whom, which secrets there are, whose files may be used, and the shop's own
// executor. The secrets themselves stand in files beside it, and in variables.
func (s *services) workerFile() (path string, env []string, err error) {
	root := filepath.Join(s.dir, "files")
	connections := map[string]any{
		"shop":      object{"type": "http", "base_url": "http://" + s.webAddr + "/v1", "auth": bearer},
		"rates":     object{"type": "grpc", "server": "grpc://" + s.ratesAddr, "auth": bearer},
		"board":     object{"type": "websocket", "url": "ws://" + s.webAddr + "/board", "auth": bearer},
		"warehouse": s.warehouse.connection(),
	}
	secrets := object{
		"shop-token":         object{"env": "SHOWCASE_TOKEN", "pools": []string{}}, // for connections alone
		"warehouse-password": object{"env": "SHOWCASE_PASSWORD", "pools": []string{}},
		"signing-key":        object{"file": filepath.Join(s.dir, "signing-key"), "pools": []string{"shop_tools"}},
	}
	if s.archive != nil {
		connections["archive"] = object{"type": "ssh", "host": "127.0.0.1", "port": s.archive.Port, "username": s.archive.User,
			"key": object{"secret": "archive-key"}, "known_hosts": s.archive.KnownHosts()}
		secrets["archive-key"] = object{"file": s.archive.Path("id"), "pools": []string{}}
	}
	tools := object{"command": []string{"python3", "tools.py"}, "dir": s.source,
		"env": object{"PYTHONPATH": filepath.Join(filepath.Dir(s.source), "external-python"), "PYTHONDONTWRITEBYTECODE": "1"}}
	text, err := json.MarshalIndent(object{"connections": connections, "secrets": secrets,
		"pools": object{"file_executor": object{"files": object{"root": root}}}, "executors": []any{tools}}, "", "  ")
	path = filepath.Join(s.dir, "worker.json")
	err = errors.Join(err, os.MkdirAll(root, 0o700), os.WriteFile(path, text, 0o600),
		os.WriteFile(filepath.Join(s.dir, "signing-key"), []byte(rand.Text()), 0o600))
	return path, []string{"SHOWCASE_TOKEN=" + s.token, "SHOWCASE_PASSWORD=" + s.warehouse.password}, err
}

type object = map[string]any

// bearer is how shop, rates and board know the worker.
var bearer = object{"type": "bearer", "token": object{"secret": "shop-token"}}
