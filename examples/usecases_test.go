package examples

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/xuri/excelize/v2"
	"github.com/yeka/zip"

	"github.com/taskgrove/taskgrove/executors/mail/mailtest"
	"github.com/taskgrove/taskgrove/executors/smb/smbtest"
	"github.com/taskgrove/taskgrove/executors/ssh/sshtest"
	"github.com/taskgrove/taskgrove/flows"
	"github.com/taskgrove/taskgrove/pg/pgtest"
)

// etl is the program with the tag etl, built once for the test.
func etl(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "taskgrove")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "etl", "-o", path, "../cmd/taskgrove").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// runLocally runs a flow in one process, as docs/flows/use-cases.md shows, and gives what it has come to.
func runLocally(t *testing.T, program string, secrets []string, args ...string) *flows.Outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, append([]string{"flow", "run", "--local", "--json"}, args...)...)
	temp := openTemp(t)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + temp, "TMPDIR=" + temp}, secrets...)
	var out, notes bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &notes
	err := cmd.Run()
	if _, is := errors.AsType[*exec.ExitError](err); err != nil && !is {
		t.Fatal(err)
	}
	var got flows.Outcome
	if bad := json.Unmarshal(out.Bytes(), &got); bad != nil || err != nil || got.Outcome != "SUCCESS" {
		t.Fatalf("%v, %v: %s%s", err, bad, &out, &notes)
	}
	return &got
}

// TestUseCases: flows on real servers, each with one command.
func TestUseCases(t *testing.T) {
	program := etl(t)
	t.Run("inbox", func(t *testing.T) { inbox(t, program) })
	t.Run("report", func(t *testing.T) { ordersReport(t, program) })
	t.Run("gated", func(t *testing.T) { gated(t, program) })
}

// gated: a run fails, and goes on when the cause is mended.
func gated(t *testing.T, program string) {
	c := startDev(t, program)
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "in"), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	statuses := func(args ...string) (all string, code int) {
		t.Helper()
		out, code := c.run(t, append(args, "--json")...)
		var got flows.Outcome
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		for _, j := range got.Jobs {
			all += j.ID + "=" + j.Status + " "
		}
		return strings.TrimSpace(all), code
	}
	write("in/a", "one\n")
	write("full", "")
	if got, code := statuses("flow", "run", "flows/gated.yaml", "--run-id", "monday", "--env", "DIR="+dir); got != "probe=SUCCESS load=FAILED nothing=BLOCKED" || code != 1 {
		t.Errorf("the first try: exit code %d, %s", code, got)
	}
	if err := os.Remove(filepath.Join(dir, "full")); err != nil {
		t.Fatal(err)
	}
	if got, code := statuses("run", "resume", "monday"); got != "probe=SUCCESS load=SUCCESS nothing=SKIPPED" || code != 0 {
		t.Errorf("resumed: exit code %d, %s", code, got)
	}
	for name, want := range map[string]string{"log": "prepared\nwritten\n", "ledger": "one\n"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(text) != want {
			t.Errorf("%s is %q, %v, want %q", name, text, err, want)
		}
	}
	if err := os.Remove(filepath.Join(dir, "in", "a")); err != nil {
		t.Fatal(err)
	}
	if got, code := statuses("flow", "run", "flows/gated.yaml", "--env", "DIR="+dir); got != "probe=SUCCESS load=SKIPPED nothing=SUCCESS" || code != 0 {
		t.Errorf("without files: exit code %d, %s", code, got)
	}
}

// dev is a cluster on this machine.
type dev struct {
	program string
	env     []string
}

// startDev starts a cluster that ends with the test.
func startDev(t *testing.T, program string) *dev {
	t.Helper()
	temp := openTemp(t)
	ready := filepath.Join(temp, "ready.json")
	d := &dev{program, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + temp, "TMPDIR=" + temp}}
	cmd := exec.Command(program, "dev", "--ephemeral", "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--ready-file", ready)
	cmd.Env = append(d.env, "TASKGROVE_COMMAND_ALLOW=true")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
	})
	for end := time.Now().Add(2 * time.Minute); ; <-time.After(20 * time.Millisecond) {
		if text, err := os.ReadFile(ready); err == nil {
			var at struct{ GRPC string }
			if err := json.Unmarshal(text, &at); err != nil {
				t.Fatal(err)
			}
			d.env = append(d.env, "TASKGROVE_SERVER="+at.GRPC)
			return d
		}
		select {
		case <-ended:
			t.Fatalf("the cluster ended early: %s", &log)
		default:
		}
		if time.Now().After(end) {
			t.Fatal("the cluster does not start")
		}
	}
}

