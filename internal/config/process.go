package config

import (
	"cmp"
	"slices"
	"time"
)

// Coordinator is the configuration of taskgrove coordinator.
type Coordinator struct {
	Ready         `group:"Process"`
	Log           `group:"Logs"`
	Postgres      `group:"Postgres"`
	PostgresLogin `group:"Postgres"`
	NATS          `group:"NATS"`
	NATSLogin     `group:"NATS"`
	Streams       `group:"Streams"`
	Listen        `group:"Listeners"`
	ListenTLS     `group:"TLS of listeners"`
	HTTP          `group:"Listeners"`
	Auth          `group:"Authentication"`
	Access        `group:"Access control"`
	Scheduling    `group:"Scheduling"`
	Limits        `group:"Limits"`
	Payloads      `group:"Payloads"`
	Webhooks      `group:"Webhooks"`
	Sealing       `group:"Sealing"`
	Artifacts     `group:"Artifacts"`
	Archive       `group:"Archive"`
	Record        `group:"Audit record"`

	PostgresURL PostgresURL `envconfig:"POSTGRES_URL" alias:"DATABASE_URL,AIPARTNERUPFLOW_DATABASE_URL" group:"Postgres" desc:"the database, which holds all state; when unset, dev starts a private one. dev ignores the other two names, which may belong to other projects"`

	Name    string `envconfig:"NAME" group:"Process" desc:"name of this process, for operators; empty: the host's name"`
	Migrate Bool   `envconfig:"MIGRATE" default:"true" flag:"migrate" group:"Process" desc:"bring the database to the newest schema at start-up; several coordinators may do so at the same time"`
}

func (c *Coordinator) required() []string { return []string{"POSTGRES_URL", "NATS_URL"} }

func (c *Coordinator) check() []Fault {
	return slices.Concat(c.Listen.check(c.Auth.On(), &c.ListenTLS), c.checkAuth("HTTP_CLIENT_AUTH", c.HTTP.ClientAuth), c.Sealing.check(), c.Artifacts.check())
}

// Worker is the configuration of taskgrove worker.
type Worker struct {
	Ready     `group:"Process"`
	Log       `group:"Logs"`
	NATS      `group:"NATS"`
	NATSLogin `group:"NATS"`
	ListenTLS `group:"TLS of listeners"`
	Slots     `group:"Pools"`
	Attempts  `group:"Attempts"`
	Payloads  `group:"Payloads"`
	Executors `group:"Executors"`

	ID       WorkerID `envconfig:"WORKER_ID" flag:"id" group:"Process" desc:"id of the worker, unique in the cluster, and the name of its NATS user; the members of a group, which share the user called like it, have ids group.member; empty: the user in TASKGROVE_NATS_URL, else one made from the host's name"`
	HTTP     `group:"Listeners"`
	HTTPAddr OptionalAddress `envconfig:"WORKER_HTTP_ADDR" default:"127.0.0.1:0" flag:"http-addr" group:"Process" desc:"where the worker serves /health, /ready and /metrics; port 0: a free one, which the log and the ready file name"`
}

func (c *Worker) required() []string { return []string{"NATS_URL"} }

func (c *Worker) check() []Fault { return c.checkAuth("HTTP_CLIENT_AUTH", c.HTTP.ClientAuth) }

// Dev is the configuration of taskgrove dev: a coordinator and a worker in one process. Without URLs it starts Postgres
// and NATS itself.
type Dev struct {
	Ready         `group:"Process"`
	Log           `group:"Logs"`
	Postgres      `group:"Postgres"`
	PostgresLogin `group:"Postgres"`
	NATS          `group:"NATS"`
	NATSLogin     `group:"NATS"`
	Streams       `group:"Streams"`
	Listen        `group:"Listeners"`
	ListenTLS     `group:"TLS of listeners"`
	HTTP          `group:"Listeners"`
	Auth          `group:"Authentication"`
	Access        `group:"Access control"`
	Scheduling    `group:"Scheduling"`
	Limits        `group:"Limits"`
	Payloads      `group:"Payloads"`
	Slots         `group:"Pools"`
	Attempts      `group:"Attempts"`
	Executors     `group:"Executors"`
	Webhooks      `group:"Webhooks"`
	Sealing       `group:"Sealing"`
	Artifacts     `group:"Artifacts"`
	Archive       `group:"Archive"`
	Record        `group:"Audit record"`

	// No aliases: an exported DATABASE_URL may belong to another project.
	PostgresURL   PostgresURL `envconfig:"POSTGRES_URL" group:"Postgres" desc:"the database; a private one when unset"`
	Migrate       Bool        `envconfig:"MIGRATE" default:"true" group:"Process" desc:"bring the database to the newest schema at start-up"`
	WorkerNATSURL NATSURL     `envconfig:"WORKER_NATS_URL" group:"Dev" desc:"the servers of TASKGROVE_NATS_URL with the worker's user and password; empty: the same URL"`
	WorkerID      WorkerID    `envconfig:"WORKER_ID" group:"Process" desc:"id of the worker; empty: dev"`

	DataDir   string `envconfig:"DATA_DIR" flag:"data-dir" group:"Dev" desc:"where the private Postgres and NATS keep their files; empty: taskgrove/dev in the user's data home ($XDG_DATA_HOME, else ~/.local/share), for root /var/lib/taskgrove/dev"`
	Ephemeral Bool   `envconfig:"EPHEMERAL" default:"false" flag:"ephemeral" group:"Dev" desc:"keep everything in a temporary directory and delete it at the end, without waiting for the disk; excludes a data directory"`
	PGBin     string `envconfig:"POSTGRES_BIN_DIR" group:"Dev" desc:"directory of initdb and postgres for the private Postgres; empty: the PATH, then the usual places"`
}

func (c *Dev) required() []string { return nil }

func (c *Dev) check() []Fault {
	faults := slices.Concat(c.Listen.check(c.Auth.On(), &c.ListenTLS), c.checkAuth("HTTP_CLIENT_AUTH", c.HTTP.ClientAuth), c.checkPrivate(), c.Sealing.check(), c.Artifacts.check())
	if c.Ephemeral && c.DataDir != "" {
		faults = append(faults, Fault{Variable: Prefix + "DATA_DIR", Value: c.DataDir, Takes: "nothing together with " + Prefix + "EPHEMERAL (--ephemeral)"})
	}
	if c.Beat > c.Lease/2 {
		faults = append(faults, Fault{Variable: Prefix + "BEAT", Value: c.Beat.String(), Takes: "at most half of " + Prefix + "LEASE, which is " + c.Lease.String()})
	}
	if c.KillGrace > c.Lease/2 {
		faults = append(faults, Fault{Variable: Prefix + "KILL_GRACE", Value: c.KillGrace.String(), Takes: "at most half of " + Prefix + "LEASE, which is " + c.Lease.String()})
	}
	return faults
}

