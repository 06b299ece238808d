// Command serve plays scripts as a service of language models, for examples that need no account.
//
//	go run ./executors/model/modeltest/serve -scripts examples/agents/models -listen 127.0.0.1:8089
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:8089", "the address to listen at; port 0: any that is free")
	scripts := flag.String("scripts", "", "the folder of scripts (*.yaml, *.json); empty: those that come with the package")
	key := flag.String("key", "", "the key that clients must have; empty: none is asked for")
	flag.Parse()
	played := modeltest.AllRecorded()
	if *scripts != "" {
		var err error
		if played, err = modeltest.Load(os.DirFS(*scripts)); err != nil {
			return err
		}
	}
	service := modeltest.New(*key)
	defer service.Close()
	for _, script := range played {
		for _, model := range script.PlayedBy() {
			service.Play(model, script)
		}
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fmt.Printf("OpenAI's format: http://%s/v1\nAnthropic's:     http://%s\n", l.Addr(), l.Addr())
	server := &http.Server{Handler: service.Handler(), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { service.Close(); _ = server.Close() })
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
