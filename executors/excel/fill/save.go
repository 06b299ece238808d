package fill

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/xuri/excelize/v2"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// look is a form of a style that the template lacks.
type look struct {
	style int
	kind  kind // date or datetime; text: bold
}

// book is a workbook on its way out: saved without the values of the jobs, which are put into its sheets while it is copied.
type book struct {
	t      *template
	jobs   []*job
	saved  []byte
	parts  map[string]string // of sheets, by their names
	copied map[*job][]int    // styles of the style rows, by column
	looks  map[look]int
}

// save makes the book.
func (t *template) save(ctx context.Context, jobs []*job) (*book, error) {
	b := &book{t: t, jobs: jobs, copied: map[*job][]int{}, looks: map[look]int{}}
	if err := b.write(); err != nil {
		return nil, err
	}
	changed := false
	for _, sheet := range b.sheets() {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		again, err := b.study(sheet)
		if err != nil {
			return nil, err
		}
		changed = changed || again
	}
	if changed {
		return b, b.write()
	}
	return b, nil
}

// sheets are those that jobs write into.
func (b *book) sheets() (names []string) {
	for _, j := range b.jobs {
		if !slices.Contains(names, j.sheet) {
			names = append(names, j.sheet)
		}
	}
	return names
}

func (b *book) of(sheet string) (jobs []*job) {
	for _, j := range b.jobs {
		if j.sheet == sheet {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

func (b *book) write() error {
	var out bytes.Buffer
	if err := b.t.Write(&out); err != nil {
		return badTemplate("can't be written again: %w", err)
	}
	b.saved = out.Bytes()
	z, err := zip.NewReader(bytes.NewReader(b.saved), int64(len(b.saved)))
	if err == nil {
		b.parts, err = sheetParts(z)
	}
	if err != nil {
		return badTemplate("can't be written again: %w", err)
	}
	return nil
}

// relations are those of a part of the workbook.
type relations struct {
	Relations []struct {
		ID     string `xml:"Id,attr"`
		Type   string `xml:"Type,attr"`
		Target string `xml:"Target,attr"`
	} `xml:"Relationship"`
}

func decodePart(z *zip.Reader, name string, to any) error {
	content, err := readPart(z, name)
	if err != nil {
		return err
	}
	return xml.Unmarshal(content, to)
}

func readPart(z *zip.Reader, name string) ([]byte, error) {
	f, err := z.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return io.ReadAll(f)
}

// sheetParts are the names of the parts that hold the sheets, by the names of these.
func sheetParts(z *zip.Reader) (map[string]string, error) {
	var root, own relations
	if err := decodePart(z, "_rels/.rels", &root); err != nil {
		return nil, err
	}
	workbook := ""
	for _, r := range root.Relations {
		if strings.HasSuffix(r.Type, "/officeDocument") {
			workbook = strings.TrimPrefix(r.Target, "/")
		}
	}
	var list struct {
		Sheets []struct {
			Name string `xml:"name,attr"`
			ID   string `xml:"http://schemas.openxmlformats.org/officeDocument/2006/relationships id,attr"`
		} `xml:"sheets>sheet"`
	}
	if err := decodePart(z, workbook, &list); err != nil {
		return nil, err
	}
	dir := path.Dir(workbook)
	if err := decodePart(z, path.Join(dir, "_rels", path.Base(workbook)+".rels"), &own); err != nil {
		return nil, err
	}
	parts := map[string]string{}
	for _, sheet := range list.Sheets {
		for _, r := range own.Relations {
			if r.ID != sheet.ID {
				continue
			}
			if strings.HasPrefix(r.Target, "/") {
				parts[sheet.Name] = r.Target[1:]
			} else {
				parts[sheet.Name] = path.Join(dir, r.Target)
			}
		}
	}
	return parts, nil
}

func (b *book) sheet(name string) (*sheetPart, error) {
	z, err := zip.NewReader(bytes.NewReader(b.saved), int64(len(b.saved)))
	if err != nil {
		return nil, err
	}
	part, err := readPart(z, b.parts[name])
	if err != nil {
		return nil, badTemplate("sheet %.100q: %w", name, err)
	}
	part = filterRange.ReplaceAllFunc(part, func(ref []byte) []byte { return bytes.ReplaceAll(ref, []byte("$"), nil) })
	s, err := cutSheet(part)
	if err != nil {
		return nil, badTemplate("sheet %.100q %w", name, err)
	}
	return s, nil
}

// filterRange is that of a sheet's filter, in which the library writes dollars that other programs don't expect.
var filterRange = regexp.MustCompile(`<autoFilter ref="[^"]*"`)

// maxShared is how many cells with shared formulas get their own.
const maxShared = 10_000

// study looks at what the jobs of a sheet write over: formats that cells keep, and formulas that others need. again: the workbook has changed.
func (b *book) study(name string) (again bool, err error) {
	jobs := b.of(name)
	s, err := b.sheet(name)
	if err != nil {
		return false, err
	}
	styles := map[look]bool{}
	want := func(j *job, style int, header bool) {
		if header && j.target.Bold {
			styles[look{style, text}] = true
		}
		if !header && j.dated {
			styles[look{style, date}], styles[look{style, datetime}] = true, true
		}
	}
	general := []int{0}
	for _, c := range s.columns {
		general = append(general, c.style)
	}
	for _, j := range jobs {
		if j.style > 0 {
			b.copied[j] = make([]int, j.cols())
			for i := range b.copied[j] {
				b.copied[j][i] = s.styleOf(j.col + i)
			}
		}
		for _, style := range general {
			want(j, style, true)
			want(j, style, false)
		}
	}
	shared := map[string]bool{} // formulas that are written over while others use them
	users := map[string][]string{}
	next := s.rows()
	for {
		r, err := next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return false, badTemplate("sheet %.100q %w", name, err)
		}
		for _, j := range jobs {
			a, some := j.written()
			inside := some && a.top <= r.n && r.n <= a.bottom
			if r.style >= 0 && (inside || r.n == j.style) {
				want(j, r.style, j.writesHeader && r.n == j.first)
				if r.n == j.style {
					for i := range b.copied[j] {
						b.copied[j][i] = r.style
					}
				}
			}
			for _, c := range r.cells {
				if i := c.col - j.col; r.n == j.style && i >= 0 && i < len(b.copied[j]) {
					b.copied[j][i] = c.style
				}
				if !inside || c.col < a.left || c.col > a.right {
					continue
				}
				want(j, c.style, j.writesHeader && r.n == j.first)
				if f := c.formula; f != nil && f.ref != "" {
					if of, err := areaOf(f.ref); err != nil || !a.holds(of) {
						if f.kind != "shared" {
							return false, j.fault("the formula of cells %.50s of sheet %.100q is one for all of them, and it would write over a part of these", f.ref, name)
						}
						shared[f.shared] = true
					}
				}
			}
		}
		for _, c := range r.cells {
			if c.formula != nil && c.formula.kind == "shared" && !slices.ContainsFunc(jobs, func(j *job) bool {
				a, some := j.written()
				return some && a.holds(area{r.n, c.col, r.n, c.col})
			}) {
				cell := columnNames[c.col] + strconv.Itoa(r.n)
				users[c.formula.shared] = append(users[c.formula.shared], cell)
			}
		}
	}
	for _, j := range jobs {
		for _, style := range b.copied[j] {
			want(j, style, true)
			want(j, style, false)
		}
	}
	if err := b.unshare(name, shared, users); err != nil {
		return false, err
	}
	return len(shared) > 0 || len(styles) > 0, b.makeLooks(styles)
}

// unshare gives cells a formula of their own that have one together with a cell that is written over.
func (b *book) unshare(sheet string, shared map[string]bool, users map[string][]string) error {
	n := 0
	for si := range shared {
		if n += len(users[si]); n > maxShared {
			return badTemplate("more than %d cells of sheet %.100q share formulas with cells that are written over", maxShared, sheet)
		}
		formulas := make([]string, len(users[si]))
		for i, cell := range users[si] {
			var err error
			if formulas[i], err = b.t.GetCellFormula(sheet, cell); err != nil {
				return badTemplate("the formula of %s!%s: %w", sheet, cell, err)
			}
		}
		for i, cell := range users[si] {
			if err := b.t.SetCellFormula(sheet, cell, formulas[i]); err != nil {
				return badTemplate("the formula of %s!%s: %w", sheet, cell, err)
			}
		}
	}
	return nil
}

// maxLooks is how many formats are derived; further ones stay as they are.
const maxLooks = 2000

// makeLooks makes the bold form of styles, and the one for dates where a style shows none.
func (b *book) makeLooks(wanted map[look]bool) error {
	for l := range wanted {
		if _, ok := b.looks[l]; ok || len(b.looks) >= maxLooks {
			continue
		}
		b.looks[l] = l.style
		style, err := b.t.GetStyle(l.style)
		if err != nil {
			continue // a style that is not there
		}
		if l.kind == text {
			if style.Font == nil {
				style.Font = &excelize.Font{}
			}
			if style.Font.Bold {
				continue
			}
			style.Font.Bold = true
		} else {
			if style.NumFmt != 0 || style.CustomNumFmt != nil && !strings.EqualFold(*style.CustomNumFmt, "General") {
				continue // the template says how it is shown
			}
			format := "yyyy-mm-dd"
			if l.kind == datetime {
				format += " hh:mm:ss"
			}
			style.CustomNumFmt = &format
		}
		if b.looks[l], err = b.t.NewStyle(style); err != nil {
			return badTemplate("a format can't be made: %w", err)
		}
	}
	return nil
}

// layers are what the jobs of a sheet write over it; end lets go of their sources.
func (b *book) layers(sheet string) (all []*layer, end func(), err error) {
	var ends []func()
	end = func() {
		for _, e := range ends {
			e()
		}
	}
	for _, j := range b.of(sheet) {
		t := j.target
		if t.AnchorClear > 0 {
			all = append(all, &layer{top: j.anchor, left: j.col, height: 1, width: min(t.AnchorClear, len(columnNames)-j.col)})
		}
		if j.writesHeader && t.HeaderClear {
			width := t.HeaderClearWidth
			if width == 0 {
				width = j.width
			}
			all = append(all, &layer{top: j.first, left: j.col, height: 1, width: min(width, len(columnNames)-j.col)})
		}
		if j.style > 0 && t.ClearStyleRow {
			all = append(all, &layer{top: j.style, left: j.col, height: 1, width: j.cols()})
		}
		a, some := j.written()
		if !some {
			continue
		}
		next, done, err := j.stream()
		if err != nil {
			return nil, end, err
		}
		ends = append(ends, done)
		all = append(all, &layer{top: a.top, left: a.left, height: j.rowsWritten(), width: j.cols(), next: next, style: b.styler(j)})
	}
	return all, end, nil
}

// styler says which style the cells of a job get.
func (b *book) styler(j *job) func(row, col, was int, v value) int {
	copied := b.copied[j]
	return func(row, col, was int, v value) int {
		header := j.writesHeader && row == j.first
		if copied != nil && (header && j.target.StyleHeader || !header && j.target.StyleData) {
			was = copied[col-j.col]
		}
		l := look{was, v.kind}
		switch {
		case header && j.target.Bold:
			l.kind = text
		case v.kind != date && v.kind != datetime:
			return was
		}
		if style, ok := b.looks[l]; ok {
			return style
		}
		if l.kind != text {
			return b.looks[look{0, l.kind}]
		}
		return was
	}
}

// What tells of the chain of calculation, which Excel makes anew: it may name cells that have lost their formulas.
var (
	chainType     = regexp.MustCompile(`<Override [^>]*calcChain[^>]*?(/>|>\s*</Override>)`)
	chainRelation = regexp.MustCompile(`<Relationship [^>]*relationships/calcChain"[^>]*?(/>|>\s*</Relationship>)`)
)

// maxSheetBytes is how large the XML of a sheet may be: what a zip file without extensions holds.
const maxSheetBytes = math.MaxUint32

// copyTo writes the workbook with the values in it.
func (b *book) copyTo(ctx context.Context, w io.Writer, progress func(done float64)) error {
	in, err := zip.NewReader(bytes.NewReader(b.saved), int64(len(b.saved)))
	if err != nil {
		return err
	}
	out := zip.NewWriter(w)
	out.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, 3) })
	filled := map[string]string{}
	for _, sheet := range b.sheets() {
		filled[b.parts[sheet]] = sheet
	}
	for _, f := range in.File {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		name := strings.ToLower(f.Name)
		switch sheet, ok := filled[f.Name]; {
		case ok:
			part, err := out.Create(f.Name)
			if err != nil {
				return err
			}
			if err := b.fillSheet(ctx, sheet, part, progress); err != nil {
				return err
			}
		case strings.HasSuffix(name, "/calcchain.xml"):
		case name == "[content_types].xml" || strings.HasSuffix(name, "/workbook.xml.rels"):
			content, err := readPart(in, f.Name)
			if err != nil {
				return err
			}
			part, err := out.Create(f.Name)
			if err != nil {
				return err
			}
			content = chainRelation.ReplaceAll(chainType.ReplaceAll(content, nil), nil)
			if _, err := part.Write(content); err != nil {
				return err
			}
		default:
			if err := out.Copy(f); err != nil {
				return err
			}
		}
	}
	return out.Close()
}