// Coordinator is the configuration of dev's coordinator, at the servers given.
func (c *Dev) Coordinator(postgres PostgresURL, nats NATSURL) Coordinator {
	return Coordinator{
		Log: c.Log, Postgres: c.Postgres, PostgresLogin: c.PostgresLogin, NATS: NATS{NATSURL: nats, Prefix: c.Prefix}, NATSLogin: c.NATSLogin, Streams: c.Streams,
		Listen: c.Listen, ListenTLS: c.ListenTLS, HTTP: c.HTTP, Auth: c.Auth, Access: c.Access, Scheduling: c.Scheduling, Limits: c.Limits, Payloads: c.Payloads, Webhooks: c.Webhooks,
		Sealing:     c.Sealing,
		Artifacts:   c.Artifacts,
		Archive:     c.Archive,
		Record:      c.Record,
		PostgresURL: postgres, Name: "dev", Migrate: c.Migrate,
	}
}

// Worker is the configuration of dev's worker, at the servers given unless it has an address of its own. It serves no
// HTTP: the coordinator's listener answers for the whole process.
func (c *Dev) Worker(nats NATSURL) Worker {
	if c.WorkerNATSURL.Reveal() != "" {
		nats = c.WorkerNATSURL
	}
	return Worker{
		Log: c.Log, NATS: NATS{NATSURL: nats, Prefix: c.Prefix}, NATSLogin: c.NATSLogin, ListenTLS: c.ListenTLS, Slots: c.Slots, Attempts: c.Attempts, HTTP: c.HTTP,
		Payloads: c.Payloads, Executors: c.Executors, ID: cmp.Or(c.WorkerID, "dev"),
	}
}

// Client is the configuration of the commands that speak to a cluster.
type Client struct {
	Context string `envconfig:"CONTEXT" flag:"context" group:"Client" desc:"name of a saved context, which says what the settings below are (taskgrove context); empty: the one in use. A context that is named by its flag goes before variables; all others, after them"`

	Server string `envconfig:"SERVER" default:"127.0.0.1:7700" flag:"server" group:"Client" desc:"address of a coordinator's gRPC listener, or any other gRPC target, such as dns:///name:port"`

	Namespace Namespace `envconfig:"NAMESPACE" flag:"namespace" short:"n" group:"Client" desc:"namespace that commands work in; empty: the one that the token is bound to, else default"`

	Token      Secret `envconfig:"TOKEN" group:"Client" desc:"token that says who calls ([authentication](authentication.md)); empty: none"`
	TokenFile  string `envconfig:"TOKEN_FILE" flag:"token-file" group:"Client" desc:"file with the token; it is read again when it changes"`
	PlainToken Bool   `envconfig:"PLAIN_TOKEN" default:"false" flag:"plain-token" group:"Client" desc:"send the token also to other machines without TLS, where whoever reads it may use it"`
	TLS        Bool   `envconfig:"TLS" default:"false" flag:"tls" group:"Client" desc:"encrypt the connection, and check who answers"`
	CAFile     string `envconfig:"TLS_CA_FILE" flag:"tls-ca-file" group:"Client" desc:"PEM file of the authorities whose certificates are trusted, instead of the machine's; it turns TLS on"`
	CertFile   string `envconfig:"TLS_CERT_FILE" flag:"tls-cert-file" group:"Client" desc:"PEM file of the certificate that the command shows to a coordinator that asks for one; read for each connection; it turns TLS on"`
	KeyFile    string `envconfig:"TLS_KEY_FILE" flag:"tls-key-file" group:"Client" desc:"PEM file of its key"`
	ServerName string `envconfig:"TLS_SERVER_NAME" flag:"tls-server-name" group:"Client" desc:"name that the certificate of the coordinator must have; empty: that of the address; it turns TLS on"`

	RequestTimeout time.Duration `envconfig:"REQUEST_TIMEOUT" default:"30s" min:"0s" flag:"request-timeout" group:"Client" desc:"how long a command waits for one answer of the coordinator; submissions, watches and logs have no limit; 0: for ever"`
}

func (c *Client) required() []string { return nil }

func (c *Client) check() []Fault {
	faults := pair("TLS", c.CertFile, c.KeyFile)
	if c.Token != "" && c.TokenFile != "" {
		faults = append(faults, Fault{Variable: Prefix + "TOKEN_FILE", Value: c.TokenFile, Takes: "nothing together with " + Prefix + "TOKEN"})
	}
	return faults
}

// Encrypted reports whether the connection is to be.
func (c *Client) Encrypted() bool {
	return bool(c.TLS) || c.CAFile != "" || c.CertFile != "" || c.ServerName != ""
}

// Direct are the settings by which "taskgrove doctor" looks at Postgres and NATS without a coordinator: those of a coordinator, as far as it needs them.
type Direct struct {
	Postgres
	PostgresLogin
	NATS
	NATSLogin
	Streams

	PostgresURL PostgresURL `envconfig:"POSTGRES_URL" alias:"DATABASE_URL,AIPARTNERUPFLOW_DATABASE_URL"`
}

// Ready says how a process tells that it serves.
type Ready struct {
	EnvFile   string `envconfig:"ENV_FILE" desc:"file with variables (NAME=value in lines) that count where the environment lacks them; off: none; empty: .env of the working directory, then .env beside the program. Only who runs the process, or root, may be able to write it"`
	ReadyFile string `envconfig:"READY_FILE" flag:"ready-file" desc:"file that is written once everything serves, with the addresses as JSON, and deleted at the end; dev's contains credentials, so only its owner can read it"`
}

// Log says how a process logs.
type Log struct {
	Level  Level     `envconfig:"LOG_LEVEL" alias:"LOG_LEVEL" default:"info" flag:"log-level" desc:"lowest level that is logged"`
	Format LogFormat `envconfig:"LOG_FORMAT" default:"auto" flag:"log-format" desc:"format of log lines on stderr; auto: text on a terminal, else JSON"`
}

