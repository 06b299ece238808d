package doctor

import "slices"

// Checks are all checks, by area. docs/doctor.md is made of them.
var Checks = slices.Concat(clientChecks, clusterChecks, postgresChecks, natsChecks)

// CheckOf is the check of the id; nil: there is none.
func CheckOf(id string) *Check {
	if i := place(id); i < len(Checks) {
		return &Checks[i]
	}
	return nil
}

// place is where a check stands in the table; those that are not in it come last.
func place(id string) int {
	i := slices.IndexFunc(Checks, func(c Check) bool { return c.ID == id })
	if i < 0 {
		return len(Checks)
	}
	return i
}

// What the client sees itself.
const (
	ClientGRPC    = "client-grpc"
	ClientHTTP    = "client-http"
	ClientTLS     = "client-tls"
	ClientToken   = "client-token"
	ClientRights  = "client-rights"
	ClientVersion = "client-version"
	ClientClock   = "client-clock"
)

var clientChecks = []Check{
	{ID: ClientGRPC, Area: "From where you are", Title: "The gRPC listener of a coordinator answers.",
		Why: "Every command speaks gRPC to the address of `--server`.",
		Mend: []string{"taskgrove coordinator, or taskgrove dev on your own machine, starts one; --server or TASKGROVE_SERVER names its address.",
			"Look whether it listens where others reach it (TASKGROVE_GRPC_ADDR), and whether a firewall or a NetworkPolicy stands between.",
			"taskgrove doctor --direct, on a machine with the coordinator's settings, looks at Postgres and NATS themselves."}, See: "network.md"},
	{ID: ClientHTTP, Area: "From where you are", Title: "The HTTP listener of a coordinator answers, and says that it is ready.",
		Why:  "JSON-RPC, event streams, A2A, MCP, health checks and metrics are served there.",
		Mend: []string{"Name its address: taskgrove doctor --http http://HOST:8000", "Look at TASKGROVE_HTTP_ADDR of the coordinator, and at the text of /ready, which says what it waits for."}, See: "json-rpc.md"},
	{ID: ClientTLS, Area: "From where you are", Title: "The connection to the coordinator is encrypted, and its certificate lasts.",
		Why:  "Without TLS, tokens and results travel as plain text; with a certificate that has ended nobody connects any more.",
		Mend: []string{"Give coordinators TASKGROVE_LISTEN_TLS_CERT_FILE and TASKGROVE_LISTEN_TLS_KEY_FILE, and commands --tls.", "Have the certificate renewed: coordinators read the files again by themselves."}, See: "tls.md"},
	{ID: ClientToken, Area: "From where you are", Title: "The coordinator takes your token, and it lasts.",
		Why:  "A token that has ended is refused.",
		Mend: []string{"taskgrove login", "Where the cluster signs its own tokens: taskgrove token create"}, See: "authentication.md"},
	{ID: ClientRights, Area: "From where you are", Title: "You may ask for a diagnosis.",
		Why:  "Without the permission `cluster.diagnose`, which admins and operators of the cluster have, only what you see yourself is looked at.",
		Mend: []string{"Ask with the token of an operator or admin: --token-file FILE", "An admin gives the role: taskgrove roles grant operator --user NAME"}, See: "access-control.md"},
	{ID: ClientVersion, Area: "From where you are", Title: "This program and the coordinators are of the same version, or one apart.",
		Why:  "Versions that are further apart are not tested together.",
		Mend: []string{"Install the version that the coordinators have."}, See: "reliability.md"},
	{ID: ClientClock, Area: "From where you are", Title: "Your clock and the coordinator's agree.",
		Why:  "Times that commands show, and when tokens begin and end, are judged by both.",
		Mend: []string{"Have NTP set the clock: timedatectl set-ntp true"}},
}

