package fill_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/taskgrove/taskgrove/executors/excel"
)

// child is set in the process whose memory is measured.
const child = "TASKGROVE_TEST_EXCEL_ROWS"

// A process that writes many rows needs no more memory than for few. TASKGROVE_TEST_EXCEL_ROWS sets another number than this test's:
// with 1000000 the process has to stay below 512 MiB, too, which is what the specification asks for.
func TestMemory(t *testing.T) {
	n := 60_000
	if wanted, err := strconv.Atoi(os.Getenv(child)); err == nil {
		n = wanted
	}
	if os.Getenv("TASKGROVE_TEST_EXCEL_CHILD") == "" {
		self := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemory$", "-test.v")
		self.Env = append(os.Environ(), "TASKGROVE_TEST_EXCEL_CHILD=1")
		out, err := self.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		t.Logf("%s", out)
		return
	}
	d := newDesk(t)
	d.template("t.xlsx", report)
	f, err := os.Create(d.path("s.csv"))
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "id,name,price,at,ok,a,b,c,d,e")
	for i := range n {
		fmt.Fprintf(w, "%d,\"name, of %d\",%d.25,2026-01-02T10:00:00,true,text %d,x%d,%d,some longer text for this cell %d,%d\n", i, i, i, i%1000, i, i*7, i, -i)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	result, err := d.run(excel.FillFromFile, `{"template_path": "@t.xlsx", "output": "@o.xlsx", "targets": [{"name": "o", "type_cast": "basic", "source_path": "@s.csv"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := written(t, result, 0), fmt.Sprintf("DATA_o A1 %dx10 false", n+1); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("the peak of memory is not told here")
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	kib, _ := strconv.Atoi(strings.Fields(peak)[0])
	info, _ := os.Stat(d.path("o.xlsx"))
	t.Logf("%d rows of 10 cells: peak %d MiB, workbook %d MiB", n, kib>>10, info.Size()>>20)
	if kib > 512<<10 {
		t.Errorf("the process needed %d MiB", kib>>10)
	}
}