// Database is the configuration of a command that works on the database itself: what a coordinator reads of Postgres.
type Database struct {
	Postgres      `group:"Postgres"`
	PostgresLogin `group:"Postgres"`

	PostgresURL PostgresURL `envconfig:"POSTGRES_URL" alias:"DATABASE_URL,AIPARTNERUPFLOW_DATABASE_URL" group:"Postgres" desc:"the database"`
}

func (d *Database) required() []string { return []string{"POSTGRES_URL"} }

// Postgres says how to use the database.
type Postgres struct {
	MaxConns         int           `envconfig:"POSTGRES_MAX_CONNS" default:"16" min:"4" max:"10000" desc:"maximum number of connections of the process"`
	StatementTimeout time.Duration `envconfig:"POSTGRES_STATEMENT_TIMEOUT" default:"30s" min:"1s" max:"1h" desc:"time limit of each statement, except for large submissions and migrations"`
	Pooler           Pooler        `envconfig:"POSTGRES_POOLER" default:"auto" desc:"whether a pooler such as PgBouncer, in session or transaction mode, stands before Postgres; auto: found out at the start ([poolers](reliability.md#poolers))"`
}

// NATS says how to reach the bus.
type NATS struct {
	NATSURL NATSURL `envconfig:"NATS_URL" desc:"NATS with JetStream, several servers separated by commas; dev starts its own when unset. A worker replaces a user called coordinator by its own id, so the URL in dev's ready file also works for workers"`
	Prefix  Name    `envconfig:"NATS_PREFIX" default:"tg" desc:"prefix of all subjects and streams, the same in the whole cluster"`
}

// Streams are the settings of JetStream that coordinators make.
type Streams struct {
	Replicas   int           `envconfig:"NATS_REPLICAS" default:"1" min:"1" max:"5" desc:"copies of each stream; use 3 in production"`
	NATSDomain Name          `envconfig:"NATS_DOMAIN" desc:"JetStream domain of the streams, if the servers that coordinators connect to, such as leaf nodes, are not those that keep them; empty: theirs. Workers need none"`
	LogsAge    time.Duration `envconfig:"LOGS_AGE" default:"24h" min:"1m" desc:"how long the output of executors is kept"`
	LogsBytes  Size          `envconfig:"LOGS_BYTES" default:"1GiB" min:"1MiB" desc:"how much output of executors is kept, in total"`
}

// Listen says where a coordinator listens.
type Listen struct {
	HTTPAddr       Address    `envconfig:"HTTP_ADDR" alias:"AIPARTNERUPFLOW_API_HOST+AIPARTNERUPFLOW_API_PORT,API_HOST+API_PORT" default:"127.0.0.1:8000" flag:"http-addr" desc:"where JSON-RPC, /health, /ready and /metrics are served; port 0: a free one"`
	BaseURL        BaseURL    `envconfig:"BASE_URL" alias:"AIPARTNERUPFLOW_BASE_URL" desc:"URL under which clients reach the HTTP listener, for documents that name it, such as agent cards; empty: as each request has it"`
	System         Bool       `envconfig:"SYSTEM_ROUTES" alias:"AIPARTNERUPFLOW_ENABLE_SYSTEM_ROUTES" default:"true" desc:"serve JSON-RPC at /tasks and /system, and what is below them; false leaves the other surfaces on: gRPC, Connect, A2A and MCP, which do the same work"`
	Docs           Bool       `envconfig:"DOCS" alias:"AIPARTNERUPFLOW_ENABLE_DOCS" default:"true" desc:"serve the documentation of the interfaces at /docs and /openapi.json"`
	Page           Bool       `envconfig:"PAGE" default:"true" desc:"serve the page, which shows the cluster in a browser, at /"`
	GRPCAddr       Address    `envconfig:"GRPC_ADDR" default:"127.0.0.1:7700" flag:"grpc-addr" desc:"where gRPC is served; port 0: a free one"`
	Insecure       Bool       `envconfig:"INSECURE_LISTEN" default:"false" flag:"insecure-listen" desc:"allow listeners that other machines can reach though nobody is asked who it is; where callers are asked, no warning that their tokens travel without TLS"`
	GRPCTLS        Bool       `envconfig:"GRPC_TLS" default:"true" desc:"whether gRPC speaks TLS where TASKGROVE_LISTEN_TLS_CERT_FILE is set; false: plain text"`
	GRPCClientAuth ClientAuth `envconfig:"GRPC_CLIENT_AUTH" desc:"TASKGROVE_LISTEN_TLS_CLIENT_AUTH of the gRPC listener, if it has another"`
}

// check refuses to let others in who are not asked who they are. asked: they are.
func (l *Listen) check(asked bool, tls *ListenTLS) []Fault {
	faults := tls.checkAuth("GRPC_CLIENT_AUTH", l.GRPCClientAuth)
	if asked {
		return faults
	}
	for _, a := range []struct {
		name string
		addr Address
	}{{"HTTP_ADDR", l.HTTPAddr}, {"GRPC_ADDR", l.GRPCAddr}} {
		if a.addr != "" && !a.addr.Loopback() && !bool(l.Insecure) {
			faults = append(faults, Fault{Variable: Prefix + a.name, Value: string(a.addr),
				Takes: "a loopback address, unless " + Prefix + "JWT_SECRET asks callers who they are, or " + Prefix + "INSECURE_LISTEN (--insecure-listen) allows others all the same"})
		}
	}
	return faults
}

// HTTP says whom the HTTP listener of a process takes for no stranger.
type HTTP struct {
	Hosts      Hosts      `envconfig:"HTTP_HOSTS" desc:"names under which clients reach the HTTP listener, besides localhost, its address and loopback addresses; a request with any other Host is refused"`
	Origins    Origins    `envconfig:"HTTP_ORIGINS" alias:"AIPARTNERUPFLOW_CORS_ORIGINS" desc:"origins of web pages that may use the HTTP listener from a browser, with a cookie too, besides its own; all others are refused. Where callers are asked who they are, http://localhost and http://127.0.0.1 with the ports 3000 and 3001, unless this names others"`
	HTTPTLS    Bool       `envconfig:"HTTP_TLS" default:"true" desc:"whether the HTTP listener speaks TLS where TASKGROVE_LISTEN_TLS_CERT_FILE is set; false: plain text, such as behind a proxy on this machine"`
	ClientAuth ClientAuth `envconfig:"HTTP_CLIENT_AUTH" desc:"TASKGROVE_LISTEN_TLS_CLIENT_AUTH of the HTTP listener, if it has another, such as optional for probes that have no certificate"`
	Any        Bool       `envconfig:"HTTP_ANY_ORIGIN" alias:"AIPARTNERUPFLOW_CORS_ALLOW_ALL" default:"false" desc:"let web pages of every origin use the HTTP listener from a browser; a cookie says who they are only for the origins above. Where nobody is asked who it is, every page that somebody opens may then run tasks"`
}