// What a coordinator knows of the cluster.
const (
	Coordinators    = "coordinators"
	CoordinatorsAll = "coordinators-answer"
	SettingsDiffer  = "settings"
	Versions        = "versions"
	ClocksOf        = "clocks"
	WorkersAlive    = "workers"
	WorkerLeases    = "worker-leases"
	WorkerFaults    = "worker-faults"
	PoolsServed     = "pools-served"
	PoolsIdle       = "pools-idle"
	Paused          = "paused"
	PoolsWait       = "pools-wait"
	ExecutorsKnown  = "executors-known"
	Violations      = "violations"
	WebhooksOff     = "webhooks"
	Quotas          = "quotas"
	RecordState     = "audit-record"
	SealingState    = "sealing"
	Issuers         = "issuers"
	ArtifactStore   = "artifacts"
	TreesHeld       = "holds"
	SchedulesRun    = "schedules"
	ErasuresMove    = "erasures"
	ArchiveTakes    = "archive"
)

var clusterChecks = []Check{
	{ID: Coordinators, Area: "Coordinators and workers", Title: "Coordinators are alive, two at least.",
		Why:  "With one, the cluster stands still while it restarts; nothing is lost.",
		Mend: []string{"Start another one with the same settings: they share the work by themselves."}, See: "reliability.md"},
	{ID: CoordinatorsAll, Area: "Coordinators and workers", Title: "Each coordinator that is alive answers over NATS.",
		Why:  "One that does not is frozen, has lost its connection to NATS, or is of a version that does not answer.",
		Mend: []string{"Look at its log and at its /ready; restart it if it does nothing: its work goes to the others."}, See: "reliability.md"},
	{ID: SettingsDiffer, Area: "Coordinators and workers", Title: "All coordinators have the same settings where that matters.",
		Why:  "Leases, retention, streams and bounds then depend on which coordinator does the work.",
		Mend: []string{"Give all coordinators the same environment; the finding names the settings that differ."}, See: "configuration.md"},
	{ID: Versions, Area: "Coordinators and workers", Title: "Coordinators and workers are of one version, or of two that follow one another while you upgrade.",
		Why:  "New features wait until no older process lives; versions that are further apart are not tested together.",
		Mend: []string{"Finish the upgrade: replace the processes that the finding names by the newest version that is there."}, See: "reliability.md"},
	{ID: ClocksOf, Area: "Coordinators and workers", Title: "The clocks of coordinators, workers and Postgres agree.",
		Why:  "Postgres's clock decides leases and schedules, so that nothing is lost by a wrong clock; tokens, certificates and times in logs go by each machine's own.",
		Mend: []string{"Have NTP set the clock of that machine: timedatectl set-ntp true", "chronyc tracking shows how far off it is."}},
	{ID: WorkersAlive, Area: "Coordinators and workers", Title: "Workers are alive, and none was lost within the last hour.",
		Why:  "A worker is lost when its beats stop: it crashed, was killed, or could not reach NATS. What it ran is run again.",
		Mend: []string{"taskgrove worker starts one.", "Look at the end of the log of the worker that was lost, and for kernel messages about memory (dmesg, or kubectl describe pod)."}, See: "reliability.md"},
	{ID: WorkerLeases, Area: "Coordinators and workers", Title: "Beats of workers arrive in time.",
		Why:  "A worker whose lease runs out stops what it runs, and it is run again elsewhere.",
		Mend: []string{"Look whether the worker's machine is overloaded, and whether it reaches NATS.", "Look whether coordinators or Postgres are: beats that are late for all workers are theirs."}, See: "reliability.md"},
	{ID: WorkerFaults, Area: "Coordinators and workers", Title: "Workers can run what they were told to.",
		Why:  "Tasks of an executor that is off, or of a pool that is not taken, wait for a worker that can.",
		Mend: []string{"Mend on the worker what the finding says, or leave the executor out of its TASKGROVE_POOLS."}, See: "pools.md"},
	{ID: PoolsServed, Area: "Coordinators and workers", Title: "Every pool in which tasks are ready has workers.",
		Why:  "Ready tasks of a pool that nobody serves wait until somebody does.",
		Mend: []string{"Start a worker that serves the pool: TASKGROVE_POOLS=NAME taskgrove worker", "If nothing should run there, cancel the trees: taskgrove list --tasks --state ready"}, See: "pools.md"},
	{ID: PoolsIdle, Area: "Coordinators and workers", Title: "Every pool that is open has workers.",
		Why:  "A pool without workers is closed after a while unless unfinished trees name it; their tasks will wait there.",
		Mend: []string{"Start a worker that serves the pool before its tasks become ready: TASKGROVE_POOLS=NAME taskgrove worker"}, See: "pools.md"},
	{ID: PoolsWait, Area: "Coordinators and workers", Title: "No ready task waits for long in a pool that has workers.",
		Why:  "The pool has too few slots, its workers take nothing, or one task has all of them.",
		Mend: []string{"taskgrove top shows how full the pool is; give it more workers, or workers more slots (TASKGROVE_CONCURRENCY).", "taskgrove why TASK says what one task waits for."}, See: "pools.md"},
	{ID: Paused, Area: "Coordinators and workers", Title: "Nothing is paused, and no limit is 0.",
		Why: "Tasks of what somebody paused wait until it is resumed; those of a limit of 0, until it is raised or deleted.",
		Mend: []string{"taskgrove pauses lists what is paused, by whom and why; taskgrove resume lets it go on: TREE, --pool POOL or --all",
			"taskgrove limits lists limits, who set them and why; taskgrove limits set raises one, taskgrove limits delete takes it away."}, See: "pauses.md"},
	{ID: TreesHeld, Area: "Coordinators and workers", Title: "No tree is held for longer than it would be kept otherwise.",
		Why:  "What is held stays until it is released, whatever its retention.",
		Mend: []string{"taskgrove holds lists what is held, by whom and why; taskgrove release TREE lets a tree go."}, See: "keeping.md"},
	{ID: ErasuresMove, Area: "Coordinators and workers", Title: "What is being erased comes further.",
		Why: "An erasure waits for the ends of trees that run, for results on their way, and for the store of artifacts; what it is about is still there.",
		Mend: []string{"taskgrove erasures ID says at which step it is; taskgrove list --running shows trees that still run: taskgrove cancel TREE, or taskgrove erase --user USER --cancel",
			"At the step messages, look whether NATS answers; at contents, whether the store of artifacts does."}, See: "keeping.md"},
	{ID: ArchiveTakes, Area: "Coordinators and workers", Title: "The archive takes trees before they are deleted.",
		Why: "A tree that can't be archived is not deleted, and the database grows.",
		Mend: []string{"Look whether TASKGROVE_ARCHIVE_DIR, or TASKGROVE_ARCHIVE_S3_ENDPOINT, _BUCKET and the keys of all coordinators are right, whether the folder or bucket is there, and whether it has room.",
			"Look in the logs of coordinators for: a tree could not be archived"}, See: "keeping.md"},
	{ID: ExecutorsKnown, Area: "Coordinators and workers", Title: "A live worker has each executor that running trees ask for.",
		Why:  "A task whose executor no worker has can't run.",
		Mend: []string{"Start a worker that has the executor, or correct its name: taskgrove executors lists those that there are."}, See: "executors.md"},
	{ID: Violations, Area: "Coordinators and workers", Title: "What is stored follows the rules of the system, as the auditor sees it.",
		Why:  "A violation is a defect of ours, or rows that somebody changed by hand. The tree may not come to its end.",
		Mend: []string{"taskgrove verify -o json > violations.json", "Report it with that file, without what is secret in it.", "taskgrove cancel TREE --cascade, and submit it again, if the tree does not go on."}, See: "reliability.md"},
	{ID: WebhooksOff, Area: "Coordinators and workers", Title: "No webhook is switched off or failing.",
		Why:  "Events of a webhook that is off are not delivered.",
		Mend: []string{"taskgrove webhooks list, then taskgrove webhooks test ID, and when the receiver answers again, taskgrove webhooks update ID --enable"}, See: "webhooks.md"},
	{ID: SchedulesRun, Area: "Coordinators and workers", Title: "Runs of schedules begin, and end when they are due.",
		Why:  "A run whose tree is refused has failed, and so will the next one. What is late goes on, but somebody may wait for it.",
		Mend: []string{"taskgrove schedule why ID says why it does not run; taskgrove schedule runs ID shows what became of each instant.", "Mend the tree of the schedule, and apply its file again: taskgrove schedule apply FILE"}, See: "schedules.md"},
	{ID: Quotas, Area: "Coordinators and workers", Title: "No namespace is near its quota.",
		Why:  "What would go over a quota is refused.",
		Mend: []string{"taskgrove namespaces get NAME shows what there is; delete trees, or raise the quota: taskgrove namespaces update NAME"}, See: "namespaces.md"},
	{ID: ArtifactStore, Area: "Coordinators and workers", Title: "The store of artifacts answers, has what was stored, and has room.",
		Why: "Tasks that make files, or need those of others, fail where it does not; so do outputs over their bounds.",
		Mend: []string{"With a bucket: look whether TASKGROVE_ARTIFACT_S3_ENDPOINT, _BUCKET and the keys of all coordinators are right, and whether the bucket is there.",
			"With the stream TG_ARTIFACTS: TASKGROVE_ARTIFACT_STREAM_BYTES is its bound; delete trees whose files nobody needs, or raise it.", "taskgrove verify --tree TREE says which artifacts are lost."}, See: "artifacts.md"},
	{ID: RecordState, Area: "Coordinators and workers", Title: "The audit record is written, and mirrored as it should be.",
		Why:  "What can't be recorded does not happen; what is not mirrored is only in Postgres.",
		Mend: []string{"taskgrove audit verify", "Look at the log of the coordinator about its audit record, and whether what TASKGROVE_AUDIT_LOG names takes lines fast enough."}, See: "audit.md"},
	{ID: SealingState, Area: "Coordinators and workers", Title: "Values that are stored are sealed under the current keys.",
		Why:  "Until the walk over stored values is done, older keys are needed.",
		Mend: []string{"taskgrove seal status shows how far it is; keep the older master key until it is done."}, See: "sealing.md"},
	{ID: Issuers, Area: "Coordinators and workers", Title: "The keys of the issuers of tokens can be had.",
		Why:  "Without them new tokens are refused.",
		Mend: []string{"Look whether the coordinator reaches the issuer, and at what the file of callers (TASKGROVE_CALLERS_FILE) says about it."}, See: "authentication.md"},
}

