package versions

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/taskgrove/taskgrove/internal/porttest"
)

// natsPassword is that of all users.
const natsPassword = "secret"

// natsServer is a nats-server with the configuration that a version's nats-config prints. The environment has the passwords.
type natsServer struct {
	*testing.T
	programs map[string]string
	dir      string
	port     int
	running  *server.Server
}

func startNATS(t *testing.T, programs map[string]string) *natsServer {
	t.Helper()
	n := &natsServer{T: t, programs: programs, dir: t.TempDir(), port: porttest.Port(t)}
	n.start(before)
	t.Cleanup(n.stop)
	return n
}

// start starts the server on its store with the configuration of a version.
func (n *natsServer) start(version string) {
	n.Helper()
	users, err := exec.Command(n.programs[version], "nats-config", "--worker", before+"-worker", "--worker", present+"-worker").Output()
	if err != nil {
		n.Fatal(err)
	}
	file := filepath.Join(n.dir, "nats.conf")
	text := "host: 127.0.0.1\nport: " + strconv.Itoa(n.port) + "\nmax_payload: 4MB\njetstream { store_dir: \"" + n.dir + "\" }\n" + string(users)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		n.Fatal(err)
	}
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		n.Fatalf("configuration of the version %s: %v", version, err)
	}
	options.NoLog, options.NoSigs = true, true
	if n.running, err = server.NewServer(options); err != nil {
		n.Fatal(err)
	}
	n.running.Start()
	if !n.running.ReadyForConnections(patience) {
		n.Fatal("nats-server is not ready")
	}
}

func (n *natsServer) stop() {
	n.running.Shutdown()
	n.running.WaitForShutdown()
}

// restart gives the server the configuration of another version.
func (n *natsServer) restart(version string) {
	n.Helper()
	n.stop()
	n.start(version)
}

func (n *natsServer) url(user string) string {
	return "nats://" + user + ":" + natsPassword + "@127.0.0.1:" + strconv.Itoa(n.port)
}