// Auth says how callers prove who they are. Without a secret and a file of callers nobody is asked.
type Auth struct {
	Secret        Secret        `envconfig:"JWT_SECRET" alias:"AIPARTNERUPFLOW_JWT_SECRET_KEY" desc:"secret that the tokens of callers are signed with, or the public key in PEM, by the algorithm; when set, every call needs a token ([authentication](authentication.md)); empty: nobody is asked who it is"`
	SecretFile    string        `envconfig:"JWT_SECRET_FILE" desc:"file with the same, such as a mounted Secret of Kubernetes; a line break at its end does not count"`
	OldSecret     Secret        `envconfig:"JWT_OLD_SECRET" desc:"another one whose tokens are also believed, while secrets are changed"`
	OldSecretFile string        `envconfig:"JWT_OLD_SECRET_FILE" desc:"file with the same"`
	Algorithm     JWTAlgorithm  `envconfig:"JWT_ALGORITHM" alias:"AIPARTNERUPFLOW_JWT_ALGORITHM" default:"HS256" desc:"the one algorithm that tokens are signed by; HS: with a secret; others: their public key is given"`
	Issuer        string        `envconfig:"JWT_ISSUER" desc:"claim iss that tokens must have; empty: any"`
	Audience      string        `envconfig:"JWT_AUDIENCE" desc:"claim aud that tokens must have; empty: any"`
	Leeway        time.Duration `envconfig:"JWT_LEEWAY" default:"10s" min:"0s" max:"5m" desc:"by how much the clocks of who issues tokens and of coordinators may differ"`
	CallersFile   string        `envconfig:"CALLERS_FILE" desc:"YAML file of issuers whose tokens are believed, by their published keys too, of how people sign in, and of machines with certificates ([the file](authentication.md#the-file-of-callers)); when set, every call needs a token or a certificate"`
}

// On reports whether callers are asked who they are.
func (a *Auth) On() bool { return a.Secret != "" || a.SecretFile != "" || a.CallersFile != "" }

func (a *Auth) check() (faults []Fault) {
	for _, pair := range []struct {
		name string
		both bool
	}{{"JWT_SECRET", a.Secret != "" && a.SecretFile != ""}, {"JWT_OLD_SECRET", a.OldSecret != "" && a.OldSecretFile != ""}} {
		if pair.both {
			faults = append(faults, Fault{Variable: Prefix + pair.name + "_FILE", Takes: "nothing together with " + Prefix + pair.name})
		}
	}
	if a.Secret == "" && a.SecretFile == "" && (a.OldSecret != "" || a.OldSecretFile != "") {
		faults = append(faults, Fault{Variable: Prefix + "JWT_OLD_SECRET", Takes: "nothing without " + Prefix + "JWT_SECRET: nobody would be asked who it is"})
	}
	return faults
}

// Access says which roles callers have, besides those of their tokens and those that are stored.
type Access struct {
	Admins      List   `envconfig:"ADMINS" desc:"users who are admins of the cluster whatever is stored, so that the first roles can be given ([access control](access-control.md))"`
	GroupRoles  List   `envconfig:"GROUP_ROLES" desc:"roles of the members of groups, which tokens name: platform=admin@*,devs=submitter@team-a; a group may be there several times. A role is held in the namespace after the @, without one in default, with * in all and over the cluster itself"`
	DefaultRole string `envconfig:"DEFAULT_ROLE" default:"submitter" desc:"role of callers who are known and hold no role anywhere: role or role@namespace, without one in default; none: they may do nothing"`
}

// Scheduling is how a coordinator works.
type Scheduling struct {
	PoolIdle     time.Duration `envconfig:"POOL_IDLE" default:"10m" min:"100ms" desc:"after how long a pool is closed that no worker serves and that no unfinished tree needs; its name is opened again when somebody needs it"`
	Retention    time.Duration `envconfig:"RETENTION" default:"168h" min:"0s" desc:"how long finished trees are kept that say nothing else; 0: for ever"`
	RetentionMax time.Duration `envconfig:"RETENTION_MAX" default:"8760h" min:"0s" desc:"the longest retention that a tree may ask for; 0: any, and keep: until it is deleted ([keeping trees](keeping.md))"`
	Lease        time.Duration `envconfig:"LEASE" default:"30s" min:"2s" max:"1h" desc:"how long a worker may work after its last beat that was answered; make it several times TASKGROVE_BEAT"`
	Republish    time.Duration `envconfig:"REPUBLISH" default:"15s" min:"100ms" max:"1h" desc:"how long to wait for a claim before checking on a sent attempt"`
	Audit        time.Duration `envconfig:"AUDIT" default:"20s" min:"0s" max:"1h" desc:"pause between two passes of the auditor, which runs in one coordinator at a time; 0: this coordinator does not audit"`
	Window       int           `envconfig:"WINDOW" default:"256" min:"1" max:"1000000" desc:"how many ready tasks of a pool without workers are kept in NATS, for each priority; of other pools twice as many as they have slots, or as leave in 150ms, if that is more; where several users share it, as many as have a free slot, or leave in 50ms"`
	Batch        int           `envconfig:"BATCH" default:"4096" min:"1" max:"50000" desc:"most claims or results in one transaction"`
	Linger       time.Duration `envconfig:"LINGER" default:"5ms" min:"1us" max:"1s" desc:"how long a settle waits for more results while there is a queue"`
	ScaleAhead   time.Duration `envconfig:"SCALE_AHEAD" default:"30s" min:"1ms" max:"1h" desc:"how far ahead the demand of pools looks that autoscalers are told ([autoscaling](autoscaling.md)): about as long as a new worker takes to come"`
	PodCost      Bool          `envconfig:"POD_DELETION_COST" default:"false" desc:"whether coordinators tell Kubernetes which workers are idle, so that these go first when a Deployment gets smaller ([autoscaling](autoscaling.md)); for coordinators in pods whose service account may patch pods"`
	Submissions  int           `envconfig:"SUBMISSIONS" default:"8" min:"1" max:"1000" desc:"large trees stored at the same time; four times as many submissions are read at the same time; further ones wait"`
	InlineBytes  Size          `envconfig:"INLINE_BYTES" default:"128KiB" min:"1KiB" max:"8MiB" desc:"larger inputs are sent in parts, not in the task's message; never more than half of NATS's largest message"`
}