// What is looked at in Postgres.
const (
	PostgresReach       = "pg-reach"
	PostgresVersion     = "pg-version"
	PostgresTLS         = "pg-tls"
	PostgresSchema      = "pg-schema"
	PostgresRights      = "pg-rights"
	PostgresWrites      = "pg-writes"
	PostgresConnections = "pg-connections"
	PostgresPooler      = "pg-pooler"
	PostgresDurability  = "pg-durability"
	PostgresStandby     = "pg-standby"
	PostgresDisk        = "pg-disk"
	PostgresAutovacuum  = "pg-autovacuum"
	PostgresBloat       = "pg-bloat"
	PostgresXID         = "pg-xid"
	PostgresLong        = "pg-long"
	PostgresIdle        = "pg-idle"
	PostgresPrepared    = "pg-prepared"
	PostgresSlots       = "pg-slots"
	PostgresClock       = "pg-clock"
)

var postgresChecks = []Check{
	{ID: PostgresReach, Area: "Postgres", Title: "Postgres answers.",
		Why: "All state is there: without it coordinators wait, and nothing moves.",
		Mend: []string{"Look whether the server runs and TASKGROVE_POSTGRES_URL names it: psql \"$TASKGROVE_POSTGRES_URL\" -c 'select 1'",
			"Look at pg_hba.conf for the host and user, at the password file, and at certificates if sslmode asks for them."}, See: "reliability.md"},
	{ID: PostgresVersion, Area: "Postgres", Title: "Postgres is 15 or newer.",
		Why: "Older ones lack what the statements use.", Mend: []string{"Upgrade with pg_upgrade, or restore a dump into a newer server."}, See: "reliability.md"},
	{ID: PostgresTLS, Area: "Postgres", Title: "The connection to Postgres is encrypted where it leaves the machine, and the certificate lasts.",
		Why: "Results and inputs travel over it.", Mend: []string{"Add sslmode=verify-full to the URL, and TASKGROVE_POSTGRES_TLS_CA_FILE.", "Have the server's certificate renewed, then: select pg_reload_conf()"}, See: "tls.md"},
	{ID: PostgresSchema, Area: "Postgres", Title: "The schema has all migrations of this version, and none of a newer one.",
		Why:  "A coordinator needs the schema of its version; one that is newer was made by a newer coordinator.",
		Mend: []string{"taskgrove migrate, as the owner of the tables: it makes what is missing, and ends."}, See: "upgrades.md"},
	{ID: PostgresRights, Area: "Postgres", Title: "The role has the rights that a coordinator needs, and is no superuser.",
		Why:  "A coordinator that lacks a right does not start; a superuser may do more than it should if its password leaks.",
		Mend: []string{"Grant what the finding names, as the owner of the tables."}, See: "reliability.md#rights-in-postgres"},
	{ID: PostgresWrites, Area: "Postgres", Title: "Postgres takes writes.",
		Why:  "A standby, or a server that is set to read only, takes none: nothing can be submitted, and nothing ends.",
		Mend: []string{"Name the primary in the URL: several hosts with target_session_attrs=read-write find it.", "If the primary is gone for good, promote the standby: select pg_promote()"}, See: "reliability.md"},
	{ID: PostgresConnections, Area: "Postgres", Title: "max_connections has room for all coordinators.",
		Why:  "A coordinator that gets no connection waits, and so do those whom it answers.",
		Mend: []string{"Raise max_connections (and restart Postgres), lower TASKGROVE_POSTGRES_MAX_CONNS, or put a pooler between."}, See: "reliability.md#poolers"},
	{ID: PostgresPooler, Area: "Postgres", Title: "A pooler between is in session or transaction mode.",
		Why:  "In statement mode there are no transactions.",
		Mend: []string{"pgbouncer: pool_mode = transaction", "TASKGROVE_POSTGRES_POOLER=yes spares coordinators the search for it."}, See: "reliability.md#poolers"},
	{ID: PostgresDurability, Area: "Postgres", Title: "What is committed is on disk.",
		Why:  "With fsync or full_page_writes off a crash of the machine may destroy the database; with synchronous_commit off it loses the last commits: results that clients were told of.",
		Mend: []string{"alter system set fsync = on", "alter system set full_page_writes = on", "alter system set synchronous_commit = on; then select pg_reload_conf()"}, See: "reliability.md"},
	{ID: PostgresStandby, Area: "Postgres", Title: "A synchronous standby is there if commits wait for one.",
		Why:  "With synchronous_standby_names and no standby that fits, every commit waits for ever.",
		Mend: []string{"Bring the standby back, or as long as it is away: alter system set synchronous_standby_names = ''; select pg_reload_conf()"}, See: "reliability.md"},
	{ID: PostgresDisk, Area: "Postgres", Title: "How much room the database and its log take.",
		Why:  "How much is free can't be seen by SQL. Postgres stops when the disk is full, and so does the cluster until there is room.",
		Mend: []string{"Watch the disk on the server: df -h", "Have finished trees deleted after a while: TASKGROVE_RETENTION", "A write-ahead log far above max_wal_size is held by a replication slot, an archive_command that fails, or wal_keep_size."}, See: "reliability.md"},
	{ID: PostgresAutovacuum, Area: "Postgres", Title: "Autovacuum is on.",
		Why:  "Without it tables grow for ever, and at last Postgres refuses writes.",
		Mend: []string{"alter system set autovacuum = on; alter system set track_counts = on; select pg_reload_conf()", "Of one table: alter table NAME reset (autovacuum_enabled)"}, See: "reliability.md"},
	{ID: PostgresBloat, Area: "Postgres", Title: "The tables that change most have few dead rows.",
		Why:  "Dead rows slow every statement down that has to pass them. A transaction that stays open, or a vacuum that can't keep up, leaves them.",
		Mend: []string{"End what holds them first: pg-long, pg-idle, pg-slots and pg-prepared.", "vacuum (verbose) NAME", "Let autovacuum work more: alter system set autovacuum_vacuum_cost_limit = 2000; select pg_reload_conf()"}, See: "reliability.md"},
	{ID: PostgresXID, Area: "Postgres", Title: "Transaction ids are far from their end.",
		Why:  "Postgres refuses writes when the oldest row is two thousand million transactions old.",
		Mend: []string{"End what holds the oldest rows (pg-long, pg-slots, pg-prepared), then: vacuum freeze", "autovacuum_freeze_max_age says when Postgres begins that by itself."}, See: "reliability.md"},
	{ID: PostgresLong, Area: "Postgres", Title: "No transaction is open for long.",
		Why:  "What it may still see can't be vacuumed, in any table.",
		Mend: []string{"See what it does: select * from pg_stat_activity where pid = PID", "End it: select pg_terminate_backend(PID)"}, See: "reliability.md"},
	{ID: PostgresIdle, Area: "Postgres", Title: "No session is idle within a transaction.",
		Why:  "It holds its locks and dead rows while nobody works.",
		Mend: []string{"End it: select pg_terminate_backend(PID)", "alter role NAME set idle_in_transaction_session_timeout = '60s'"}, See: "reliability.md"},
	{ID: PostgresPrepared, Area: "Postgres", Title: "No prepared transaction was forgotten.",
		Why:  "Taskgrove makes none. One that nobody ends holds locks and dead rows for ever, over restarts too.",
		Mend: []string{"rollback prepared 'NAME'"}},
	{ID: PostgresSlots, Area: "Postgres", Title: "No replication slot holds the log back.",
		Why:  "A slot that nobody reads keeps the write-ahead log until the disk is full.",
		Mend: []string{"Bring its reader back, or: select pg_drop_replication_slot('NAME')", "alter system set max_slot_wal_keep_size = '50GB' bounds what a slot may hold."}, See: "reliability.md"},
	{ID: PostgresClock, Area: "Postgres", Title: "Postgres's clock and that of who asks agree.",
		Why:  "Postgres's clock decides leases and schedules.",
		Mend: []string{"Have NTP set the clocks: timedatectl set-ntp true"}},
}

