package worker

import (
	"github.com/taskgrove/taskgrove/internal/conceal"
	"github.com/taskgrove/taskgrove/internal/config"
	"github.com/taskgrove/taskgrove/queue"
)

// FromEnv reads the settings of a worker from the environment, by the variables that the stock worker reads
// (TASKGROVE_NATS_URL, TASKGROVE_WORKER_ID, TASKGROVE_POOLS, TASKGROVE_CONCURRENCY and so on; see
// docs/configuration.md), for [Dial]. The caller adds the executors. The error names every variable that has a wrong value,
// or is missing.
//
// Settings of the process around a worker are not read: logs, health and metrics over HTTP, the ready file. Those of the
// built-in executors are read by builtin.FromEnv.
//
// FromEnv closes the process, so that the commands of tasks, which run as the same user, find no credentials in it: the
// kernel's copy of the environment is wiped (os.Getenv has its own, code in C has not), and only root can trace the process or
// get a core dump of it.
func FromEnv() (url string, cfg Config, err error) {
	_ = conceal.Process() // Dial reports the error
	var settings config.Worker
	if err := config.Load(&settings, nil); err != nil {
		return "", Config{}, err
	}
	url, cfg = FromSettings(&settings)
	return url, cfg, nil
}

// FromSettings maps the settings of a process, as package internal/config reads them. Programs outside the module call
// [FromEnv].
func FromSettings(s *config.Worker) (url string, cfg Config) {
	cfg = Config{
		ID: string(s.ID), Prefix: string(s.Prefix), OwnPools: s.Pools.All, Concurrency: s.Concurrency,
		Beat: s.Beat, KillGrace: s.KillGrace, DrainGrace: s.DrainGrace, FlushGrace: s.FlushGrace,
		MaxKept: s.MaxKept, MaxKeptBytes: int(s.MaxKeptBytes), MaxResultBytes: int(s.MaxResultBytes),
		MaxInputBytes: int(s.MaxInputBytes), InlineBytes: int(s.InlineResult), MaxLogBytes: int(s.MaxLogBytes),
		Resend: s.Resend, AskWithin: s.AskWithin, Ahead: s.ClaimAhead, Override: s.ExecutorOverride,
		WorkerFile: s.WorkerFile, SecretsDir: s.SecretsDir, AgentTools: s.AgentTools, WorkDir: s.WorkDir,
		TraceInside: !bool(s.TraceOutward),
		TaskLogs:    string(s.TaskLogs), TaskLogsSealed: bool(s.TaskLogsSealed),
		Login: queue.Login{PasswordFile: s.NATSPassword, CredsFile: s.CredsFile, NKeyFile: s.NKeyFile, CAFile: s.NATSCA, CertFile: s.NATSCert, KeyFile: s.NATSKey},
	}
	if cfg.DemoSleepScale = float64(s.DemoSleepScale); cfg.DemoSleepScale == 0 {
		cfg.DemoSleepScale = -1
	}
	if s.ClaimAhead == 0 {
		cfg.Ahead = -1
	}
	for _, p := range s.Pools.Named {
		cfg.Pools = append(cfg.Pools, Pool(p))
	}
	return s.NATSURL.Reveal(), cfg
}
