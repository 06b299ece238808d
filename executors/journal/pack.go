package journal

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// MaxBytes is what a checkpoint holds.
const MaxBytes = 64 << 10

const (
	maxUnpacked = 8 << 20 // of what is read
	maxPlain    = 4 << 20 // of what is tried to be packed
)

// packed is how a record is stored that is too long as it is.
type packed struct {
	Version int    `json:"journal"`
	Gzip    []byte `json:"gzip"`
}

var errTooLarge = errors.New("the journal does not fit a checkpoint")

// pack is the record as a checkpoint. One that is too long is compressed. If that does not do, answers of tools are cut, the more of them the
// longer: a model that misses something of them can use the tool again.
func (r *record) pack() (json.RawMessage, error) {
	for _, most := range []int{maxPlain, 4 << 10, 1 << 10, 256} {
		cut := r
		if most < maxPlain {
			cut = r.cut(most)
		}
		text, err := json.Marshal(cut)
		if err != nil {
			return nil, err
		}
		if len(text) <= MaxBytes {
			return text, nil
		}
		if len(text) > maxPlain {
			continue
		}
		if text, err = compress(text); err != nil || len(text) <= MaxBytes {
			return text, err
		}
	}
	return nil, errTooLarge
}

// cut is the record with shorter answers of tools.
func (r *record) cut(most int) *record {
	out := *r
	out.Lanes = make(map[string]*lane, len(r.Lanes))
	for at, l := range r.Lanes {
		short := *l
		short.Steps = make([]Step, len(l.Steps))
		for i, s := range l.Steps {
			if s.Used != nil && len(s.Used.Text) > most {
				used := *s.Used
				used.Text = fmt.Sprintf("%s [cut when the work went on in another attempt: %d bytes in all; use the tool again if you need the rest]",
					strings.ToValidUTF8(used.Text[:most], ""), len(used.Text))
				s.Used = &used
			}
			short.Steps[i] = s
		}
		out.Lanes[at] = &short
	}
	return &out
}

func compress(text []byte) (json.RawMessage, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(text); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return json.Marshal(packed{version, out.Bytes()})
}

// unpack is the text of a record.
func unpack(checkpoint json.RawMessage) ([]byte, error) {
	var p packed
	if len(checkpoint) > 2*MaxBytes || json.Unmarshal(checkpoint, &p) != nil {
		return nil, errors.New("it is no journal")
	}
	if p.Gzip == nil {
		return checkpoint, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(p.Gzip))
	if err != nil {
		return nil, errors.New("it is damaged")
	}
	text, err := io.ReadAll(io.LimitReader(z, maxUnpacked+1))
	if err != nil || len(text) > maxUnpacked {
		return nil, errors.New("it is damaged")
	}
	return text, nil
}
