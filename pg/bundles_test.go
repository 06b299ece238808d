package pg

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/taskgrove/taskgrove/dag"
)

// TestBundlesThatRunsPinStay: what nothing names goes after an hour; what a run pins stays, whatever is deleted, until the run goes.
func TestBundlesThatRunsPinStay(t *testing.T) {
	t.Parallel()
	s, tree := openTree(t)
	ctx, here := t.Context(), dag.DefaultNamespaceKey
	exec := func(text string, args ...any) {
		t.Helper()
		if _, err := s.pool.Exec(ctx, text, args...); err != nil {
			t.Fatal(err)
		}
	}
	count := func(table string) (n int) {
		t.Helper()
		if err := s.pool.QueryRow(ctx, "select count(*) from "+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	later := func() {
		exec("update bundle set used_at = used_at - interval '2 hours'")
		exec("update bundle_blob set used_at = used_at - interval '2 hours'")
		for {
			more, err := s.ForgetBundles(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if !more {
				return
			}
		}
	}
	apply := func(text string) *Bundle {
		t.Helper()
		sum := sha256.Sum256([]byte(text))
		file := []BundleFile{{Path: "f", SHA256: sum[:], Size: int64(len(text))}}
		b := &Bundle{ID: "b", Fingerprint: fmt.Sprintf("%x", sum), Digest: fmt.Sprintf("%x", sum), UserID: "u", Body: []byte("{}"), Files: 1, Bytes: int64(len(text)), CreatedBy: "a"}
		if fresh, missing, err := s.ApplyBundle(ctx, here, b, file, ""); err != nil || fresh || !slices.Equal(missing, []int{0}) {
			t.Fatalf("without its content: %t, %v, %v", fresh, missing, err)
		}
		if err := s.PutBundleData(ctx, here, "", []byte(text)); err != nil {
			t.Fatal(err)
		}
		for _, want := range []bool{true, false} { // a repetition changes nothing
			if fresh, missing, err := s.ApplyBundle(ctx, here, b, file, ""); err != nil || fresh != want || missing != nil {
				t.Fatalf("applied: %t, %v, %v", fresh, missing, err)
			}
		}
		return b
	}
	first := apply("first")
	exec("insert into flow_run (namespace, flow_id, run_id, revision, text, tree, root_id, created_by, bundle) values (0, 'f', 'r', 1, 1, $1, 'x', 'a', $2)", tree, first.Key)
	for i := range keptBundles + 3 {
		apply(fmt.Sprint("version ", i))
	}
	if err := s.PutBundleData(ctx, here, "", []byte("nothing names it")); err != nil {
		t.Fatal(err)
	}
	if later(); count("bundle") != keptBundles+1 || count("bundle_file") != keptBundles+1 || count("bundle_blob") != keptBundles+1 {
		t.Errorf("%d versions, %d files, %d contents", count("bundle"), count("bundle_file"), count("bundle_blob"))
	}
	if _, err := s.HoldBundle(ctx, here, "b", "", ""); err != nil {
		t.Error(err)
	}
	if err := s.DeleteBundle(ctx, here, "b", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.HoldBundle(ctx, here, "b", "", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if later(); count("bundle") != 1 {
		t.Errorf("%d versions stay, want that of the run", count("bundle"))
	}
	sum := sha256.Sum256([]byte("first"))
	if file, err := s.BundleFileOf(ctx, tree, sum[:], 5); err != nil || string(file.Data) != "first" {
		t.Errorf("%+v, %v", file, err)
	}
	other := sha256.Sum256([]byte("version 1"))
	if _, err := s.BundleFileOf(ctx, tree, other[:], 9); !errors.Is(err, ErrNotFound) {
		t.Errorf("a content of another version: %v", err)
	}
	exec("delete from flow_run")
	if later(); count("bundle")+count("bundle_file")+count("bundle_blob") != 0 {
		t.Error("something is left")
	}
}