// Webhooks say how events are sent to addresses that clients name, and how these are kept.
type Webhooks struct {
	WebhookAllow       List          `envconfig:"WEBHOOK_ALLOW" dev:"127.0.0.0/8,::1" desc:"where webhooks may go beyond public addresses: hosts (*.example.com: all below it), addresses and CIDR ranges, each with a port if only that is meant"`
	WebhookSecret      Secret        `envconfig:"WEBHOOK_SECRET" desc:"what signs deliveries of webhooks without a secret of their own: whsec_ and base64 of 24 to 64 bytes; of several, separated by commas, each signs; empty: they are not signed"`
	WebhookCAFile      string        `envconfig:"WEBHOOK_CA_FILE" desc:"PEM file of further authorities whose certificates webhooks trust"`
	WebhookRequests    int           `envconfig:"WEBHOOK_REQUESTS" default:"64" min:"1" max:"10000" desc:"requests of the process to webhooks at the same time"`
	WebhookPerHost     int           `envconfig:"WEBHOOK_REQUESTS_PER_HOST" default:"8" min:"1" max:"10000" desc:"of these, to one host"`
	WebhookResultBytes Size          `envconfig:"WEBHOOK_RESULT_BYTES" default:"256KiB" min:"1KiB" max:"16MiB" desc:"larger results are left out of what webhooks are sent"`
	WebhookPause       time.Duration `envconfig:"WEBHOOK_PAUSE" default:"1s" min:"1ms" max:"1m" desc:"pause before a delivery of a webhook of an execution is tried again; it doubles each time"`
}

// Sealing says where the master key is that coordinators seal with, and what they seal.
type Sealing struct {
	SealKey     Secret `envconfig:"SEAL_KEY" desc:"master keys, the same in all coordinators: what is sealed before it reaches Postgres is sealed under keys that they wrap; base64 of 32 bytes; of several, separated by commas, the first seals and all open; empty: webhooks with secrets are refused, and values can't be sealed. dev makes one in its data directory. See [values at rest](sealing.md)"`
	SealKeyFile string `envconfig:"SEAL_KEY_FILE" desc:"file with the keys; not together with TASKGROVE_SEAL_KEY"`
	SealValues  Bool   `envconfig:"SEAL_VALUES" default:"false" desc:"whether inputs, results, errors and other values of tasks are sealed in Postgres. Once on, it is on for the cluster; what was stored before stays as it is"`
}

func (s *Sealing) check() []Fault {
	if s.SealKey != "" && s.SealKeyFile != "" {
		return []Fault{{Variable: Prefix + "SEAL_KEY_FILE", Value: s.SealKeyFile, Takes: "nothing together with " + Prefix + "SEAL_KEY"}}
	}
	return nil
}

// Artifacts say where files of tasks are kept, and how many.
type Artifacts struct {
	ArtifactStreamBytes Size   `envconfig:"ARTIFACT_STREAM_BYTES" default:"10GiB" min:"1MiB" desc:"how much the stream of artifacts in NATS may have. See [artifacts](artifacts.md)"`
	ArtifactBytes       Size   `envconfig:"ARTIFACT_BYTES" default:"4GiB" min:"1KiB" max:"8GiB" desc:"how large one artifact may be"`
	ArtifactsPerAttempt int    `envconfig:"ARTIFACTS_PER_ATTEMPT" default:"1000" min:"1" max:"100000" desc:"how many an attempt may make"`
	ArtifactUserBytes   Size   `envconfig:"ARTIFACT_USER_BYTES" default:"100GiB" min:"1MiB" desc:"how much the trees of one user may have together, logs that are kept with trees included"`
	ArtifactUserNumber  int    `envconfig:"ARTIFACT_USER_NUMBER" default:"1000000" min:"1" desc:"how many artifacts these may have"`
	ArtifactLogs        Bool   `envconfig:"ARTIFACT_LOGS" default:"true" desc:"whether the logs of attempts that have ended are kept with their trees"`
	ArtifactS3Endpoint  string `envconfig:"ARTIFACT_S3_ENDPOINT" desc:"https:// address of an S3-compatible store that keeps artifacts; empty: NATS does. All coordinators need the same; what another store has can't be read"`
	ArtifactS3Bucket    string `envconfig:"ARTIFACT_S3_BUCKET" desc:"its bucket, which is there"`
	ArtifactS3Prefix    string `envconfig:"ARTIFACT_S3_PREFIX" desc:"what keys begin with"`
	ArtifactS3Region    string `envconfig:"ARTIFACT_S3_REGION" default:"us-east-1" desc:"its region"`
	ArtifactS3PathStyle Bool   `envconfig:"ARTIFACT_S3_PATH_STYLE" default:"false" desc:"the bucket is in the path also of addresses at amazonaws.com"`
	ArtifactS3AccessKey Secret `envconfig:"ARTIFACT_S3_ACCESS_KEY" desc:"access key; empty: what the environment, the files or the instance give, as AWS's tools look for it"`
	ArtifactS3SecretKey Secret `envconfig:"ARTIFACT_S3_SECRET_KEY" desc:"its secret key"`
}

func (a *Artifacts) check() []Fault {
	if a.ArtifactS3Endpoint != "" && a.ArtifactS3Bucket == "" {
		return []Fault{{Variable: Prefix + "ARTIFACT_S3_BUCKET", Takes: "a bucket, where " + Prefix + "ARTIFACT_S3_ENDPOINT is set"}}
	}
	return nil
}

