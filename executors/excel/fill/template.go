package fill

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/xuri/excelize/v2"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/excel"
	"github.com/taskgrove/taskgrove/executors/workdir"
)

// Bounds of a template, which anybody may have made.
const (
	maxTemplate = 64 << 20  // bytes of the file
	maxInflated = 256 << 20 // bytes of all its parts
	maxXML      = 96 << 20  // bytes of those that are XML
	maxParts    = 10_000
	maxElements = 3_000_000 // of XML
	maxGrid     = 4_000_000 // cells that its sheets span, row by row
)

func badTemplate(format string, args ...any) error {
	return executors.WithKind(executors.Permanent(fmt.Errorf("template_path: "+format, args...)), excel.KindTemplate)
}

// template is a workbook as it was read.
type template struct {
	*excelize.File
	macros bool
	dates  calendar
	names  []excelize.DefinedName
}

// readTemplate reads a workbook, and refuses one that could take more memory than it should.
func readTemplate(ctx context.Context, spot workdir.Spot, scratch string) (t *template, err error) {
	f, err := openFile(spot, "template_path")
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(io.LimitReader(f, maxTemplate+1))
	switch {
	case err != nil:
		return nil, spot.Err("template_path", err)
	case len(content) > maxTemplate:
		return nil, badTemplate("is larger than %d MiB", maxTemplate>>20)
	}
	macros, err := inspectTemplate(ctx, content)
	if err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			t, err = nil, badTemplate("is no sound workbook: %.200v", p)
		}
	}()
	file, err := excelize.OpenReader(bytes.NewReader(content), excelize.Options{UnzipSizeLimit: maxInflated, UnzipXMLSizeLimit: maxXML, TmpDir: scratch, RawCellValue: true})
	if err != nil {
		return nil, badTemplate("is no workbook that can be read: %w", err)
	}
	if len(file.GetSheetList()) == 0 {
		return nil, badTemplate("has no sheets")
	}
	t = &template{File: file, macros: macros, names: file.GetDefinedName()}
	if props, err := file.GetWorkbookProps(); err == nil && props.Date1904 != nil {
		t.dates = calendar(*props.Date1904)
	}
	return t, nil
}

