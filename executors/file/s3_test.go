package file_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/conformance"
	"github.com/taskgrove/taskgrove/executors/file"
	"github.com/taskgrove/taskgrove/internal/artifact/s3/s3test"
)

const accessKey, secretKey = s3test.AccessKey, s3test.SecretKey

// s3Server is a server, and how many buckets were made.
type s3Server struct {
	url    string
	client *minio.Core
	made   atomic.Int64
}

// TestS3 starts a server and runs the tests that need one.
func TestS3(t *testing.T) {
	file.CopyInPartsOf(t, 6<<20)
	server := s3test.Start(t)
	s := &s3Server{url: server.URL, client: server.Client}
	for name, test := range map[string]func(*testing.T, *s3Server){
		"objects go where they are told": s3Objects, "large objects go in parts": s3Parts, "cancelled uploads leave nothing": s3Cancel,
		"lists go on": s3Lists, "archives": s3Archives, "errors say what helps": s3Errors, "the worker's identity": s3Identity, "examples run": s3Examples,
		"a broken answer is noticed": s3Broken,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// bucket is a fresh one, and the inputs that reach it.
func (s *s3Server) bucket(t testing.TB) (string, object) {
	t.Helper()
	name := fmt.Sprintf("bucket-%d", s.made.Add(1))
	if err := s.client.MakeBucket(t.Context(), name, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return name, object{"endpoint": s.url, "access_key": accessKey, "secret_key": secretKey}
}

func with(base, more object) object {
	all := object{}
	for _, from := range []object{base, more} {
		for k, v := range from {
			all[k] = v
		}
	}
	return all
}

// objects are all of a bucket, with their content.
func (s *s3Server) objects(t testing.TB, bucket string) string {
	t.Helper()
	var all []string
	for o := range s.client.Client.ListObjects(context.Background(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		body, _, _, err := s.client.GetObject(context.Background(), bucket, o.Key, minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		start, _ := io.ReadAll(io.LimitReader(body, 20))
		_ = body.Close()
		all = append(all, fmt.Sprintf("%s=%s", o.Key, start))
	}
	return strings.Join(all, " ")
}

// uploads are those of a bucket that are open.
func (s *s3Server) uploads(t testing.TB, bucket string) (keys []string) {
	t.Helper()
	open, err := s.client.ListMultipartUploads(context.Background(), bucket, "", "", "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range open.Uploads {
		keys = append(keys, u.Key)
	}
	return keys
}

func s3Objects(t *testing.T, s *s3Server) {
	e, root := newExecutor(t)
	bucket, keys := s.bucket(t)
	at := "s3://" + bucket + "/"
	put(t, filepath.Join(root, "a.json"), `{"a":1}`)
	got := run(t, e, with(keys, object{"operation": "copy", "source": "a.json", "destination": at + "in/", "algorithm": "sha256"}))
	if got["destination"] != at+"in/a.json" || got["bytes"] != 7.0 || got["checksum"] == nil {
		t.Errorf("copy: %v", got)
	}
	o, err := s.client.StatObject(t.Context(), bucket, "in/a.json", minio.StatObjectOptions{})
	if err != nil || o.ContentType != "application/json" || o.UserMetadata["Taskgrove-Key"] != "key-1" || o.UserMetadata["Taskgrove-Attempt"] != "1" {
		t.Errorf("object: %+v, %v", o, err)
	}
	wantError(t, e, with(keys, object{"operation": "copy", "source": "a.json", "destination": at + "in/a.json"}), "exists already")
	wantError(t, e, with(keys, object{"operation": "copy", "source": "a.json", "destination": at + "bad", "expected": strings.Repeat("0", 64)}), "not the one expected")
	run(t, e, with(keys, object{"operation": "copy", "source": at + "in/a.json", "destination": at + "b/copy.json"}))
	wantError(t, e, with(keys, object{"operation": "copy", "source": at + "in/a.json", "destination": at + "b/copy.json"}), "exists already")
	run(t, e, with(keys, object{"operation": "move", "source": at + "b/copy.json", "destination": at + "b/moved.json"}))
	run(t, e, with(keys, object{"operation": "write", "path": at + "w.txt", "content": "written"}))
	if got := run(t, e, with(keys, object{"operation": "read", "path": at + "w.txt"})); got["content"] != "written" {
		t.Errorf("read: %v", got)
	}
	if got := run(t, e, with(keys, object{"operation": "stat", "path": at + "b"})); got["entry"].(map[string]any)["type"] != "directory" {
		t.Errorf("stat: %v", got)
	}
	if got := run(t, e, with(keys, object{"operation": "stat", "path": at + "nothing"})); got["exists"] != false {
		t.Errorf("stat: %v", got)
	}
	if got := s.objects(t, bucket); got != `b/moved.json={"a":1} in/a.json={"a":1} w.txt=written` {
		t.Errorf("objects: %s", got)
	}
	run(t, e, with(keys, object{"operation": "copy", "source": at, "destination": "down"}))
	wantFiles(t, filepath.Join(root, "down"), `b/ b/moved.json={"a":1} in/ in/a.json={"a":1} w.txt=written`)
	if got := run(t, e, with(keys, object{"operation": "move", "source": "down/", "destination": at + "up/"})); got["files"] != 3.0 {
		t.Errorf("move: %v", got)
	}
	wantFiles(t, root, `a.json={"a":1}`)
	if got := run(t, e, with(keys, object{"operation": "delete", "path": at + "up/", "recursive": true})); got["files"] != 3.0 {
		t.Errorf("delete: %v", got)
	}
	if got := run(t, e, with(keys, object{"operation": "delete", "path": at + "up/x"})); got["files"] != 0.0 {
		t.Errorf("delete what is gone: %v", got)
	}
	if got := s.objects(t, bucket); got != `b/moved.json={"a":1} in/a.json={"a":1} w.txt=written` {
		t.Errorf("objects: %s", got)
	}
}

// s3Parts sends more than one part up, copies it within the store in parts, and gets it back, in little memory.
func s3Parts(t *testing.T, s *s3Server) {
	e, root := newExecutor(t)
	bucket, keys := s.bucket(t)
	at := "s3://" + bucket + "/"
	content := make([]byte, 33<<20+7)
	_, _ = rand.Read(content)
	put(t, filepath.Join(root, "large"), string(content))
	up := run(t, e, with(keys, object{"operation": "copy", "source": "large", "destination": at + "large", "algorithm": "sha256"}))
	run(t, e, with(keys, object{"operation": "copy", "source": at + "large", "destination": at + "again"}))
	down := run(t, e, with(keys, object{"operation": "copy", "source": at + "again", "destination": "back", "expected": up["checksum"]}))
	if down["bytes"] != float64(len(content)) {
		t.Errorf("got %v", down)
	}
	if o, err := s.client.StatObject(t.Context(), bucket, "large", minio.StatObjectOptions{}); err != nil || !strings.HasSuffix(strings.Trim(o.ETag, `"`), "-3") {
		t.Errorf("the object's tag is %q, want three parts: %v", o.ETag, err)
	}
	if open := s.uploads(t, bucket); len(open) > 0 {
		t.Errorf("open uploads: %q", open)
	}
}

func s3Cancel(t *testing.T, s *s3Server) {
	e, root := newExecutor(t)
	bucket, keys := s.bucket(t)
	large, err := os.Create(filepath.Join(root, "large"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(large.Truncate(64<<30), large.Close()); err != nil { // sparse
		t.Fatal(err)
	}
	for _, in := range []object{
		{"operation": "copy", "source": "large", "destination": "s3://" + bucket + "/copy"}, {"operation": "pack", "source": "large", "destination": "s3://" + bucket + "/p.tar"},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		call, _ := conformance.Call(t, with(keys, in))
		seen := false
		call.Reporter = reporter(func() { // once a part has arrived
			if !seen && len(s.uploads(t, bucket)) > 0 {
				seen = true
				cancel(executors.ErrCancelled)
			}
		})
		if _, err := outcome(t, e, ctx, call); !errors.Is(err, executors.ErrCancelled) || !seen {
			t.Errorf("%v: got %v; an upload was open: %v", in, err, seen)
		}
		if open := s.uploads(t, bucket); len(open) > 0 {
			t.Errorf("%v: open uploads: %q", in, open)
		}
	}
	if got := s.objects(t, bucket); got != "" {
		t.Errorf("objects: %s", got)
	}
}

func s3Lists(t *testing.T, s *s3Server) {
	e, _ := newExecutor(t)
	bucket, keys := s.bucket(t)
	for _, key := range []string{"l/a", "l/a-b", "l/a.b/c", "l/b/x", "l/b/y/z", "l/b-1", "l/c"} {
		run(t, e, with(keys, object{"operation": "write", "path": "s3://" + bucket + "/" + key, "content": key}))
	}
	for _, recursive := range []bool{false, true} {
		want := map[bool][]string{false: {"l/a", "l/a-b", "l/a.b/", "l/b-1", "l/b/", "l/c"}, true: {"l/a", "l/a-b", "l/a.b/c", "l/b-1", "l/b/x", "l/b/y/z", "l/c"}}[recursive]
		for _, limit := range []int{1, 2, 3, 100} {
			var got []string
			for cursor := ""; ; {
				page := run(t, e, with(keys, object{"operation": "list", "path": "s3://" + bucket + "/l/", "recursive": recursive, "limit": limit, "cursor": cursor}))
				for _, entry := range page["entries"].([]any) {
					got = append(got, strings.TrimPrefix(entry.(map[string]any)["path"].(string), "s3://"+bucket+"/"))
				}
				next, more := page["cursor"].(string)
				if !more {
					break
				}
				cursor = next
			}
			if !slices.Equal(got, want) {
				t.Errorf("by %d\n got %q\nwant %q", limit, got, want)
			}
		}
	}
}

func s3Archives(t *testing.T, s *s3Server) {
	e, root := newExecutor(t)
	bucket, keys := s.bucket(t)
	at := "s3://" + bucket + "/"
	put(t, filepath.Join(root, "src", "a.txt"), "hello")
	put(t, filepath.Join(root, "src", "sub", "b.txt"), "world")
	run(t, e, with(keys, object{"operation": "pack", "source": "src", "destination": at + "p.tar.zst"}))
	run(t, e, with(keys, object{"operation": "unpack", "source": at + "p.tar.zst", "destination": at + "un/"}))
	run(t, e, with(keys, object{"operation": "pack", "source": at + "un/", "destination": "q.zip"}))
	run(t, e, object{"operation": "unpack", "source": "q.zip", "destination": "out"})
	wantFiles(t, filepath.Join(root, "out"), "a.txt=hello sub/ sub/b.txt=world")
	put(t, filepath.Join(root, "evil.zip"), zipped(t, 0o644, "good", "../evil"))
	wantError(t, e, with(keys, object{"operation": "unpack", "source": "evil.zip", "destination": at + "evil/"}), "name that is not allowed")
	if got := s.objects(t, bucket); !strings.HasPrefix(got, "p.tar.zst=") || !strings.HasSuffix(got, " un/a.txt=hello un/sub/b.txt=world") {
		t.Errorf("objects: %s", got)
	}
}

func s3Errors(t *testing.T, s *s3Server) {
	e, root := newExecutor(t)
	bucket, keys := s.bucket(t)
	put(t, filepath.Join(root, "a"), "a")
	at := "s3://" + bucket + "/"
	wantError(t, e, with(keys, object{"operation": "read", "path": at + "nothing"}), "s3://"+bucket+"/nothing does not exist")
	wantError(t, e, with(keys, object{"operation": "copy", "source": "a", "destination": "s3://no-such-bucket/a"}))
	wantError(t, e, with(keys, object{"operation": "read", "path": at + "a", "secret_key": "wrong"}))
	wantError(t, e, with(keys, object{"operation": "read", "path": at + "a", "access_key": "wrong"}))
	for _, key := range []string{"../x", "a/../../x", "./x", "a//b", "/x", "a/./b"} {
		wantError(t, e, with(keys, object{"operation": "write", "path": at + key, "content": "x"}), "must have a key")
	}
	for _, other := range []string{"s3://", "s3://x", "s3://../x", "s3://a..b/x", "s3://UPPER/x", "s3://user@host/x"} {
		wantError(t, e, with(keys, object{"operation": "write", "path": other, "content": "x"}), "bucket's name")
	}
	if _, err := attempt(t.Context(), t, e, 1, with(keys, object{"operation": "read", "path": at + "a", "endpoint": "http://127.0.0.1:1"})); err == nil || executors.IsPermanent(err) {
		t.Errorf("nobody listens: got %v, want one that may pass", err)
	}
	wantError(t, executorAt(file.Place{}), with(keys, object{"operation": "read", "path": at + "a", "endpoint": "http://169.254.169.254"}), "not allowed")
}

// s3Broken stands between: it cuts off or changes what the server answers.
func s3Broken(t *testing.T, s *s3Server) {
	e, root := newExecutor(t)
	bucket, keys := s.bucket(t)
	run(t, e, with(keys, object{"operation": "write", "path": "s3://" + bucket + "/x", "content": "genuine"}))
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, _ := http.NewRequestWithContext(r.Context(), r.Method, s.url+r.URL.RequestURI(), nil)
		req.Header, req.Host = r.Header, r.Host
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(resp.StatusCode)
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, "changed")
		}
	}))
	defer broken.Close()
	_, err := attempt(t.Context(), t, e, 1, with(keys, object{"operation": "copy", "source": "s3://" + bucket + "/x", "destination": "x", "endpoint": broken.URL}))
	if err == nil || executors.IsPermanent(err) || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("got %v, want an error about the checksum that may pass", err)
	}
	wantFiles(t, root, "")
}

// s3Identity has a token service that answers as Amazon's does, with the keys of the real store.
func s3Identity(t *testing.T, s *s3Server) {
	e, _ := newExecutor(t)
	bucket, _ := s.bucket(t)
	token := filepath.Join(t.TempDir(), "token")
	put(t, token, "kubernetes-token")
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		if r.Form.Get("Action") != "AssumeRoleWithWebIdentity" || r.Form.Get("WebIdentityToken") != "kubernetes-token" || r.Form.Get("RoleArn") != "arn:aws:iam::1:role/r" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>%s</AccessKeyId>
			<SecretAccessKey>%s</SecretAccessKey><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, accessKey, secretKey, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	defer sts.Close()
	in := object{"operation": "write", "path": "s3://" + bucket + "/x", "content": "x", "endpoint": s.url, "identity": "web_identity", "role_arn": "arn:aws:iam::1:role/r", "token_file": token, "sts_endpoint": sts.URL}
	wantError(t, e, in, "identity is for connections")
	call, _ := conformance.Call(t, in)
	call.Connection = "store"
	if _, err := outcome(t, e, t.Context(), call); err != nil {
		t.Error(err)
	}
	if got := s.objects(t, bucket); got != "x=x" {
		t.Errorf("objects: %s", got)
	}
}

// s3Examples gives the examples a bucket of the test's instead of those that they name.
func s3Examples(t *testing.T, s *s3Server) {
	e, root := newExecutor(t)
	bucket, keys := s.bucket(t)
	put(t, filepath.Join(root, "exports", "orders.csv"), "id\n1\n")
	put(t, filepath.Join(root, "inbox", "delivery.zip"), zipped(t, 0o644, "a"))
	for _, example := range e.Describe().Examples {
		text := strings.ReplaceAll(string(example.Inputs), "s3://archive/", "s3://"+bucket+"/")
		var in object
		decode(t, text, &in)
		delete(in, "connection")
		run(t, e, with(keys, in))
	}
	wantFiles(t, filepath.Join(root, "work"), "delivery/ delivery/a=../outside")
	if got := s.objects(t, bucket); got != "2026/orders.csv=id\n1\n" {
		t.Errorf("objects: %s", got)
	}
}
