package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/joho/godotenv"
)

// envFileVariable says where variables are read from beside the environment.
const envFileVariable = Prefix + "ENV_FILE"

// maxEnvFileBytes is how large such a file may be.
const maxEnvFileBytes = 64 << 10

// filed are the variables of files, which count where the environment has none of the name. They do not get into the environment: nothing that
// the process starts inherits them.
var filed atomic.Pointer[map[string]string]

// LookupEnv finds a variable of the environment, else of the files that [ReadEnvFiles] has read.
func LookupEnv(name string) (string, bool) {
	if text, ok := os.LookupEnv(name); ok {
		return text, true
	}
	if from := filed.Load(); from != nil {
		text, ok := (*from)[name]
		return text, ok
	}
	return "", false
}

func getenv(name string) string {
	text, _ := LookupEnv(name)
	return text
}

// variables are the names of all variables, sorted.
func variables() []string {
	names := map[string]bool{}
	for _, entry := range os.Environ() {
		name, _, _ := bytes.Cut([]byte(entry), []byte("="))
		names[string(name)] = true
	}
	if from := filed.Load(); from != nil {
		for name := range *from {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// ReadEnvFiles reads variables from the file that TASKGROVE_ENV_FILE names, else from .env of the working directory and beside the program, if
// they are there (spec 9); the first that has a variable counts. It is for processes that serve, before they load their settings. A file that
// others may write is refused. It answers which files it has read.
func ReadEnvFiles() (read []string, err error) {
	paths, must := []string{".env"}, false
	if program, err := os.Executable(); err == nil {
		paths = append(paths, filepath.Join(filepath.Dir(program), ".env"))
	}
	switch named := os.Getenv(envFileVariable); named {
	case "":
	case "off":
		return nil, nil
	default:
		paths, must = []string{named}, true
	}
	all := map[string]string{}
	for _, path := range paths {
		if path, err = filepath.Abs(path); err != nil || slices.Contains(read, path) {
			continue
		}
		found, err := readEnvFile(path)
		if errors.Is(err, fs.ErrNotExist) && !must {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w; %s names another file, or is off", path, err, envFileVariable)
		}
		for name, text := range found {
			if _, known := all[name]; !known {
				all[name] = text
			}
		}
		read = append(read, path)
	}
	filed.Store(&all)
	return read, nil
}

// readEnvFile reads a file that only its owner may write: this user, or root. Its errors show nothing of the values.
func readEnvFile(path string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it is only read
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no file")
	case info.Mode().Perm()&0o022 != 0:
		return nil, errors.New("others may write it")
	case !trusted(info):
		return nil, errors.New("it belongs to another user")
	}
	text, err := io.ReadAll(io.LimitReader(file, maxEnvFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxEnvFileBytes {
		return nil, fmt.Errorf("it is larger than %d bytes", maxEnvFileBytes)
	}
	found, err := godotenv.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, errors.New("it has lines that are not NAME=value") // the error would show them
	}
	delete(found, envFileVariable)
	return found, nil
}
