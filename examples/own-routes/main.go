// Command own-routes serves routes of its own beside those of a coordinator, at one address.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"
)

func main() {
	coordinator := cmp.Or(os.Getenv("COORDINATOR"), "http://127.0.0.1:8000")
	listen := cmp.Or(os.Getenv("LISTEN"), "127.0.0.1:8080")
	routes, err := newRoutes(coordinator)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: listen, Handler: routes, ReadHeaderTimeout: 10 * time.Second}
	log.Printf("http://%s/hello, and all that %s serves", listen, coordinator)
	log.Fatal(server.ListenAndServe())
}

// newRoutes are our own routes; whatever is not one of them goes to the coordinator.
func newRoutes(coordinator string) (http.Handler, error) {
	to, err := url.Parse(coordinator)
	if err != nil || to.Host == "" {
		return nil, fmt.Errorf("COORDINATOR is no address of a coordinator, such as http://127.0.0.1:8000: %q", coordinator)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"hello": "from a route of our own"})
	})
	mux.Handle("/", &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to) // the Host, too: a coordinator serves only names that it knows
			r.SetXForwarded()
		},
		FlushInterval: -1, // events go on as they come
	})
	return mux, nil
}
