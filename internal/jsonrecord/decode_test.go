package jsonrecord

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

type thing struct {
	Version int               `json:"version"`
	Name    string            `json:"name"`
	List    []map[string]any  `json:"list,omitempty"`
	Words   map[string]string `json:"words"`
	Hidden  string            `json:"-"`
}

func TestDecodeReadsObjects(t *testing.T) {
	for _, body := range []string{
		`{"version":1,"name":"x"}`,
		" \n{ \"name\" : \"x\" , \"version\" : 1 , \"list\" : [ { \"a\" : [ 1 , { } ] } , { } ] } \t",
		`{"version":1,"name":"x","future":{"version":9,"version":"}\"]"},"words":{"a\\":"\\","b":"{["}}`,
		`{"future":"ü","version":1,"name":"x","more":null,"n":-1.5e3,"t":true}`,
	} {
		var v thing
		if err := Decode([]byte(body), &v, 1, "name"); err != nil || v.Version != 1 || v.Name != "x" {
			t.Errorf("%s: got %+v, %v", body, v, err)
		}
	}
}

func TestDecodeTellsCorruptFromNewer(t *testing.T) {
	for body, want := range map[string]error{
		``:                                    ErrCorrupt,
		`null`:                                ErrCorrupt,
		`[{"version":1}]`:                     ErrCorrupt,
		`{"version":1`:                        ErrCorrupt,
		`{"version":1}x`:                      ErrCorrupt,
		`{}`:                                  ErrCorrupt,
		`{"name":"x"}`:                        ErrCorrupt,
		`{"version":0}`:                       ErrCorrupt,
		`{"version":-1}`:                      ErrCorrupt,
		`{"version":1.0}`:                     ErrCorrupt,
		`{"version":"1"}`:                     ErrCorrupt,
		`{"version":null}`:                    ErrCorrupt,
		`{"version":1}`:                       ErrCorrupt, // no name
		"{\"version\":1,\"name\":\"\xff\"}":   ErrCorrupt,
		`{"version":1,"name":null}`:           ErrCorrupt,
		`{"version":1,"Name":"x"}`:            ErrCorrupt,
		`{"version":1,"name":"x","NAME":"y"}`: ErrCorrupt,
		`{"version":1,"name":"x","name":"x"}`: ErrCorrupt,
		`{"version":1,"name":"x","n\u0061me":"y"}`:  ErrCorrupt,
		`{"version":1,"name":"x","u":1,"u":1}`:      ErrCorrupt,
		`{"version":1,"name":5}`:                    ErrCorrupt,
		`{"version":2}`:                             ErrNewer,
		`{"version":2,"name":{"first":"x"}}`:        ErrNewer,
		`{"list":7,"version":18446744073709551615}`: ErrNewer,
	} {
		var v thing
		if err := Decode([]byte(body), &v, 1, "name"); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", body, err, want)
		}
	}
}

// FuzzDecode compares with encoding/json: what Decode takes is what that makes of it.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"x","list":[{"a":[1,"]}"]}],"words":{"a":"b"}} `))
	f.Add([]byte(`{"version":1,"n\u0061me":"\\\"","x":[[],{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var got, want thing
		err := Decode(body, &got, 1)
		plain := json.Unmarshal(body, &want)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
				t.Fatal(err)
			}
			return
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if plain != nil || got.Version != 1 || string(a) != string(b) || strings.Contains(string(a), "Hidden") {
			t.Fatalf("got %s, want %s, %v", a, b, plain)
		}
	})
}
