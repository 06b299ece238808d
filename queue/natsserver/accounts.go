package natsserver

import (
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/taskgrove/taskgrove/queue"
)

// maxAccounts bounds the accounts of workers and groups: a server can't remove one. Further worker ids are refused until a restart.
const maxAccounts = 10_000

// accounts makes the account of each worker, or of its group, when it first connects. Coordinators are in the server's global account, which
// holds the streams.
type accounts struct {
	nats   *server.Server
	prefix string

	mu      sync.Mutex
	relay   *queue.Conn                // nil while the server starts
	workers map[string]*server.Account // by id, or "group.*"; complete
}

// of is the account of a worker, or of "group.*".
func (a *accounts) of(worker string) (*server.Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.relay == nil {
		return nil, errors.New("the server starts")
	}
	account := a.workers[worker]
	if account == nil {
		if len(a.workers) >= maxAccounts {
			return nil, fmt.Errorf("there have been %d other workers since the start", maxAccounts)
		}
		account, _ = a.nats.LookupOrRegisterAccount(queue.WorkerAccount(a.prefix, worker))
		if err := a.connect(account, queue.WorkerCrossings(a.prefix, worker, []string{"*"})); err != nil {
			return nil, fmt.Errorf("make its account: %w", err)
		}
		a.workers[worker] = account
	}
	return account, a.relay.RelayPulls(queue.User(worker))
}

// relayBy lets workers in, and relays their pulls through the connection.
func (a *accounts) relayBy(conn *queue.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.relay = conn
}

// connect makes the crossings. An imported stream reaches only later subscriptions, and coordinators have subscribed before the
// worker came; so the server relays its pulls itself.
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
	pulls := crossings.Pulls
	if err := account.AddStreamExport(pulls.Asked, []*server.Account{main}); err != nil {
		return err
	}
	return main.AddMappedStreamImport(account, pulls.Asked, pulls.Relayed)
}
