package file

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/inputs"
)

// input is what a task says.
type input struct {
	Operation    string             `json:"operation"`
	Source       string             `json:"source"`
	Destination  string             `json:"destination"`
	Path         string             `json:"path"`
	Overwrite    bool               `json:"overwrite"`
	Recursive    bool               `json:"recursive"`
	Algorithm    string             `json:"algorithm"`
	Expected     string             `json:"expected"`
	Content      json.RawMessage    `json:"content"`
	text         *string            // that content is, or
	file         *executors.FileRef // an artifact
	Encoding     string             `json:"encoding"`
	Format       string             `json:"format"`
	Limit        int                `json:"limit"`
	Cursor       string             `json:"cursor"`
	MaxBytes     *int64             `json:"max_bytes"`
	bounded      bool               // max_bytes was given
	MaxFiles     int                `json:"max_files"`
	MaxRatio     int                `json:"max_ratio"`
	Endpoint     string             `json:"endpoint"`
	Region       string             `json:"region"`
	AccessKey    string             `json:"access_key"`
	SecretKey    string             `json:"secret_key"`
	SessionToken string             `json:"session_token"`
	PathStyle    *bool              `json:"path_style"`
	Identity     string             `json:"identity"`
	RoleARN      string             `json:"role_arn"`
	TokenFile    string             `json:"token_file"`
	STSEndpoint  string             `json:"sts_endpoint"`
	Timeout      json.Number        `json:"timeout"`
}

// operations with the fields that each needs.
var operations = map[string][]string{
	"copy": {"source", "destination"}, "move": {"source", "destination"}, "pack": {"source", "destination"}, "unpack": {"source", "destination"},
	"delete": {"path"}, "checksum": {"path"}, "list": {"path"}, "stat": {"path"}, "read": {"path"}, "write": {"path"},
}

func decode(call *executors.Call) (*input, error) {
	var in input
	if err := inputs.Decode(ID, call, &in); err != nil {
		return nil, err
	}
	if in.Operation == "" {
		return nil, invalid("operation is required in inputs")
	}
	needs, ok := operations[in.Operation]
	if !ok {
		return nil, invalid("operation must be copy, move, delete, checksum, list, stat, read, write, pack or unpack")
	}
	for _, field := range needs {
		if *in.location(field) == "" {
			return nil, invalid(field + " is required in inputs for " + in.Operation)
		}
	}
	if len(in.Content) > 0 && string(in.Content) != "null" {
		if ref, ok := executors.RefOf(in.Content); ok && call.Files != nil {
			in.file = &ref
		} else if json.Unmarshal(in.Content, &in.text) != nil {
			return nil, invalid("content must be a text, or an artifact")
		}
	}
	if in.Operation == "write" && in.text == nil && in.file == nil {
		return nil, invalid("content is required in inputs for write")
	}
	return &in, nil
}

func (in *input) location(field string) *string {
	return map[string]*string{"source": &in.Source, "destination": &in.Destination, "path": &in.Path}[field]
}

// check checks what can be checked before anything happens, and sets defaults. The error names all faults.
func (in *input) check(cfg *Config) error {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	s3 := false
	for _, field := range operations[in.Operation] {
		l, err := parse(*in.location(field))
		if err != nil {
			fault("%s %v", field, err)
		}
		s3 = s3 || l.bucket != ""
	}
	if s3 && in.Endpoint == "" {
		fault("endpoint is required in inputs for s3:// paths, or a connection")
	}
	sums := []string{"", "sha256", "sha512", "sha1", "md5", "crc32c"}
	if !slices.Contains(sums, in.Algorithm) {
		fault("algorithm must be sha256, sha512, sha1, md5 or crc32c")
	} else if in.Expected != "" {
		if in.Algorithm == "" {
			in.Algorithm = "sha256"
		}
		if raw, err := hex.DecodeString(in.Expected); err != nil || len(raw) != newSum(in.Algorithm).Size() {
			fault("expected is no %s in hexadecimal digits", in.Algorithm)
		}
	}
	if in.Operation == "checksum" && in.Algorithm == "" {
		in.Algorithm = "sha256"
	}
	if !slices.Contains([]string{"", "text", executors.Base64}, in.Encoding) {
		fault("encoding must be text or base64")
	}
	faults = append(faults, in.checkNumbers(cfg)...)
	if in.Operation == "pack" {
		if in.Format == "" {
			in.Format = formatOf(in.Destination)
		}
		if !slices.Contains([]string{"zip", "tar", "tar.gz", "tar.zst"}, in.Format) {
			fault("format must be zip, tar, tar.gz or tar.zst, where the destination's name does not end like one of them")
		}
	}
	if len(faults) > 0 {
		return invalid(strings.Join(faults, "; "))
	}
	return nil
}