// Archive says where trees are written before retention deletes them.
type Archive struct {
	ArchiveDir         string `envconfig:"ARCHIVE_DIR" desc:"folder, which is there, into which trees are written before retention deletes them ([archive](keeping.md#archive)); one that all coordinators share. Empty, and no bucket: trees are deleted without"`
	ArchiveS3Endpoint  string `envconfig:"ARCHIVE_S3_ENDPOINT" desc:"https:// address of an S3-compatible store whose bucket is the archive"`
	ArchiveS3Bucket    string `envconfig:"ARCHIVE_S3_BUCKET" desc:"the bucket, which is there"`
	ArchiveS3Prefix    string `envconfig:"ARCHIVE_S3_PREFIX" desc:"what keys begin with"`
	ArchiveS3Region    string `envconfig:"ARCHIVE_S3_REGION" default:"us-east-1" desc:"its region"`
	ArchiveS3PathStyle Bool   `envconfig:"ARCHIVE_S3_PATH_STYLE" default:"false" desc:"the bucket is in the path also of addresses at amazonaws.com"`
	ArchiveS3AccessKey Secret `envconfig:"ARCHIVE_S3_ACCESS_KEY" desc:"access key; empty: what the environment, the files or the instance give, as AWS's tools look for it"`
	ArchiveS3SecretKey Secret `envconfig:"ARCHIVE_S3_SECRET_KEY" desc:"its secret key"`
}

func (a *Archive) check() []Fault {
	switch {
	case a.ArchiveDir != "" && a.ArchiveS3Endpoint != "":
		return []Fault{{Variable: Prefix + "ARCHIVE_DIR", Value: a.ArchiveDir, Takes: "nothing together with " + Prefix + "ARCHIVE_S3_ENDPOINT"}}
	case a.ArchiveS3Endpoint != "" && a.ArchiveS3Bucket == "":
		return []Fault{{Variable: Prefix + "ARCHIVE_S3_BUCKET", Takes: "a bucket, where " + Prefix + "ARCHIVE_S3_ENDPOINT is set"}}
	}
	return nil
}

// Limits bound what clients may send. See dag.Limits.
type Limits struct {
	TreeTasks        int  `envconfig:"MAX_TREE_TASKS" default:"1000000" min:"1" max:"10000000" desc:"tasks in a tree"`
	TreeEdges        int  `envconfig:"MAX_TREE_DEPENDENCIES" default:"10000000" min:"1" max:"100000000" desc:"dependencies of all tasks of a tree together"`
	TaskDependencies int  `envconfig:"MAX_TASK_DEPENDENCIES" default:"100000" min:"1" max:"10000000" desc:"dependencies of one task"`
	PayloadBytes     Size `envconfig:"MAX_PAYLOAD_BYTES" default:"1MiB" min:"1KiB" max:"64MiB" desc:"each of inputs, params, schemas and custom keys of one task"`
	RequestBytes     Size `envconfig:"MAX_REQUEST_BYTES" default:"64MiB" min:"1KiB" max:"4GiB" desc:"one JSON-RPC request; larger trees go through gRPC, which sends them in parts"`

	CallerRate    Bound `envconfig:"CALLER_RATE" default:"auto" desc:"requests in a second that a coordinator takes from one caller ([bounds](bounds.md)); further ones get 429 or RESOURCE_EXHAUSTED; 0: any number; auto: 200 where callers are asked who they are, else any number"`
	CallerBurst   Bound `envconfig:"CALLER_BURST" default:"auto" desc:"how many of them may come at once after a while without any; auto: twice as many as in a second"`
	CallerStreams Bound `envconfig:"CALLER_STREAMS" default:"auto" desc:"streams, subscriptions of WebSockets, sessions of MCP and calls that wait, at the same time, of one caller at a coordinator; 0: any number; auto: 1000 where callers are asked who they are, else any number"`
	CallerBytes   Size  `envconfig:"CALLER_BYTES_PER_HOUR" default:"0" desc:"bytes of requests that a coordinator takes from one caller in an hour, with as much again at once; 0: any number"`

	EventStreams        int           `envconfig:"MAX_STREAMS" default:"11000" min:"1" max:"1000000" desc:"streams of events over SSE, subscriptions of WebSockets, and calls of JSON-RPC that wait for a tree, at the same time; further ones get -32000. Each stream and socket needs a file descriptor"`
	SocketSubscriptions int           `envconfig:"MAX_SOCKET_SUBSCRIPTIONS" default:"100" min:"1" max:"10000" desc:"subscriptions of one WebSocket"`
	SlowClient          time.Duration `envconfig:"SLOW_CLIENT_TIMEOUT" default:"30s" min:"100ms" max:"10m" desc:"after how long a WebSocket is closed whose client takes nothing while frames wait for it; it can go on where it was"`

	MCPSessions    int           `envconfig:"MCP_SESSIONS" default:"1000" min:"0" max:"100000" desc:"clients of [MCP](mcp-server.md) that have a session at once; further ones, and with 0 all, are served without"`
	MCPSessionIdle time.Duration `envconfig:"MCP_SESSION_IDLE" default:"30m" min:"1s" max:"24h" desc:"after how long without a request a session of MCP ends"`
	MCPAnswerBytes Size          `envconfig:"MCP_ANSWER_BYTES" default:"256KiB" min:"8KiB" max:"16MiB" desc:"how long one answer of MCP may be: models read it; longer values in it are cut"`
}

// Payloads bound what tasks are given.
type Payloads struct {
	MaxInputBytes  Size `envconfig:"MAX_INPUT_BYTES" default:"64MiB" min:"1KiB" max:"1GiB" desc:"inputs of one task, including the results of its dependencies"`
	MaxResultBytes Size `envconfig:"MAX_RESULT_BYTES" default:"16MiB" min:"1KiB" max:"1GiB" desc:"a larger result fails its task; workers enforce this, and coordinators refuse parts beyond it"`
}

// Slots are the pools that a worker serves.
type Slots struct {
	Pools       Pools `envconfig:"POOLS" default:"all" flag:"pools" desc:"pools to serve; all: one for each executor, with its name"`
	Concurrency int   `envconfig:"CONCURRENCY" default:"0" min:"0" max:"20000" flag:"concurrency" desc:"slots of each pool for which TASKGROVE_POOLS gives no number: how many attempts run at the same time; 0: what suits the pool's executor (docs/executors.md lists it), and in a pool with a name of its own the least that suits an executor of the worker; all pools together have at most 20000"`
}

