package modeltest_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/taskgrove/taskgrove/executors/model/modeltest"
)

var update = flag.Bool("update", false, "write what the SDKs understand into testdata")

// The official SDKs of both services understand what the server says, errors included, as the files in testdata tell.
func TestTheOfficialSDKsUnderstandIt(t *testing.T) {
	python := os.Getenv("TASKGROVE_SDKS")
	if python == "" {
		t.Skip("the Python packages openai and anthropic are not installed: make interop does that, and runs this test")
	}
	for _, format := range []string{"openai", "anthropic"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := modeltest.Start(t)
			for _, script := range modeltest.AllRecorded() {
				turns := script.Turns
				if script.Name == "good" { // asked for several times
					script.Turns = append([]modeltest.Turn(nil), turns...)
					script.Turns[0].Times = -1
				}
				s.Play(script.Name, script)
				s.Play(script.Name+"-streamed", script)
			}
			cmd := exec.CommandContext(t.Context(), python, "testdata/sdks.py", s.URL(), s.Key(), format)
			var faults bytes.Buffer
			cmd.Stderr = &faults
			got, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, got, faults.Bytes())
			}
			if faults.Len() > 0 {
				t.Errorf("the SDK warns: %s", faults.Bytes())
			}
			file := filepath.Join("testdata", format+".sdk.jsonl")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the SDK understood\n%s\nwant, as %s has,\n%s", got, file, want)
			}
		})
	}
}
