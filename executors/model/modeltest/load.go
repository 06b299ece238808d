package modeltest

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed scripts/*.yaml
var recorded embed.FS

// Recorded is the script of this name that comes with the package. It panics if there is none: names are written in tests.
func Recorded(name string) Script {
	script, err := read(recorded, "scripts/"+name+".yaml")
	if err != nil {
		panic("modeltest: " + err.Error())
	}
	return script
}

// AllRecorded are the scripts that come with the package, by name.
func AllRecorded() []Script {
	sub, _ := fs.Sub(recorded, "scripts")
	scripts, err := Load(sub)
	if err != nil {
		panic("modeltest: " + err.Error())
	}
	return scripts
}

// Load reads the scripts of a folder: its files *.yaml, *.yml and *.json, by name. A script without a name is called as its file.
func Load(dir fs.FS) ([]Script, error) {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, err
	}
	var scripts []Script
	for _, entry := range entries {
		switch path.Ext(entry.Name()) {
		case ".yaml", ".yml", ".json":
		default:
			continue
		}
		script, err := read(dir, entry.Name())
		if err != nil {
			return nil, err
		}
		scripts = append(scripts, script)
	}
	return scripts, nil
}

func read(dir fs.FS, name string) (Script, error) {
	var script Script
	content, err := fs.ReadFile(dir, name)
	if err != nil {
		return script, err
	}
	if err := yaml.UnmarshalWithOptions(content, &script, yaml.Strict()); err != nil {
		return script, fmt.Errorf("%s: %w", name, err)
	}
	if script.Name == "" {
		script.Name = strings.TrimSuffix(path.Base(name), path.Ext(name))
	}
	if len(script.Turns) == 0 {
		return script, fmt.Errorf("%s: it has no turns", name)
	}
	return script, nil
}
