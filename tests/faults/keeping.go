package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/taskgrove/taskgrove/executors"
)

// KeepingID is the id of [Keeping].
const KeepingID = "keeping_executor"

// KeptFile is a file that [Keeping] saves.
type KeptFile struct {
	Name string `json:"name"`
	Seed uint64 `json:"seed"` // of its content
	Size int    `json:"size"`
}

// Content is what the file has.
func (f KeptFile) Content() []byte {
	data := make([]byte, f.Size)
	var seed [32]byte
	copy(seed[:], fmt.Sprint(f.Seed))
	_, _ = rand.NewChaCha8(seed).Read(data) // never fails
	return data
}

// Keeping is an executor that saves the files and says the lines that its inputs name, and reads and compares those that its dependencies have saved. Its
// result is what it saved, and how many it has read.
type Keeping struct{}

// Describe implements [executors.Executor].
func (Keeping) Describe() executors.Description {
	return executors.Description{ID: KeepingID, Name: "Keeping Executor", Type: "test", Cancelable: true}
}

// kept is the result of [Keeping].
type kept struct {
	Files     []KeptFile          `json:"files,omitempty"`
	Read      int                 `json:"read"`
	Artifacts []executors.FileRef `json:"artifacts,omitempty"` // the worker adds them
}

// Run implements [executors.Executor].
func (Keeping) Run(ctx context.Context, call *executors.Call) (*executors.Outcome, error) {
	var inputs map[string]json.RawMessage
	var own struct {
		Files []KeptFile
		Lines int
	}
	if err := json.Unmarshal(call.Inputs, &inputs); err != nil {
		return nil, executors.Permanent(err)
	}
	if err := json.Unmarshal(call.Inputs, &own); err != nil {
		return nil, executors.Permanent(err)
	}
	for i := range own.Lines {
		call.Reporter.Log("stdout", fmt.Sprintf("%s line %d", call.TaskID, i))
	}
	result := kept{Files: own.Files}
	for _, raw := range inputs {
		var of kept
		if json.Unmarshal(raw, &of) != nil || len(of.Artifacts) == 0 {
			continue
		}
		if len(of.Artifacts) != len(of.Files) {
			return nil, executors.Permanent(fmt.Errorf("%d artifacts of %d files", len(of.Artifacts), len(of.Files)))
		}
		for i, ref := range of.Artifacts {
			if err := readKept(ctx, call, ref, of.Files[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", ref.Artifact, err)
			}
			result.Read++
		}
	}
	for _, f := range own.Files {
		if _, err := call.Files.Save(ctx, executors.SavedFile{Name: f.Name, Size: int64(f.Size)}, bytes.NewReader(f.Content())); err != nil {
			return nil, err
		}
	}
	return executors.Completed(result), nil
}

func readKept(ctx context.Context, call *executors.Call, ref executors.FileRef, want KeptFile) error {
	content, err := call.Files.Open(ctx, ref)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(content)
	_ = content.Close()
	if err == nil && !bytes.Equal(got, want.Content()) {
		err = executors.Permanent(fmt.Errorf("another content than %s", want.Name))
	}
	return err
}
