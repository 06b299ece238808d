package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// tree is the tree's file as JSON, without the tasks whose executor is off, for which it says why.
func (s *showcase) tree(ctx context.Context, c *cluster) (string, error) {
	if err := s.missing(ctx, c); err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(s.source, "tree.yaml"))
	if err != nil {
		return "", err
	}
	var document struct {
		Tasks []object `json:"tasks"`
	}
	if text, err = yaml.YAMLToJSON(text); err == nil {
		err = json.Unmarshal(text, &document)
	}
	if err != nil {
		return "", fmt.Errorf("tree.yaml: %w", err)
	}
	left := map[any]bool{}
	document.Tasks = slices.DeleteFunc(document.Tasks, func(task object) bool {
		executor := task["schemas"].(object)["method"].(string)
		why, off := s.services.off[executor]
		if off {
			left[task["id"]] = true
			s.say("   %s is left out, as there is no %s: %s", task["id"], executor, why)
		}
		return off
	})
	for _, task := range document.Tasks {
		if needs, ok := task["dependencies"].([]any); ok {
			task["dependencies"] = slices.DeleteFunc(needs, func(id any) bool { return left[id] })
		}
	}
	text, err = json.Marshal(document)
	if image := s.services.image; image != nil {
		text = []byte(strings.ReplaceAll(string(text), auditorImage, image.name))
	}
	return string(text), err
}

// missing asks the cluster which executors its worker lacks, and why. Only some can be done without.
func (s *showcase) missing(ctx context.Context, c *cluster) error {
	workers, err := c.Workers(ctx)
	if err != nil {
		return err
	}
	for _, w := range workers {
		if w.Pools["shop_tools"] == 0 {
			return fmt.Errorf("the shop's own executor needs python3: %s", strings.Join(w.Faults, "; "))
		}
		for _, executor := range []string{"python_executor", "docker_executor"} {
			if w.Pools[executor] > 0 || s.services.off[executor] != "" {
				continue
			}
			s.services.off[executor] = "the worker does not say why"
			for _, fault := range w.Faults {
				if strings.Contains(fault, executor) {
					s.services.off[executor] = fault
				}
			}
		}
	}
	return nil
}