// What is looked at in NATS.
const (
	NATSReach       = "nats-reach"
	NATSServers     = "nats-servers"
	NATSVersion     = "nats-version"
	NATSTLS         = "nats-tls"
	NATSJetStream   = "nats-jetstream"
	NATSLimits      = "nats-limits"
	NATSStreams     = "nats-streams"
	NATSReplicas    = "nats-replicas"
	NATSPeers       = "nats-peers"
	NATSFull        = "nats-full"
	NATSConsumers   = "nats-consumers"
	NATSPayload     = "nats-payload"
	NATSPermissions = "nats-permissions"
	NATSOpen        = "nats-open"
	NATSSlow        = "nats-slow"
)

var natsChecks = []Check{
	{ID: NATSReach, Area: "NATS", Title: "NATS answers, and takes the user.",
		Why: "Work, results and beats go over it; without it coordinators and workers wait, and nothing is lost.",
		Mend: []string{"Look whether the servers run and TASKGROVE_NATS_URL names them with user and password, or the login files beside it.",
			"taskgrove nats-config prints the accounts that the servers need."}, See: "reliability.md"},
	{ID: NATSServers, Area: "NATS", Title: "Every NATS server that is named or known answers.",
		Why:  "A cluster of three bears the loss of one, not of two.",
		Mend: []string{"Bring the server back; with an empty disk, too: the others give it what it lacks."}, See: "reliability.md"},
	{ID: NATSVersion, Area: "NATS", Title: "NATS servers are 2.10 or newer, and of one version.",
		Why: "Older ones lack what the streams use; a mixture is for an upgrade only.", Mend: []string{"Upgrade the servers one after the other, and wait after each until its streams are current."}, See: "reliability.md"},
	{ID: NATSTLS, Area: "NATS", Title: "The connection to NATS is encrypted where it leaves the machine, and the certificate lasts.",
		Why: "Tasks and results travel over it.", Mend: []string{"Set tls in the servers' configuration, and TASKGROVE_NATS_TLS_CA_FILE.", "Have the certificate renewed, then: nats-server --signal reload"}, See: "tls.md"},
	{ID: NATSJetStream, Area: "NATS", Title: "JetStream is on for the account.",
		Why:  "Work and results are kept in streams.",
		Mend: []string{"In the servers' configuration: jetstream { store_dir: /data }", "In the account of coordinators: jetstream: enabled; taskgrove nats-config prints it so."}, See: "reliability.md"},
	{ID: NATSLimits, Area: "NATS", Title: "The account has room for the streams.",
		Why:  "A stream that gets no room refuses messages; publishers keep them and try again.",
		Mend: []string{"Raise max_file (max_mem) of jetstream, or the limits of the account.", "TASKGROVE_LOGS_BYTES and TASKGROVE_LOGS_AGE bound the largest stream."}, See: "reliability.md"},
	{ID: NATSStreams, Area: "NATS", Title: "The streams are there, with the settings that coordinators give them.",
		Why:  "Somebody changed or deleted them by hand; coordinators set them right again when they start and when they hear of it.",
		Mend: []string{"Restart one coordinator: it makes streams again, and corrects their settings.", "What can't be changed, such as retention or storage: stop all, nats stream rm NAME, and start again; coordinators publish again what was lost."}, See: "reliability.md"},
	{ID: NATSReplicas, Area: "NATS", Title: "Streams have three copies where there are three servers.",
		Why:  "With one copy, the loss of its server holds up the whole cluster, and loses results that Postgres does not have yet: their tasks run again.",
		Mend: []string{"Set TASKGROVE_NATS_REPLICAS=3 for all coordinators, and restart one after the other."}, See: "reliability.md"},
	{ID: NATSPeers, Area: "NATS", Title: "All copies of the streams are current, and each has a leader.",
		Why:  "A stream without a leader takes nothing; copies that lag don't count if another server fails.",
		Mend: []string{"Look at the server that the finding names; nats stream cluster step-down NAME elects another leader.", "If a server never comes back: nats server raft peer-remove NAME, as the system account."}, See: "reliability.md"},
	{ID: NATSFull, Area: "NATS", Title: "No stream is nearly full.",
		Why:  "A full WORK or RESULTS refuses messages: workers wait with their results, coordinators with their work. LOGS drops its oldest lines.",
		Mend: []string{"RESULTS fills when coordinators or Postgres are too slow, WORK when nobody takes work: look at the other findings.", "For LOGS: TASKGROVE_LOGS_BYTES"}, See: "bounds.md"},
	{ID: NATSConsumers, Area: "NATS", Title: "Each pool has its consumers, and coordinators theirs.",
		Why:  "Work of a pool without its consumers is not taken.",
		Mend: []string{"Restart one coordinator: it makes them again."}, See: "reliability.md"},
	{ID: NATSPayload, Area: "NATS", Title: "max_payload of the servers is 1 MiB or more.",
		Why:  "Inputs and results travel in parts that must fit.",
		Mend: []string{"In the servers' configuration: max_payload: 1MB or more."}, See: "bounds.md"},
	{ID: NATSPermissions, Area: "NATS", Title: "The user may do what a coordinator has to do.",
		Why:  "Whatever is not allowed does not work: pools without work, workers without answers.",
		Mend: []string{"Make the accounts again, and give them to the servers: taskgrove nats-config", "nats-server --signal reload"}, See: "security.md"},
	{ID: NATSOpen, Area: "NATS", Title: "The user may do no more than a coordinator has to.",
		Why:  "Without accounts and permissions everybody who reaches NATS can read tasks and results, and act as any worker.",
		Mend: []string{"Give the servers accounts: taskgrove nats-config --worker ID"}, See: "security.md"},
	{ID: NATSSlow, Area: "NATS", Title: "No connection of the coordinator was too slow for what it gets.",
		Why:  "NATS drops what a slow reader does not take; it comes again, later.",
		Mend: []string{"Give coordinators more CPU, or start another one.", "What the servers count for other connections is on their monitoring port: /varz, slow_consumers."}, See: "reliability.md"},
}