// Attempts is how a worker holds what it was given.
type Attempts struct {
	DemoSleepScale Factor        `envconfig:"DEMO_SLEEP_SCALE" alias:"AIPARTNERUPFLOW_DEMO_SLEEP_SCALE" default:"1" desc:"by how much longer demonstrations last than their executors say; 0: they take no time"`
	ClaimAhead     int           `envconfig:"CLAIM_AHEAD" default:"1024" min:"0" max:"8192" desc:"how many attempts of a pool are claimed before a slot is free for them, at most, while runs are so short that they start within milliseconds; 0: none"`
	Beat           time.Duration `envconfig:"BEAT" default:"5s" min:"100ms" max:"10m" desc:"time between two beats of the worker; a fraction of the coordinators' TASKGROVE_LEASE"`
	KillGrace      time.Duration `envconfig:"KILL_GRACE" default:"5s" min:"100ms" max:"10m" desc:"how long before its lease ends a disconnected worker tells executors to stop; at most half of the lease"`
	DrainGrace     time.Duration `envconfig:"DRAIN_GRACE" default:"25s" min:"1ms" max:"24h" desc:"how long running attempts may continue after SIGTERM; those not done by then are handed back"`
	FlushGrace     time.Duration `envconfig:"FLUSH_GRACE" default:"10s" min:"1ms" max:"1h" desc:"how long a stopping worker waits for its results to be recorded"`
	MaxKept        int           `envconfig:"MAX_KEPT_RESULTS" default:"10000" min:"1" max:"20000" desc:"the worker takes no more tasks while it has more than this many unrecorded results"`
	MaxKeptBytes   Size          `envconfig:"MAX_KEPT_BYTES" default:"128MiB" min:"1MiB" max:"64GiB" desc:"the same, for the size of these results"`
	InlineResult   Size          `envconfig:"INLINE_RESULT_BYTES" default:"1MiB" min:"1KiB" max:"8MiB" desc:"larger results are sent in parts before they are reported; never more than half of NATS's largest message"`
	MaxLogBytes    Size          `envconfig:"MAX_LOG_BYTES" default:"1MiB" min:"1KiB" max:"1GiB" desc:"how much one attempt may log; the rest is dropped"`
	TaskLogs       TaskLogs      `envconfig:"TASK_LOGS" default:"off" desc:"where lines that tasks write go besides the cluster ([logs](logs.md#of-tasks-elsewhere)): stdout, as JSON, or otlp, to what OpenTelemetry's variables name"`
	TaskLogsSealed Bool          `envconfig:"TASK_LOGS_SEALED" default:"false" desc:"let lines of attempts whose values are sealed go there, too: in plain text"`
	Resend         time.Duration `envconfig:"RESEND" default:"10s" min:"10ms" max:"1h" desc:"how long to wait for the receipt of a result before sending it again"`
	TraceOutward   Bool          `envconfig:"TRACE_OUTWARD" default:"true" desc:"tell the processes and services that attempts start and call which trace they belong to (TRACEPARENT, traceparent), if the cluster is traced"`
	AskWithin      time.Duration `envconfig:"ASK_WITHIN" default:"5s" min:"10ms" max:"10m" desc:"how long to wait for the answer to a request before repeating it"`
}

