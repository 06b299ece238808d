package natsserver

import (
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/taskgrove/taskgrove/queue"
)

// maxAccounts bounds the workers' accounts: a server can't remove one. Further worker ids are refused until a restart.
const maxAccounts = 10_000

// pullAnswers is how long the server keeps the way back for the answers to a pull, after the last of them; a worker's pulls
// last 15 s.
const pullAnswers = 30 * time.Second

// accounts makes the account of each worker when it first connects. Coordinators are in the server's global account, which
// holds the streams.
type accounts struct {
	nats   *server.Server
	prefix string

	mu      sync.Mutex
	workers map[string]*server.Account // by id; complete
}

// of is the account of a worker.
func (a *accounts) of(worker string) (*server.Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if account := a.workers[worker]; account != nil {
		return account, nil
	}
	if len(a.workers) >= maxAccounts {
		return nil, fmt.Errorf("there have been %d other workers since the start", maxAccounts)
	}
	account, _ := a.nats.LookupOrRegisterAccount(queue.WorkerAccount(a.prefix, worker))
	if err := a.connect(account, queue.WorkerCrossings(a.prefix, worker, []string{"*"})); err != nil {
		return nil, fmt.Errorf("make its account: %w", err)
	}
	a.workers[worker] = account
	return account, nil
}

// connect makes the crossings. Pulls need no relay here: there is one server, which sees whether an answer is awaited in
// another account.
func (a *accounts) connect(account *server.Account, crossings queue.Crossings) error {
	main, importers := a.nats.GlobalAccount(), []*server.Account{account}
	for _, subject := range crossings.Services {
		if err := main.AddServiceExport(subject, importers); err != nil {
			return err
		}
		if err := account.AddServiceImport(main, subject, ""); err != nil {
			return err
		}
	}
	for _, subject := range crossings.Streams {
		if err := main.AddStreamExport(subject, importers); err != nil {
			return err
		}
		if err := account.AddStreamImport(main, subject, ""); err != nil {
			return err
		}
	}
	pulls := crossings.Pulls.Asked
	if err := main.AddServiceExportWithResponse(pulls, server.Streamed, importers); err != nil {
		return err
	}
	if err := main.SetServiceExportResponseThreshold(pulls, pullAnswers); err != nil {
		return err
	}
	return account.AddServiceImport(main, pulls, "")
}