// run runs a command of the cluster, and gives what it prints.
func (d *dev) run(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), d.program, args...)
	cmd.Env = d.env
	text, err := cmd.Output()
	if _, is := errors.AsType[*exec.ExitError](err); err != nil && !is {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// openTemp is a temporary directory that every user may pass: as root, Postgres runs as another one.
func openTemp(t *testing.T) string {
	t.Helper()
	temp := t.TempDir()
	for dir := temp; dir != filepath.Dir(dir) && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return temp
}

func inbox(t *testing.T, program string) {
	k, office, smtp := sshtest.For(t), smbtest.Start(t), mailtest.Start(t, mailtest.Plain)
	dir := t.TempDir()
	for name, text := range map[string]string{"a.csv": "id,price\n1,2.50\n2,3\n", "b.csv": "id,price\n3,10\n", "note.txt": "none of ours"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "in"), 0o755), os.WriteFile(filepath.Join(dir, "in", name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	secrets := []string{"TASKGROVE_SECRET_SFTP_KEY=" + k.Read("id"), "TASKGROVE_SECRET_ZIP_PASSWORD=" + "a-long-password", "TASKGROVE_SECRET_SMB_PASSWORD=" + smbtest.Password}
	args := []string{
		"flows/inbox.yaml", "--env", "SFTP_HOST=127.0.0.1", "--env", "SFTP_PORT=" + strconv.Itoa(k.Port), "--env", "SFTP_USER=" + k.User, "--env", "SFTP_HOST_KEY=" + strings.TrimSpace(k.Read("host.pub")),
		"--env", "SFTP_DIR=" + dir, "--env", "SMB_SERVER=127.0.0.1", "--env", "SMB_PORT=" + strconv.Itoa(office.Port), "--env", "SMB_SHARE=" + smbtest.Share, "--env", "SMB_USER=" + office.User,
		"--env", "SMTP_HOST=127.0.0.1", "--env", "SMTP_PORT=" + smtp.Port,
	}
	got := runLocally(t, program, secrets, args...)
	if status := got.Jobs[1].Status; status != "SUCCESS" {
		t.Errorf("tell is %s: %+v", status, got.Jobs[1])
	}
	mail := smtp.Next(t)
	if mail.Subject != "3 orders in 2 files" || !strings.Contains(mail.Text, "15.50") || string(mail.Files["total.csv"]) != "orders,sum\n3,15.50\n" {
		t.Errorf("the mail is %+v", mail)
	}
	z, err := zip.OpenReader(filepath.Join(office.Dir, "orders", "done", "orders.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close() //nolint:errcheck // it was only read
	if len(z.File) != 3 || !z.File[0].IsEncrypted() {
		t.Errorf("the archive has %d files, encrypted is %v", len(z.File), z.File[0].IsEncrypted())
	}
	if left, err := filepath.Glob(filepath.Join(dir, "in", "*")); err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v", left, err)
	}
	// Without files nothing happens, and nobody gets a mail.
	got = runLocally(t, program, secrets, args...)
	if got.Jobs[0].Status != "SKIPPED" || got.Jobs[1].Status != "BLOCKED" {
		t.Errorf("without files: %s, %s", got.Jobs[0].Status, got.Jobs[1].Status)
	}
}

func ordersReport(t *testing.T, program string) {
	smtp := mailtest.Start(t, mailtest.Plain)
	url := pgtest.Database(t)
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context()) //nolint:errcheck // the test is over
	if _, err := db.Exec(t.Context(), "create table orders (id int, what text, price numeric(8,2), day date)"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), "insert into orders values (1, 'pears', 7.50, '2026-11-28'), (2, '=1+1', 3, '2026-11-28'), (3, 'other', 1, '2026-11-29')"); err != nil {
		t.Fatal(err)
	}
	templates := t.TempDir()
	template := excelize.NewFile()
	if err := errors.Join(template.SetSheetName("Sheet1", "Report"), template.SetCellFormula("Report", "B1", "SUM(DATA_orders!C2:C100)"), template.SaveAs(filepath.Join(templates, "report.xlsx"))); err != nil {
		t.Fatal(err)
	}
	secrets := []string{"TASKGROVE_SECRET_DB_URL=" + url, "TASKGROVE_FILE_ROOT=" + templates}
	runLocally(t, program, secrets, "flows/orders_report.yaml", "--set", "day=2026-11-28", "--env", "TEMPLATES="+templates, "--env", "SMTP_HOST=127.0.0.1", "--env", "SMTP_PORT="+smtp.Port)
	mail := smtp.Next(t)
	book, err := excelize.OpenReader(bytes.NewReader(mail.Files["report.xlsx"]))
	if err != nil {
		t.Fatalf("%v, the mail is %q with %d files", err, mail.Subject, len(mail.Files))
	}
	rows, err := book.GetRows("DATA_orders")
	if err != nil || fmt.Sprint(rows) != "[[id what price] [1 pears 7.5] [2 =1+1 3]]" {
		t.Errorf("the data are %v, %v", rows, err)
	}
	if formula, err := book.GetCellFormula("Report", "B1"); err != nil || formula != "SUM(DATA_orders!C2:C100)" {
		t.Errorf("the formula is %q, %v", formula, err)
	}
	if mail.Subject != "Orders of 2026-11-28" || !strings.Contains(mail.Text, "2 orders.") {
		t.Errorf("the mail is %+v", mail)
	}
}