// inspectTemplate looks at all parts of a workbook without keeping any.
func inspectTemplate(ctx context.Context, content []byte) (macros bool, err error) {
	z, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		if bytes.HasPrefix(content, []byte("\xd0\xcf\x11\xe0")) {
			return false, badTemplate("is encrypted, or in the format of before 2007")
		}
		return false, badTemplate("is no workbook: %w", err)
	}
	if len(z.File) > maxParts {
		return false, badTemplate("has more than %d parts", maxParts)
	}
	s := &inspection{ctx: ctx, left: maxInflated, xml: maxXML}
	seen := map[string]bool{}
	for _, part := range z.File {
		name := strings.ToLower(strings.ReplaceAll(part.Name, `\`, "/"))
		switch {
		case !filepath.IsLocal(strings.TrimSuffix(name, "/")) || path.Clean(name) != strings.TrimSuffix(name, "/"):
			return false, badTemplate("has a part called %.100q", part.Name)
		case seen[name]:
			return false, badTemplate("has two parts called %.100q", part.Name)
		case part.Flags&1 != 0:
			return false, badTemplate("is encrypted")
		}
		seen[name] = true
		macros = macros || strings.HasSuffix(name, "vbaproject.bin")
		if err := s.part(part); err != nil {
			if ctx.Err() != nil {
				return false, context.Cause(ctx)
			}
			return false, badTemplate("part %.100q: %w", part.Name, err)
		}
	}
	if !seen["[content_types].xml"] {
		return false, badTemplate("is a zip file, but no workbook")
	}
	return macros, nil
}

type inspection struct {
	ctx       context.Context
	left, xml int64
	elements  int
	grid      int
}

var errBig = errors.New("is too large once it is unpacked")

// part reads a part to its end.
func (s *inspection) part(part *zip.File) error {
	if part.UncompressedSize64 > uint64(s.left) {
		return errBig
	}
	r, err := part.Open()
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // it was only read
	limited := &limitedReader{r: r, left: &s.left}
	if name := strings.ToLower(part.Name); !strings.HasSuffix(name, ".xml") && !strings.HasSuffix(name, ".rels") && !strings.HasSuffix(name, ".vml") {
		_, err := io.Copy(io.Discard, limited)
		return err
	}
	return s.document(&limitedReader{r: limited, left: &s.xml}, !strings.HasSuffix(strings.ToLower(part.Name), ".vml"))
}

type limitedReader struct {
	r    io.Reader
	left *int64
}

func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if *l.left -= int64(n); *l.left < 0 {
		return 0, errBig
	}
	return n, err
}

// document counts what a part of XML makes of memory.
func (s *inspection) document(r io.Reader, strict bool) error {
	d := xml.NewDecoder(r)
	d.Strict = strict
	sheet, row, col, depth := false, 0, 0, 0
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			if strict || errors.Is(err, errBig) {
				return err
			}
			_, err = io.Copy(io.Discard, r) // drawings of older Excels are no XML at times, and are kept as they are
			return err
		}
		switch token.(type) {
		case xml.EndElement:
			depth--
		case xml.Directive:
			return errors.New("has a document type")
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if s.elements++; s.elements > maxElements {
			return fmt.Errorf("the workbook has more than %d elements", maxElements)
		}
		if s.elements%10_000 == 0 && s.ctx.Err() != nil {
			return context.Cause(s.ctx)
		}
		if depth++; depth > 1000 {
			return errors.New("is nested too deeply")
		}
		switch name := e.Name.Local; {
		case depth == 1:
			sheet = name == "worksheet"
		case sheet && name == "row":
			before := row
			row, col = row+1, 0
			if at, ok := attribute(e, "r"); ok {
				if row = digits(at); row < 1 || row > excel.MaxRow {
					return fmt.Errorf("has a row %.20q", at)
				}
			}
			s.grid += max(1, row-before)
		case sheet && name == "c":
			before := col
			col++
			if at, ok := attribute(e, "r"); ok {
				c, _, err := excelize.CellNameToCoordinates(at)
				if err != nil {
					return fmt.Errorf("has a cell %.20q", at)
				}
				col = c
			}
			s.grid += max(1, col-before)
		}
		if s.grid > maxGrid {
			return fmt.Errorf("its sheets span more than %d cells", maxGrid)
		}
	}
}

func attribute(e xml.StartElement, name string) (string, bool) {
	for _, a := range e.Attr {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value, true
		}
	}
	return "", false
}

// digits is a number without a sign; -1: it is none.
func digits(s string) int {
	n := 0
	if s == "" || len(s) > 9 {
		return -1
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// place is a cell of a sheet.
type place struct {
	sheet    string
	row, col int
	named    bool // by a defined name
}

// sheetCalled is a sheet's name as the workbook has it.
func (t *template) sheetCalled(name string) (string, bool) {
	for _, sheet := range t.GetSheetList() {
		if strings.EqualFold(sheet, name) {
			return sheet, true
		}
	}
	return "", false
}

// reference reads A1, Sheet!A1 or 'My sheet'!$A$1:$B$2, of which the first cell counts.
func (t *template) reference(given, sheet string) (p place, ok bool, err error) {
	cell := given
	if i := strings.LastIndexByte(given, '!'); i >= 0 {
		sheet, cell = given[:i], given[i+1:]
		if len(sheet) > 1 && sheet[0] == '\'' && sheet[len(sheet)-1] == '\'' {
			sheet = strings.ReplaceAll(sheet[1:len(sheet)-1], "''", "'")
		}
	}
	cell, _, _ = strings.Cut(strings.ReplaceAll(cell, "$", ""), ":")
	col, row, bad := excelize.CellNameToCoordinates(strings.ToUpper(cell))
	if bad != nil || row > excel.MaxRow || col > excel.MaxCol {
		return p, false, nil
	}
	if sheet == "" {
		return p, true, fmt.Errorf("%.100q says no sheet", given)
	}
	name, there := t.sheetCalled(sheet)
	if !there {
		return p, true, fmt.Errorf("there is no sheet %.100q", sheet)
	}
	return place{sheet: name, row: row, col: col}, true, nil
}

// named is the first cell of a defined name: the sheet's own, or else the workbook's.
func (t *template) named(name, sheet string) (p place, ok bool, err error) {
	best := -1
	for i, n := range t.names {
		if !strings.EqualFold(n.Name, name) {
			continue
		}
		switch {
		case sheet != "" && strings.EqualFold(n.Scope, sheet):
			best = i
		case best < 0 || n.Scope == "Workbook" && !strings.EqualFold(t.names[best].Scope, sheet):
			best = i
		}
	}
	if best < 0 {
		return p, false, nil
	}
	p, ok, err = t.reference(strings.TrimPrefix(t.names[best].RefersTo, "="), "")
	if err == nil && !ok {
		err = fmt.Errorf("the defined name %.100q stands for no cell", name)
	}
	p.named = true
	return p, true, err
}

// maxScanned is how many cells are looked at for a text.
const maxScanned = 10_000

// plain is a text as anchors are compared.
func plain(s string) string {
	return strings.ToLower(strings.Join(strings.Fields(strings.ReplaceAll(s, "\u00a0", " ")), " "))
}

// search finds the first cells with texts, in one sheet or, if that is empty, in all.
func (t *template) search(texts []string, sheet string) (found map[string]place, err error) {
	wanted := map[string]bool{}
	for _, s := range texts {
		wanted[plain(s)] = true
	}
	found = map[string]place{}
	sheets := t.GetSheetList()
	if sheet != "" {
		name, ok := t.sheetCalled(sheet)
		if !ok {
			return nil, fmt.Errorf("there is no sheet %.100q", sheet)
		}
		sheets = []string{name}
	}
	for _, name := range sheets {
		left := maxScanned
		cells, err := t.Rows(name)
		if err != nil {
			if sheet == "" {
				continue // a chart, which is a sheet of its own
			}
			return nil, fmt.Errorf("sheet %.100q: %w", name, err)
		}
		for row := 1; left > 0 && cells.Next() && len(found) < len(wanted); row++ {
			columns, err := cells.Columns()
			if err != nil {
				_ = cells.Close()
				return nil, fmt.Errorf("sheet %.100q: %w", name, err)
			}
			if len(columns) == 0 {
				continue
			}
			for i, text := range columns {
				if left--; left < 0 {
					break
				}
				if text = plain(text); text != "" && wanted[text] {
					if _, ok := found[text]; !ok {
						found[text] = place{sheet: name, row: row, col: i + 1}
					}
				}
			}
		}
		_ = cells.Close()
	}
	return found, nil
}

// anchor finds where a target goes, by its anchor or cell.
func (t *template) anchor(target *excel.Target, enterprise bool) (p place, err error) {
	if target.Cell != "" {
		p, ok, err := t.reference(target.Cell, target.Sheet)
		if err == nil && !ok {
			err = fmt.Errorf("cell %.100q is none", target.Cell)
		}
		return p, err
	}
	if p, ok, err := t.named(target.Anchor, target.Sheet); ok {
		return p, err
	}
	if p, ok, err := t.reference(target.Anchor, target.Sheet); ok {
		return p, err
	}
	if enterprise && target.Sheet == "" {
		return p, errors.New("sheet is required where anchor is a text, as this pool has it")
	}
	found, err := t.search([]string{target.Anchor}, target.Sheet)
	if err != nil {
		return p, err
	}
	p, ok := found[plain(target.Anchor)]
	if !ok {
		where := "in any sheet"
		if target.Sheet != "" {
			where = fmt.Sprintf("in sheet %.100q", target.Sheet)
		}
		return p, fmt.Errorf("anchor %.100q is neither a defined name nor the text of a cell %s (the first %d cells of each are looked at)", target.Anchor, where, maxScanned)
	}
	return p, nil
}

// validate says which names are there.
func (t *template) validate(w *excel.Wanted, enterprise bool) (*excel.Valid, error) {
	v := &excel.Valid{OK: true, Names: []string{}, Cells: []excel.Anchor{}}
	var texts, missing []string
	for _, name := range w.Names {
		if slices.ContainsFunc(t.names, func(n excelize.DefinedName) bool { return strings.EqualFold(n.Name, name) }) {
			v.Names = append(v.Names, name)
		} else {
			texts = append(texts, name)
		}
	}
	if len(texts) > 0 && enterprise && w.Sheet == "" {
		return nil, badTemplate("sheet is required where names are texts of cells, as this pool has it: %.100q is no defined name", texts[0])
	}
	found, err := t.search(texts, w.Sheet)
	if err != nil {
		return nil, badTemplate("%w", err)
	}
	for _, name := range texts {
		if p, ok := found[plain(name)]; ok {
			cell, _ := excelize.CoordinatesToCellName(p.col, p.row)
			v.Cells = append(v.Cells, excel.Anchor{Name: name, Sheet: p.sheet, Cell: cell})
		} else {
			missing = append(missing, fmt.Sprintf("%.100q", name))
		}
	}
	if len(missing) > 0 {
		return nil, badTemplate("%s: neither a defined name nor the text of a cell", strings.Join(missing, ", "))
	}
	return v, nil
}
