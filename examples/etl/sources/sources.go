// Package sources is the small HTTP server that the ETL example fetches from.
//
// It owns some CSV files, one of which appears only at the third request, and one file that is missing for good. It must not
// know Taskgrove.
package sources

import (
	"fmt"
	"net/http"
	"sync"
)

var files = map[string]string{
	"orders":    "id,customer,amount\n3,ann,20\n1,bob,15\n2,ann,7\n1,bob,15\n",
	"refunds":   "id,order,amount\n1,2,7\n",
	"customers": "name,city\nbob,Oslo\nann,Graz\nann,Graz\n",
	"stock":     "item,count\npear,4\nfig,9\n",
}

// flakyUntil is how many requests for the stock fail before one is answered.
const flakyUntil = 2

// Handler serves the files below /: /orders, /refunds, /customers, and /stock, which fails at first; /archive is gone.
func Handler() http.Handler {
	var mu sync.Mutex
	asked := 0
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{name}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		text, ok := files[name]
		if !ok {
			http.Error(w, "gone", http.StatusGone)
			return
		}
		if name == "stock" {
			mu.Lock()
			asked++
			early := asked <= flakyUntil
			mu.Unlock()
			if early {
				http.Error(w, "not yet", http.StatusServiceUnavailable)
				return
			}
		}
		w.Header().Set("Content-Type", "text/csv")
		fmt.Fprint(w, text)
	})
	return mux
}
