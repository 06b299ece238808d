// Command serve runs the sources of the ETL example on a loopback address and prints its URL.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/taskgrove/taskgrove/examples/etl/sources"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8099", "address to listen on; port 0 takes a free one")
	flag.Parse()
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", l.Addr())
	server := &http.Server{Handler: sources.Handler(), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(l))
}