type counter struct {
	w    io.Writer
	left int64
}

var errSheetBytes = errors.New("more than 4 GiB of text")

func (c *counter) Write(p []byte) (int, error) {
	if c.left -= int64(len(p)); c.left < 0 {
		return 0, errSheetBytes
	}
	return c.w.Write(p)
}

func (b *book) fillSheet(ctx context.Context, name string, w io.Writer, progress func(done float64)) error {
	s, err := b.sheet(name)
	if err != nil {
		return err
	}
	layers, end, err := b.layers(name)
	defer end()
	if err != nil {
		return err
	}
	total, n := 0, 0
	for _, l := range layers {
		total += l.height
	}
	err = s.merge(&counter{w, maxSheetBytes}, layers, func() error {
		if n += 1000; total > 0 && n%50_000 == 0 {
			progress(min(1, float64(n)/float64(total)))
		}
		return context.Cause(ctx)
	})
	if errors.Is(err, errSheetBytes) {
		return b.of(name)[0].tooLarge("sheet %.100q has %w", name, err)
	}
	return err
}

// store writes a workbook into a file: beside it first, and then in its place.
func store(spot workdir.Spot, write func(io.Writer) error) (err error) {
	const field = "output"
	if dir := path.Dir(spot.Name); dir != "." {
		if err := spot.Root.MkdirAll(dir, 0o755); err != nil {
			return spot.Err(field, err)
		}
	}
	temporary := spot.Name + ".tmp"
	if err := spot.Root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return spot.Err(field, err)
	}
	f, err := spot.Root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return spot.Err(field, err)
	}
	defer func() {
		if err != nil {
			_ = spot.Root.Remove(temporary)
		}
	}()
	failing := &fileWriter{f: f}
	buffered := bufio.NewWriterSize(failing, 256<<10)
	if err = write(buffered); err == nil {
		err = buffered.Flush()
	}
	if failing.err != nil {
		err = spot.Err(field, failing.err)
	}
	if closed := f.Close(); err == nil && closed != nil {
		err = spot.Err(field, closed)
	}
	if err != nil {
		return err
	}
	return spot.Err(field, spot.Root.Rename(temporary, spot.Name))
}

// fileWriter knows the errors that are the file's.
type fileWriter struct {
	f   *os.File
	err error
}

func (w *fileWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

// same is the error of an output that is also read.
func same(output, other workdir.Spot, field string) error {
	to, err := output.Root.Stat(output.Name)
	if err != nil {
		return nil // there is no such file
	}
	from, err := other.Root.Stat(other.Name)
	if err == nil && os.SameFile(to, from) {
		return executors.Permanent(fmt.Errorf("output is the file that %s is", field))
	}
	return nil
}