// Executors are the guards of executors, and what the operator gives them.
type Executors struct {
	SecretsDir       string        `envconfig:"SECRETS_DIR" desc:"directory with a file for each secret, named like it, such as a mounted Secret of Kubernetes; empty: none"`
	WorkerFile       string        `envconfig:"WORKER_FILE" flag:"worker-file" desc:"YAML or JSON file with connections, secrets and a policy for each pool; read again when it changes; empty: none"`
	External         List          `envconfig:"EXTERNAL" flag:"external" desc:"commands of executors that are programs of their own, besides those in the worker's file; the words of a command are separated by spaces"`
	ExecutorOverride List          `envconfig:"EXECUTOR_OVERRIDE" flag:"executor-override" desc:"ids that several executors of the worker may have, of which the last one then counts; any other id that two of them have is refused"`
	CommandAllow     Bool          `envconfig:"COMMAND_ALLOW" alias:"AIPARTNERUPFLOW_STDIO_ALLOW_COMMAND" default:"false" desc:"let command_executor run commands on the worker's host"`
	CommandWhitelist List          `envconfig:"COMMAND_WHITELIST" alias:"AIPARTNERUPFLOW_STDIO_COMMAND_WHITELIST" desc:"first words that commands may have; when set, there is no shell; empty: any command"`
	CommandKeepEnv   List          `envconfig:"COMMAND_KEEP_ENV" desc:"variables of the worker's environment that commands also get, besides PATH, HOME, LANG and the like; never TASKGROVE_ ones"`
	CommandGrace     time.Duration `envconfig:"COMMAND_GRACE" default:"2s" min:"1ms" max:"10m" desc:"time from SIGTERM to SIGKILL when a command is stopped, here or on another host"`
	OutputBytes      Size          `envconfig:"MAX_OUTPUT_BYTES" default:"1MiB" min:"1KiB" max:"1GiB" desc:"how much is kept of a command's stdout, of its stderr, of the output of a container or pod, of the body that rest_executor gets, of the rows that sql_executor gets, and of the result of a crew's task"`
	MessageBytes     Size          `envconfig:"MAX_MESSAGE_BYTES" default:"4MiB" min:"1KiB" max:"1GiB" desc:"the largest message that grpc_executor and websocket_executor send or take, how much a result holds of several, and the largest answer that apflow_api_executor and mcp_executor take"`
	DockerAllow      Bool          `envconfig:"DOCKER_ALLOW" default:"true" desc:"let docker_executor run containers, if a Docker engine answers (DOCKER_HOST, or the socket of this host)"`
	DockerGrace      time.Duration `envconfig:"DOCKER_GRACE" default:"5s" min:"1s" max:"10m" desc:"time from the stop signal to SIGKILL when a container is stopped"`
	KubernetesConfig string        `envconfig:"KUBERNETES_CONFIG" desc:"path of the kubeconfig by which kubernetes_executor reaches its cluster; empty: the service account of the pod that the worker runs in"`
	KubernetesGrace  time.Duration `envconfig:"KUBERNETES_GRACE" default:"5s" min:"1s" max:"10m" desc:"time from SIGTERM to SIGKILL when a pod of kubernetes_executor is stopped, unless the pool's template says"`
	PythonAllow      Bool          `envconfig:"PYTHON_ALLOW" default:"false" desc:"let python_executor run code on the worker's host, if uv is there"`
	PythonUV         string        `envconfig:"PYTHON_UV" desc:"path of uv, which makes the environments of python_executor; empty: it is looked for in PATH"`
	PythonCache      string        `envconfig:"PYTHON_CACHE" desc:"directory of those environments, which workers of one user may share; empty: taskgrove/python in the user's cache directory"`
	PythonCacheBytes Size          `envconfig:"PYTHON_CACHE_BYTES" default:"5GiB" min:"1MiB" max:"1024GiB" desc:"how large they may be together, and uv's own cache beside them; those used longest ago go first"`
	PythonCacheCount int           `envconfig:"PYTHON_ENVIRONMENTS" default:"50" min:"1" max:"10000" desc:"how many environments are kept"`
	PythonBuild      Bool          `envconfig:"PYTHON_BUILD" default:"false" desc:"let packages be built from source, which runs code of theirs that sees the addresses of registries and their passwords"`
	PythonKeepEnv    List          `envconfig:"PYTHON_KEEP_ENV" desc:"variables of the worker's environment that Python code also gets, besides PATH, HOME, LANG and the like; never TASKGROVE_ ones"`
	WorkDir          string        `envconfig:"WORK_DIR" desc:"directory below which steps of flows work that share files, in one for each worker process ([workspace](flows/workspace.md)); empty: taskgrove-work-UID in the system's directory for temporary files"`
	FileRoot         string        `envconfig:"FILE_ROOT" flag:"file-root" desc:"directory below which file_executor, and SQLite in sql_executor, use files of the worker; empty: none"`
	PricesFile       string        `envconfig:"PRICES_FILE" desc:"YAML or JSON file with what models cost, for costs in results and budgets of money; read again when it changes; empty: no model has a price"`
	SSHKnownHosts    string        `envconfig:"SSH_KNOWN_HOSTS" desc:"known_hosts file with the host keys that ssh_executor trusts where a task names none; empty: ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts"`
	SSHInsecure      Bool          `envconfig:"SSH_INSECURE" default:"false" desc:"let tasks of ssh_executor do without the check of the host key (verify_host_key: false)"`
	SSHKeyDir        string        `envconfig:"SSH_KEY_DIR" desc:"directory of the private keys that tasks of ssh_executor may name as key_file; empty: none"`
	SSHAgent         string        `envconfig:"SSH_AGENT" desc:"socket of an SSH agent whose keys tasks of ssh_executor may use, such as $SSH_AUTH_SOCK; empty: none"`
	AgentTools       List          `envconfig:"AGENT_TOOLS" default:"aggregate_results_executor,noop_executor" desc:"executors that agents may use as tools, unless the worker's file says of their pool; those of the default compute from their arguments alone"`
	AgentWeb         Bool          `envconfig:"AGENT_WEB" default:"true" desc:"let agents read web pages and GitHub, within what the rules of addresses allow"`
	AgentRobots      Bool          `envconfig:"AGENT_ROBOTS" default:"true" desc:"do not let agents read pages that the robots.txt of their site closes to programs"`
	GitHubAPI        string        `envconfig:"GITHUB_API" default:"https://api.github.com" desc:"where agents find GitHub's API; of a GitHub Enterprise Server https://host/api/v3"`

	Generate `group:"Generated trees"`

	Network `group:"Network"`
}

// Generate is what generated trees may hold, and who makes them.
type Generate struct {
	GenerateExecutors List   `envconfig:"GENERATE_EXECUTORS" desc:"executors that trees of generate_executor may have at most; empty: all, as far as the task says"`
	GenerateCommands  Bool   `envconfig:"GENERATE_COMMANDS" default:"true" desc:"let tasks of generate_executor say allow_commands, so that their trees may hold commands and code; these run only when somebody submits them"`
	GenerateTasks     int    `envconfig:"GENERATE_MAX_TASKS" default:"500" min:"1" max:"10000" desc:"the most tasks that a generated tree may be asked to have"`
	GenerateProvider  string `envconfig:"GENERATE_PROVIDER" alias:"AIPARTNERUPFLOW_LLM_PROVIDER" default:"openai" desc:"provider of the models that generate trees, where a task names none"`
	OpenAIModel       string `envconfig:"GENERATE_OPENAI_MODEL" alias:"OPENAI_MODEL" default:"gpt-4o" desc:"model of OpenAI that generates trees, where a task names none"`
	AnthropicModel    string `envconfig:"GENERATE_ANTHROPIC_MODEL" alias:"ANTHROPIC_MODEL" default:"claude-3-5-sonnet-20241022" desc:"model of Anthropic that generates trees, where a task names none"`
}

// Network is where executors may go, and how. In dev the machine is the user's own, so loopback is open there.
type Network struct {
	AddressAllow       Prefixes `envconfig:"ADDRESS_ALLOW" alias:"TASKGROVE_REST_ALLOW" desc:"where executors may go, even if another rule refuses it"`
	AddressDeny        Prefixes `envconfig:"ADDRESS_DENY" alias:"TASKGROVE_REST_DENY" desc:"where executors may not go, besides link-local, multicast and cloud metadata addresses"`
	AddressDenyPrivate Bool     `envconfig:"ADDRESS_DENY_PRIVATE" alias:"TASKGROVE_REST_DENY_PRIVATE" default:"false" desc:"also refuse private networks to executors, and loopback whatever TASKGROVE_ADDRESS_LOOPBACK says"`
	AddressLoopback    Bool     `envconfig:"ADDRESS_LOOPBACK" default:"false" dev:"true" desc:"let executors go to loopback addresses and to unix sockets of the worker's host"`
	Proxy              ProxyURL `envconfig:"PROXY" desc:"the proxy through which executors connect to everything; behind it the rules above judge names; the variables HTTP_PROXY and the like are ignored"`
	NoProxy            string   `envconfig:"NO_PROXY" desc:"where executors connect without the proxy: names, .domains, addresses, CIDR ranges, each with a port if need be, separated by commas; * is everything"`
	CAFile             string   `envconfig:"CA_FILE" desc:"PEM file of authorities whose certificates executors trust besides the machine's; a change counts within a second"`
}