func (in *input) checkNumbers(cfg *Config) (faults []string) {
	for _, n := range []struct {
		field string
		value *int
		usual int
		most  int
	}{{"limit", &in.Limit, 1000, 10_000}, {"max_files", &in.MaxFiles, 10_000, 1_000_000}, {"max_ratio", &in.MaxRatio, 200, 100_000}} {
		if *n.value == 0 {
			*n.value = n.usual
		}
		if *n.value < 1 || *n.value > n.most {
			faults = append(faults, fmt.Sprintf("%s must be from 1 to %d", n.field, n.most))
		}
	}
	usual, most := int64(cfg.MaxBytes), int64(cfg.MaxBytes)
	if in.Operation == "unpack" {
		usual, most = min(1<<30, cfg.MaxUnpackedBytes), cfg.MaxUnpackedBytes
	}
	if in.bounded = in.MaxBytes != nil; !in.bounded {
		in.MaxBytes = &usual
	}
	if *in.MaxBytes < 0 || *in.MaxBytes > most {
		faults = append(faults, fmt.Sprintf("max_bytes must be from 0 to %d, which the worker allows", most))
	}
	return faults
}

func formatOf(name string) string {
	name = strings.ToLower(name)
	for end, format := range map[string]string{".zip": "zip", ".tar": "tar", ".tar.gz": "tar.gz", ".tgz": "tar.gz", ".tar.zst": "tar.zst", ".tzst": "tar.zst"} {
		if strings.HasSuffix(name, end) {
			return format
		}
	}
	return ""
}

// location is where a file or object is.
type location struct {
	bucket string // empty: a file
	name   string // path below the root with slashes, or key; of a directory without the slash at its end; "." or "": the whole
	dir    bool   // what was written ends with a slash
}

// parse reads a path or s3://bucket/key. Names that lead elsewhere are refused: those of files by the root once more, those of objects because
// stores that keep objects as files might follow them.
func parse(text string) (location, error) {
	if len(text) > 4096 || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00") {
		return location{}, errors.New("is not a usable name: it must be UTF-8 without NUL, of at most 4096 bytes")
	}
	rest, isS3 := strings.CutPrefix(text, "s3://")
	if !isS3 {
		if strings.Contains(text, "://") {
			return location{}, errors.New("must be a path, or begin with s3://")
		}
		clean := path.Clean(strings.TrimSuffix(text, "/"))
		if text == "" || strings.HasPrefix(text, "/") || strings.Contains(text, "\\") || !filepath.IsLocal(filepath.FromSlash(clean)) || hasDots(text) {
			return location{}, errors.New("must be a path below the worker's TASKGROVE_FILE_ROOT, without ..")
		}
		return location{name: clean, dir: strings.HasSuffix(text, "/") || clean == "."}, nil
	}
	bucket, key, _ := strings.Cut(rest, "/")
	if bucket == "" {
		return location{}, errors.New("must have a bucket's name behind s3://")
	}
	if len(bucket) < 3 || len(bucket) > 63 || strings.ContainsFunc(bucket, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.')
	}) || strings.Contains(bucket, "..") || bucket[0] == '.' || bucket[0] == '-' {
		return location{}, errors.New("has no usable bucket's name behind s3://: it has 3 to 63 lower-case letters, digits, - and .")
	}
	if len(key) > 1024 || hasDots(key) || strings.HasPrefix(key, "/") || strings.Contains(key, "//") {
		return location{}, errors.New("must have a key without empty parts, . and .., of at most 1024 bytes")
	}
	return location{bucket: bucket, name: strings.TrimSuffix(key, "/"), dir: key == "" || strings.HasSuffix(key, "/")}, nil
}

// hasDots reports whether a part of the name is . or .. (a path may be "." as a whole).
func hasDots(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." || part == "." && name != "." && name != "./" {
			return true
		}
	}
	return false
}

// String is what was written.
func (l location) String() string {
	end := ""
	if l.dir && l.name != "" && l.name != "." {
		end = "/"
	}
	if l.bucket != "" {
		return "s3://" + l.bucket + "/" + l.name + end
	}
	return l.name + end
}

// below is a place below a directory.
func (l location) below(name string) location {
	l.dir = false
	if l.name == "" || l.name == "." {
		l.name = name
	} else {
		l.name += "/" + name
	}
	return l
}
