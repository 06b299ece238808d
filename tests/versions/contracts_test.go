package versions

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
)

// TestReleasedContracts: what make proto-check compares the contracts with is what the version in VERSION was released with.
func TestReleasedContracts(t *testing.T) {
	at, err := Present(root)
	if errors.Is(err, ErrNoHistory) && (mayLackHistory(err, os.Getenv("CI")) || strings.Contains(err.Error(), "no commit has set")) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(root, "proto/released.binpb"))
	if err != nil {
		t.Fatal(err)
	}
	released := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(raw, released); err != nil {
		t.Fatal(err)
	}
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: func(path string) (io.ReadCloser, error) {
			source, err := git(root, "show", at.Hash+":proto/"+path)
			return io.NopCloser(strings.NewReader(source)), err
		}})}
	contracts := 0
	for _, got := range released.File {
		if strings.HasPrefix(got.GetName(), "google/") {
			continue
		}
		contracts++
		files, err := compiler.Compile(t.Context(), got.GetName())
		if err != nil {
			t.Fatal(err)
		}
		want := protodesc.ToFileDescriptorProto(files[0])
		got.SourceCodeInfo, want.SourceCodeInfo = nil, nil
		if !proto.Equal(got, want) {
			t.Errorf("proto/released.binpb has another %s than version %s (%s): make proto-release, in the commit that sets VERSION", got.GetName(), at.Version, at.Hash)
		}
	}
	files, err := git(root, "ls-tree", "-r", "--name-only", at.Hash, "--", "proto")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Count(files, ".proto\n"); contracts != want || want < 2 {
		t.Errorf("got %d contracts, want the %d of version %s", contracts, want, at.Version)
	}
}
