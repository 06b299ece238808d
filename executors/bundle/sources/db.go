//go:build !nosql

package sources

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/bundle"
	"github.com/taskgrove/taskgrove/executors/inputs"
	"github.com/taskgrove/taskgrove/executors/network"
	"github.com/taskgrove/taskgrove/executors/sql"
	"github.com/taskgrove/taskgrove/executors/table"
)

// What is asked of the table assets, unless a manifest says something else.
const (
	listSQL  = "select path, sha256, size, updated_at from assets where bundle = :bundle"
	fetchSQL = "select data from assets where bundle = :bundle and path = :path"
)

// database is a table with files.
type database struct {
	net       *network.Network
	databases *sql.Databases
	call      *executors.Call
	where     sql.Where
	origin    *bundle.Origin
}

func openDatabase(at *bundle.Place) (bundle.Source, error) {
	in, err := call(at, sql.Connection())
	if err != nil {
		return nil, err
	}
	d := &database{net: dialer(), call: in, origin: &at.Spec.Origin}
	if err := inputs.Decode(id, in, &d.where); err != nil {
		return nil, err
	}
	root, err := d.root(at.Dir)
	if err != nil {
		return nil, err
	}
	d.databases = sql.NewDatabases(sql.Config{Network: d.net, MaxSessions: 1, Place: func(string) (string, bool) { return root, true }})
	if _, faults := d.query(listSQL, d.origin.ListSQL, map[string]string{"bundle": d.origin.Bundle}); len(faults) > 0 {
		_ = d.Close()
		return nil, executors.Invalid(id, "list_sql: "+strings.Join(faults, "; "))
	}
	if _, faults := d.query(fetchSQL, d.origin.FetchSQL, map[string]string{"bundle": "", "path": ""}); len(faults) > 0 {
		_ = d.Close()
		return nil, executors.Invalid(id, "fetch_sql: "+strings.Join(faults, "; "))
	}
	return d, nil
}

// root is where the file of SQLite is, whose path is made relative to that: below the manifest, unless it is absolute.
func (d *database) root(dir string) (string, error) {
	if d.where.Database == "" && d.where.Path == "" && strings.HasPrefix(d.where.URL, "sqlite:") {
		d.where.Driver, d.where.Path, d.where.URL = "sqlite", strings.TrimPrefix(strings.TrimPrefix(d.where.URL, "sqlite:"), "///"), ""
	}
	for _, path := range []*string{&d.where.Path, &d.where.Database} {
		if filepath.IsAbs(*path) {
			*path = strings.TrimLeft(filepath.Clean(*path), "/")
			return "/", nil
		}
	}
	return filepath.Abs(dir)
}

func (d *database) query(usual, text string, params map[string]string) (*sql.Query, []string) {
	if text == "" {
		text = usual
	}
	values, _ := json.Marshal(params) // texts
	return d.databases.Query(d.call, &d.where, text, values)
}

// rows keeps those of a query, as far as a bundle may go.
type rows struct {
	columns []string
	take    func(map[string]table.Value) error
}

// Columns implements [sql.Rows].
func (r *rows) Columns(columns []table.Column) error {
	for _, c := range columns {
		r.columns = append(r.columns, strings.ToLower(c.Name))
	}
	return nil
}

// Row implements [sql.Rows].
func (r *rows) Row(values []table.Value) error {
	row := map[string]table.Value{}
	for i, v := range values {
		row[r.columns[i]] = v
	}
	return r.take(row)
}

var errEnough = errors.New("enough")

// List implements [bundle.Source].
func (d *database) List(ctx context.Context) (files []bundle.File, err error) {
	q, faults := d.query(listSQL, d.origin.ListSQL, map[string]string{"bundle": d.origin.Bundle})
	if len(faults) > 0 {
		return nil, executors.Invalid(id, "list_sql: "+strings.Join(faults, "; "))
	}
	err = q.Run(ctx, &rows{take: func(row map[string]table.Value) error {
		path, has := row["path"]
		if !has || path.Null {
			return errors.New("list_sql gives a row without path")
		}
		var size *int64
		if v, has := row["size"]; has && !v.Null {
			n, err := strconv.ParseInt(strings.TrimSuffix(string(v.Text), ".0"), 10, 64)
			if err != nil {
				return fmt.Errorf("list_sql: size of %.200q is no integer", path.Text)
			}
			size = &n
		}
		var modified any
		if v, has := row["updated_at"]; has && !v.Null {
			if modified = string(v.Text); v.Class == table.Integer || v.Class == table.Float || v.Class == table.Decimal {
				n, err := strconv.ParseFloat(string(v.Text), 64)
				if err != nil {
					return fmt.Errorf("list_sql: updated_at of %.200q is no time", path.Text)
				}
				modified = n
			}
		}
		sum := ""
		if v := row["sha256"]; !v.Null {
			sum = string(v.Text)
		}
		f, err := file(string(path.Text), sum, size, modified)
		if err != nil {
			return fmt.Errorf("list_sql: %w", err)
		}
		if files = append(files, f); len(files) > bundle.MaxFiles {
			return errEnough
		}
		return nil
	}})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, failed(err)
	}
	return files, nil
}

// Open implements [bundle.Source].
func (d *database) Open(ctx context.Context, f bundle.File) (io.ReadCloser, error) {
	q, faults := d.query(fetchSQL, d.origin.FetchSQL, map[string]string{"bundle": d.origin.Bundle, "path": f.Path})
	if len(faults) > 0 {
		return nil, executors.Invalid(id, "fetch_sql: "+strings.Join(faults, "; "))
	}
	var content []byte
	n := 0
	err := q.Run(ctx, &rows{take: func(row map[string]table.Value) error {
		if n++; n > 1 {
			return fmt.Errorf("fetch_sql gives more than one row for %.200q", f.Path)
		}
		if len(row) != 1 {
			return errors.New("fetch_sql must give one column")
		}
		for _, v := range row {
			if v.Null {
				return fmt.Errorf("fetch_sql gives nothing for %.200q", f.Path)
			}
			if v.Class == table.Bytes {
				content = make([]byte, base64.StdEncoding.DecodedLen(len(v.Text)))
				n, err := base64.StdEncoding.Decode(content, v.Text)
				if err != nil {
					return err
				}
				content = content[:n]
			} else {
				content = bytes.Clone(v.Text)
			}
		}
		return nil
	}})
	if err == nil && n == 0 {
		err = fmt.Errorf("fetch_sql gives no row for %.200q", f.Path)
	}
	if err != nil {
		return nil, failed(err)
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

// Close implements [bundle.Source].
func (d *database) Close() error {
	return errors.Join(d.databases.Close(), d.net.Close())
}
