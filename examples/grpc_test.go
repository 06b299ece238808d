package examples

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/taskgrove/taskgrove/internal/porttest"
	pb "github.com/taskgrove/taskgrove/proto/taskgrove/v1"
)

const grpcPage = "../docs/grpc.md"

// TestTheGRPCPageWorks runs the commands of docs/grpc.md. Those that need grpcurl are for TestInteropGRPC.
func TestTheGRPCPageWorks(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs and starts a cluster")
	}
	newGuide(t).followGRPC("")
}

// TestInteropGRPC calls the service with other people's clients: grpcurl, and the packages of Connect for Node and browsers. TASKGROVE_INTEROP_GRPC is
// the directory where make interop has put them.
func TestInteropGRPC(t *testing.T) {
	tools := os.Getenv("TASKGROVE_INTEROP_GRPC")
	if tools == "" {
		t.Skip("make interop runs it")
	}
	g := newGuide(t)
	g.env = append(g.env, "PATH="+tools+":"+g.value("PATH"))
	g.followGRPC("interop", func(web string) { g.connect(tools, web) })
}

// followGRPC runs the blocks of the page that have the word, and the server, and then what else is to be done while that runs.
func (g *guide) followGRPC(word string, also ...func(web string)) {
	web := porttest.Address(g.t)
	g.env = append(g.env, "TASKGROVE_HTTP_ADDR="+web)
	var last *output
	for _, b := range blocks(g.t, grpcPage) {
		text := strings.NewReplacer("127.0.0.1:8000", web, "127.0.0.1:7700", g.value("TASKGROVE_SERVER")).Replace(b.text)
		switch {
		case b.language == "sh" && b.word == "server":
			last = g.serve(text)
		case b.word == "server":
			last.want(g.t, text)
		case b.language == "go" && word == "":
			g.write(b.word, text)
		case b.word != word:
		case b.language == "sh":
			last = g.run(text)
		case b.language == "text":
			last.want(g.t, text)
		}
	}
	for _, do := range also {
		do(web)
	}
	for _, s := range slices.Backward(g.servers) {
		s.interrupt(g.t)
	}
}

// value is what a variable has in the guide's environment.
func (g *guide) value(name string) (value string) {
	for _, entry := range g.env {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

// connect runs the example for Node, and wants the same of every protocol.
func (g *guide) connect(tools, web string) {
	contract := filepath.Join(g.dir, "taskgrove.binpb")
	raw, err := proto.Marshal(contractSet())
	if err == nil {
		err = os.WriteFile(contract, raw, 0o600)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	cmd := exec.CommandContext(g.t.Context(), "node", filepath.Join(tools, "connect", "client.mjs"), "http://"+web, contract)
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{"connect-json", "connect-binary", "grpc-web", "browser-connect", "browser-grpc-web"} {
		for _, line := range []string{"2 tasks completed", "events in order", "completed {", "NotFound", "InvalidArgument, google.rpc.BadRequest", "Canceled"} {
			if !strings.Contains(string(out), name+": "+line) {
				g.t.Errorf("got %s, want %s: %s", out, name, line)
			}
		}
	}
}

// contractSet is the contract and what it imports, as protoc compiles it.
func contractSet() *descriptorpb.FileDescriptorSet {
	set, seen := &descriptorpb.FileDescriptorSet{}, map[string]bool{}
	var add func(file protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	add(pb.File_taskgrove_v1_taskgrove_proto)
	return set
}

// TestPackagesOfTheNodeExample: its lock has each package that it asks for, in the same version.
func TestPackagesOfTheNodeExample(t *testing.T) {
	type list struct {
		Dependencies map[string]string
	}
	var asked list
	var lock struct {
		Packages map[string]list
	}
	for name, to := range map[string]any{"package.json": &asked, "package-lock.json": &lock} {
		if err := json.Unmarshal(read(t, filepath.Join("connect-node", name)), to); err != nil {
			t.Fatal(err)
		}
	}
	for name, version := range asked.Dependencies {
		if lock.Packages[""].Dependencies[name] != version {
			t.Errorf("%s: got %s, want %s", name, lock.Packages[""].Dependencies[name], version)
		}
	}
}
