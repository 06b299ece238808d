package executors_test

import (
	"encoding/json"
	"io"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/taskgrove/taskgrove/executors"
)

func schemaOf[T any]() func() (string, error) {
	return func() (string, error) {
		text, err := executors.Schema[T]()
		return string(text), err
	}
}

type page struct {
	Size int    `json:"size" minimum:"1" maximum:"100" jsonschema:"rows in a page"`
	Sort string `json:"sort,omitempty" enum:"up,down"`
}

type Node struct {
	Name  string `json:"name"`
	Below []Node `json:"below,omitempty"`
}

type embedding struct {
	page
	*Node
	Size float64 `json:"size"`
}

type (
	deepest struct{ X string }
	deeper  struct{ deepest }
	shallow struct{ X int }
	other   struct{ X bool }
	naming  struct {
		Y string `json:"X"`
	}
	circle   *circle
	behind   struct{ *shallow }
	behindAs struct {
		*shallow `json:"s"`
	}
)

func TestSchema(t *testing.T) {
	for name, tt := range map[string]struct {
		schema func() (string, error)
		want   string
	}{
		"fields and their tags": {schemaOf[page](), `{"type":"object","properties":{` +
			`"size":{"type":"integer","description":"rows in a page","minimum":1,"maximum":100},"sort":{"type":"string","enum":["up","down"]}},"required":["size"]}`},
		"pointers are optional": {schemaOf[struct {
			A *int
			B *string `json:"b" enum:"x"`
		}](), `{"type":"object","properties":{"A":{"type":["integer","null"]},"b":{"type":["string","null"],"enum":["x",null]}}}`},
		"names": {schemaOf[struct {
			A      bool `json:"-"`
			C      int  `json:",string"`
			hidden int
		}](), `{"type":"object","properties":{"C":{"type":"string"}},"required":["C"]}`},
		"lists and maps":        {schemaOf[map[string][]uint8](), `{"type":["object","null"],"additionalProperties":{"type":["string","null"],"contentEncoding":"base64"}}`},
		"arrays":                {schemaOf[[2]int8](), `{"type":"array","items":{"type":"integer","minimum":-128,"maximum":127},"minItems":2,"maxItems":2}`},
		"unsigned":              {schemaOf[[]uint32](), `{"type":["array","null"],"items":{"type":"integer","minimum":0,"maximum":4294967295}}`},
		"numbers as keys":       {schemaOf[map[int]float32](), `{"type":["object","null"],"additionalProperties":{"type":"number"}}`},
		"times":                 {schemaOf[time.Time](), `{"type":"string","format":"date-time"}`},
		"numbers of any length": {schemaOf[json.Number](), `{"type":"number"}`},
		"what reads text":       {schemaOf[*netip.Addr](), `{"type":["string","null"]}`},
		"what reads JSON":       {schemaOf[json.RawMessage](), `{}`},
		"anything":              {schemaOf[any](), `{}`},
		"a type in itself":      {schemaOf[Node](), `{"type":"object","properties":{"below":{"type":["array","null"],"items":{}},"name":{"type":"string"}},"required":["name"]}`},
		"embedded ones lend":    {schemaOf[embedding](), `{"type":"object","properties":{"below":{"type":["array","null"],"items":{}},"name":{"type":"string"},"size":{"type":"number"},"sort":{"type":"string","enum":["up","down"]}},"required":["size"]}`},
		"the least deep one counts": {schemaOf[struct {
			shallow
			deeper
		}](), `{"type":"object","properties":{"X":{"type":"integer"}},"required":["X"]}`},
		"of two at one depth none counts": {schemaOf[struct {
			shallow
			other
			Z int
		}](), `{"type":"object","properties":{"Z":{"type":"integer"}},"required":["Z"]}`},
		"of two at one depth the tagged one counts": {schemaOf[struct {
			shallow
			naming
		}](), `{"type":"object","properties":{"X":{"type":"string"}},"required":["X"]}`},
		"structs of the library": {schemaOf[url.URL](), ""},
	} {
		got, err := tt.schema()
		if err != nil || tt.want != "" && got != tt.want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", name, err, got, tt.want)
		}
	}
}

func TestSchemaNamesWhatHasNone(t *testing.T) {
	for want, schema := range map[string]func() (string, error){
		".Done: type chan int has no form in JSON": schemaOf[struct{ Done chan int }](),
		".A[].B{}: type func() has no form in JSON": schemaOf[struct {
			A []struct{ B map[string]func() }
		}](),
		".C: type complex128 has no form in JSON":    schemaOf[struct{ C complex128 }](),
		".M: keys of type bool have no form in JSON": schemaOf[struct{ M map[bool]int }](),
		".R: type io.Reader has no form in JSON":     schemaOf[struct{ R io.Reader }](),
		"two fields are called B in JSON": schemaOf[struct {
			A int `json:"B"`
			B int
		}](),
		".P: type executors_test.circle points only to itself": schemaOf[struct{ P circle }](),
		"behind.X: encoding/json can't set the embedded *executors_test.shallow, as that type is not exported: embed it without the pointer, or export it":         schemaOf[behind](),
		"behindAs.shallow: encoding/json can't set the embedded *executors_test.shallow, as that type is not exported: embed it without the pointer, or export it": schemaOf[behindAs](),
		`.A: minimum "a": not a number`: schemaOf[struct {
			A int `minimum:"a"`
		}](),
		`.A: maximum "1": only numbers have it`: schemaOf[struct {
			A bool `maximum:"1"`
		}](),
		".A: enum is for a string, not for int": schemaOf[struct {
			A int `enum:"1"`
		}](),
	} {
		if got, err := schema(); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %s, %v, want the end %q", got, err, want)
		}
	}
}
