package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/taskgrove/taskgrove/client"
	"github.com/taskgrove/taskgrove/dag/treedoc"
)

// readTree reads a document as JSON; "-" is stdin. What does not begin like JSON is taken for YAML, whatever the file's
// name says.
func readTree(name string, stdin io.Reader) ([]byte, error) {
	var data []byte
	var err error
	if name == "-" {
		data, err = io.ReadAll(stdin)
	} else {
		data, err = os.ReadFile(filepath.Clean(name))
	}
	if err != nil {
		return nil, err
	}
	text := bytes.TrimLeft(data, " \t\r\n")
	switch {
	case len(text) == 0:
		return nil, fmt.Errorf("%s is empty", name)
	case text[0] == '{' || text[0] == '[':
		return data, nil
	}
	document, err := yamlToJSON(data)
	if err != nil {
		return nil, fmt.Errorf("%s is neither JSON nor YAML: %w", name, err)
	}
	return document, nil
}

// yamlToJSON goes by way of values: yaml.YAMLToJSON writes control characters and .nan as they are, which is no JSON,
// and drops every document but the first.
func yamlToJSON(text []byte) ([]byte, error) {
	if err := checkAliases(text); err != nil {
		return nil, err
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var value, more any
	if err := d.Decode(&value); errors.Is(err, io.EOF) {
		return nil, errors.New("there is no document in it")
	} else if err != nil {
		where, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
		return nil, errors.New(where)
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one document; a tree is one")
	}
	return json.Marshal(value)
}

// treeTimeout is what the root says about the whole tree's time, which is sent ahead of all tasks although the root may
// come last; 0: nothing. All other faults are left to be found when the document is sent.
func treeTimeout(document []byte) (found time.Duration, err error) {
	if !bytes.Contains(document, []byte("tree_timeout")) {
		return 0, nil
	}
	i := 0
	for task, err := range treedoc.Parse(document, treedoc.Options{}) {
		if err != nil {
			break
		}
		if task.TreeTimeout > 0 {
			if found = task.TreeTimeout; task.ParentRef != "" {
				return 0, &client.InvalidError{Text: "the tree is invalid", Faults: []client.Fault{
					{Field: fmt.Sprintf("tasks[%d].tree_timeout", i), Reason: "only the root may have it"},
				}}
			}
		}
		i++
	}
	return found, nil
}
