package keyring

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/vectortest"
)

const goodConfig = `{"format":"snap","version":1,"id":"00112233445566778899aabbccddeeff","required":[],"created":"2024-02-29T12:00:00Z"}`

func TestConfigRoundTrip(t *testing.T) {
	c := newConfig(t)
	got, err := ParseConfig(c.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != c.ID || got.ID == [16]byte{} || !got.Created.Equal(testTime) || got.Sum() != c.Sum() || !bytes.Equal(got.Bytes(), c.Bytes()) {
		t.Errorf("got %+v, want %+v", got, c)
	}
	if other := newConfig(t); other.ID == c.ID {
		t.Error("two repositories have one id")
	}
}

func TestNewConfigReportsRandomSource(t *testing.T) {
	if _, err := NewConfig(bytes.NewReader(make([]byte, 15)), testTime); err == nil {
		t.Error("15 random bytes made a repository id")
	}
}

func TestParseConfig(t *testing.T) {
	edit := func(old, new string) string {
		if !strings.Contains(goodConfig, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(goodConfig, old, new, 1)
	}
	for name, tt := range map[string]struct {
		data string
		want error
		says string
	}{
		"good":                {goodConfig, nil, ""},
		"line end":            {goodConfig + "\n", nil, ""},
		"unknown member":      {edit(`{`, `{"color":{"a":[1,null]},`), nil, ""},
		"empty":               {"", ErrCorrupt, "not a JSON object"},
		"list":                {"[]", ErrCorrupt, "not a JSON object"},
		"null":                {"null", ErrCorrupt, "not a JSON object"},
		"two objects":         {goodConfig + "{}", ErrCorrupt, "behind"},
		"zero behind":         {goodConfig + "\x00", ErrCorrupt, "behind"},
		"too long":            {goodConfig + strings.Repeat(" ", 64<<10), ErrCorrupt, "limit"},
		"deep":                {edit(`{`, `{"x":`+strings.Repeat("[", 30000)+`,`), ErrCorrupt, "malformed"},
		"not UTF-8":           {edit(`{`, "{\"\xff\":1,"), ErrCorrupt, "UTF-8"},
		"member twice":        {edit(`{`, `{"version":1,`), ErrCorrupt, `"version" stands twice`},
		"member in capitals":  {edit(`"id"`, `"ID"`), ErrCorrupt, `"id"`},
		"other format":        {edit(`"snap"`, `"snip"`), ErrCorrupt, "snip"},
		"format missing":      {edit(`"format":"snap",`, ``), ErrCorrupt, `"format"`},
		"version missing":     {edit(`"version":1,`, ``), ErrCorrupt, `"version"`},
		"version 0":           {edit(`"version":1`, `"version":0`), ErrCorrupt, "version 0"},
		"version text":        {edit(`"version":1`, `"version":"1"`), ErrCorrupt, `"version"`},
		"version fraction":    {edit(`"version":1`, `"version":1.0`), ErrCorrupt, `"version"`},
		"version huge":        {edit(`"version":1`, `"version":99999999999999999999`), ErrCorrupt, `"version"`},
		"version 2":           {edit(`"version":1`, `"version":2`), ErrNewer, "version 2"},
		"version 2, others":   {`{"format":"snap","version":2}`, ErrNewer, "version 2"},
		"feature":             {edit(`[]`, `["shards"]`), ErrNewer, `"shards"`},
		"feature, others":     {`{"format":"snap","version":1,"required":["a","b"]}`, ErrNewer, `"a"`},
		"feature empty":       {edit(`[]`, `[""]`), ErrNewer, `""`},
		"feature a number":    {edit(`[]`, `[1]`), ErrCorrupt, `"required"`},
		"required null":       {edit(`[]`, `null`), ErrCorrupt, `"required"`},
		"required missing":    {edit(`"required":[],`, ``), ErrCorrupt, `"required"`},
		"id short":            {edit(`ddeeff"`, `ddee"`), ErrCorrupt, `"id"`},
		"id long":             {edit(`ddeeff"`, `ddeeff00"`), ErrCorrupt, `"id"`},
		"id odd":              {edit(`ddeeff"`, `ddeef"`), ErrCorrupt, `"id"`},
		"id in capitals":      {edit(`ddeeff"`, `DDEEFF"`), ErrCorrupt, `"id"`},
		"id null":             {edit(`"00112233445566778899aabbccddeeff"`, `null`), ErrCorrupt, `"id"`},
		"created not a time":  {edit(`2024-02-29T`, `2023-02-29T`), ErrCorrupt, `"created"`},
		"created missing":     {edit(`,"created":"2024-02-29T12:00:00Z"`, ``), ErrCorrupt, `"created"`},
		"comma at the end":    {edit(`Z"}`, `Z",}`), ErrCorrupt, "malformed"},
		"two values":          {edit(`"version":1`, `"version":1 2`), ErrCorrupt, "malformed"},
		"member without name": {edit(`"version":1`, `1`), ErrCorrupt, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := ParseConfig([]byte(tt.data))
			if !errors.Is(err, tt.want) || (tt.want == nil) != (err == nil) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if (c == nil) == (err == nil) {
				t.Fatalf("config %v with error %v", c, err)
			}
			if err == nil {
				return
			}
			if errors.Is(err, ErrCorrupt) && errors.Is(err, ErrNewer) {
				t.Errorf("%v is both damaged and newer", err)
			}
			if !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), ConfigName) {
				t.Errorf("%q does not say %q", err, tt.says)
			}
		})
	}
}

func TestParseConfigRefusesTruncation(t *testing.T) {
	for n := range len(goodConfig) {
		if _, err := ParseConfig([]byte(goodConfig[:n])); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut off at %d: %v", n, err)
		}
	}
}

// A flip that leaves snap.json readable must change the sum that slots carry.
func TestConfigBitFlipsDoNotGoUnnoticed(t *testing.T) {
	good := must(ParseConfig([]byte(goodConfig)))
	for i := range len(goodConfig) * 8 {
		data := []byte(goodConfig)
		data[i/8] ^= 1 << (i % 8)
		c, err := ParseConfig(data)
		if err == nil && c.Sum() == good.Sum() {
			t.Errorf("flip of bit %d went unnoticed", i)
		}
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
			t.Errorf("flip of bit %d: %v", i, err)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(goodConfig))
	f.Add([]byte(strings.Replace(goodConfig, "[]", `["x"]`, 1)))
	f.Add(must(NewConfig(rand.Reader, time.Now())).Bytes())
	for _, v := range vectortest.Load(f, "config") {
		f.Add(v.Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data)
		if err != nil {
			if c != nil || errors.Is(err, ErrCorrupt) == errors.Is(err, ErrNewer) {
				t.Fatalf("config %v with error %v", c, err)
			}
			return
		}
		if len(data) > maxFileSize || !bytes.Equal(c.Bytes(), data) || len(c.Required) != 0 {
			t.Fatalf("accepted %q as %+v", data, c)
		}
	})
}
