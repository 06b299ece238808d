package mapper

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/taskgrove/taskgrove/executors"
)

// maxDirName is how long the name of a directory is, before its index.
const maxDirName = 56

// ownDirs gives the tasks of each item, as far as they share the files of a flow's job, a directory of their own, which begins with what those of the job, and of items around, hold.
func ownDirs(params, each json.RawMessage) (json.RawMessage, error) {
	var own struct {
		Job   string   `json:"job_id"`
		Dir   string   `json:"dir"`
		From  []string `json:"from"`
		Items string   `json:"items"` // what the directories are called, but for the index
	}
	if len(params) == 0 || json.Unmarshal(params, &own) != nil || own.Items == "" {
		return each, nil
	}
	if len(own.Items) > maxDirName {
		sum := sha256.Sum256([]byte(own.Items))
		const digits = 16
		own.Items = own.Items[:maxDirName-digits-1] + "." + hex.EncodeToString(sum[:])[:digits]
	}
	dir, around := own.Items+".{{index}}", own.Dir
	if around == "" {
		around = own.Job
	}
	from := append([]string{around}, own.From...)
	decoder := json.NewDecoder(bytes.NewReader(each))
	decoder.UseNumber()
	var tasks any
	if err := decoder.Decode(&tasks); err != nil {
		return nil, executors.Invalid(ID, fmt.Sprintf("the tasks of items can't be read: %v", err))
	}
	give := func(task any) {
		t, _ := task.(map[string]any)
		p, is := t["params"].(map[string]any)
		if !is || p["flow_id"] == nil {
			return
		}
		p["dir"], p["from"] = dir, from
		if p["items"] != nil {
			p["items"] = fmt.Sprintf("%s.%v", dir, p["step_id"])
		}
	}
	if list, are := tasks.([]any); are {
		for _, task := range list {
			give(task)
		}
	} else {
		give(tasks)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(tasks); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(out.Bytes()), nil
}
