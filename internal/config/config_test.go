package config

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const good = `repository: {location: /srv/repo}
sources:
  web1:
    address: web1
    paths: [/srv]
`

func TestParseRejects(t *testing.T) {
	source := func(fields string) string {
		return "sources:\n  web1:\n    address: web1\n    paths: [/srv]\n    " + fields + "\n"
	}
	tests := []struct{ name, text, says string }{
		{"unknown field", source("pathes: [/x]"), `line 5: there is no "pathes" here; did you mean "paths"?`},
		{"unknown field, nothing like it", source("zzzzzzzzzzzzzzzzzzzzzz: 1"), `there are address, transport,`},
		{"unknown section", "source: {}", `line 1: there is no "source" here; did you mean "sources"?`},
		{"unknown field of a guard", source("guards: {shrinks: 5%}"), `did you mean "shrink"?`},
		{"two documents", "parallel: 1\n---\nparallel: 2\n", "more than one document"},
		{"no list", source("tags: home"), `line 5: a list, as [one, two], is needed here, not "home"`},
		{"no number", source("keep: {daily: many}"), `line 5: a whole number is needed here, not "many"`},
		{"no switch", source("one_file_system: sometimes"), `line 5: true or false is needed here, not "sometimes"`},
		{"no mapping", source("ssh: key"), `line 5: a mapping, as {name: value}, is needed here, not "key"`},
		{"a field twice", source("paths: [/b]"), `line 5: mapping key "paths" already defined`},
		{"no address", "sources:\n  web1:\n    paths: [/srv]\n", `line 2: source "web1": address is missing`},
		{"address of this machine", source("transport: local"), `line 3: source "web1": transport local has no address`},
		{"address as default", "defaults:\n  every: 1d\n  address: x\n", "line 3: defaults: an address is no default"},
		{"unknown transport", source("transport: lokal"), `line 5: source "web1": transport "lokal": there are agent, sftp, local`},
		{"unknown transport as default", "defaults:\n  transport: lokal\n" + good[len("repository: {location: /srv/repo}\n"):], `line 2: source "web1": transport "lokal"`},
		{"nothing to pull", "sources:\n  web1:\n    address: web1\n", "line 2: source \"web1\": there is nothing to pull"},
		{"relative path", "sources:\n  web1:\n    address: web1\n    paths:\n    - /a\n    - b\n", `line 6: source "web1": path "b"`},
		{"long path", source("devices: [/dev/../dev/sda]"), `line 5: source "web1": path "/dev/../dev/sda"`},
		{"path twice", source("devices: [/srv]"), `path "/srv" stands twice`},
		{"path with a line break", source(`devices: ["/a\nb"]`), "without control characters"},
		{"address as an option", "sources:\n  web1:\n    address: -oProxyCommand=sh\n    paths: [/srv]\n", `line 3: source "web1": address "-oProxyCommand=sh"`},
		{"key as an option", source("ssh: {identity: -x}"), `line 5: source "web1": ssh identity "-x"`},
		{"agent command with a line break", source(`ssh: {agent_command: "snap\nagent"}`), "ssh agent_command"},
		{"host with a control character", source(`host: "a\tb"`), "host"},
		{"empty tag", source(`tags: [""]`), "tag"},
		{"name with a slash", "sources:\n  a/b: {address: x, paths: [/srv]}\n", `line 2: source "a/b": name "a/b"`},
		{"name with a dot first", "sources:\n  .a: {address: x, paths: [/srv]}\n", "a dot"},
		{"name as an option", "sources:\n  -a: {address: x, paths: [/srv]}\n", "begin with -"},
		{"stream with a slash", source("streams: [{name: a/b}]"), `line 5: source "web1": stream "a/b"`},
		{"stream twice", source("streams: [{name: a}, {name: a}]"), `stream "a" stands twice`},
		{"stream where a path is", source("streams: [{name: srv}]"), `line 5: source "web1": stream "srv": it lies at the top`},
		{"unknown kind", source("streams: [{name: a, kind: postgres}]"), `did you mean "postgresql"?`},
		{"streams without an agent", "sources:\n  here:\n    transport: local\n    streams: [{name: a}]\n", "line 4: source \"here\": streams need the agent"},
		{"snapshot twice", source("snapshots: [a, a]"), `line 5: source "web1": snapshot "a" stands twice`},
		{"snapshots without an agent", "sources:\n  here:\n    transport: local\n    paths: [/a]\n    snapshots: [a]\n", "line 5: source \"here\": snapshots need the agent"},
		{"unknown kind of stream", source("streams: [{name: a, kind: postgres}]"), `kind "postgres": there are postgresql, mysql, mariadb, sqlite, command; did you mean "postgresql"?`},
		{"a tab", "sources:\n\tweb1:\n", `not by tabs`},
		{"unknown compression", source("compress: yes"), `compress "yes": there are auto, on, off`},
		{"bad pattern", source(`exclude: ["[a"]`), "line 5"},
		{"path left out", source("exclude: ['*.LOG', /srv]"), `line 4: source "web1": path "/srv": exclude leaves it out`},
		{"path in what is left out, in another case", source("iexclude: [/SRV]\n    devices: [/dev/sda]"), `add "!/srv" to iexclude`},
		{"bad marker", source("exclude_if_present: [a/b]"), "exclude_if_present"},
		{"no time span", source("every: 1 day"), `line 5: "1 day" is no time span`},
		{"a list as a time span", source("every: [1d]"), "is no time span"},
		{"no size", source("exclude_larger_than: big"), `line 5: "big" is no size`},
		{"not a number as a size", source("exclude_larger_than: NaN"), "is no size"},
		{"negative size", source("limits: {bytes: -1}"), "is no size"},
		{"no share", source("guards: {shrink: 0.5}"), `line 5: "0.5" is no share: write 50%`},
		{"not a number as a share", source("guards: {shrink: NaN%}"), "is no share"},
		{"more than all", source("guards: {shrink: 101%}"), "is no share"},
		{"negative limit", source("limits: {entries: -1}"), "entries: -1 is below zero"},
		{"negative retention", source("keep: {daily: -1}"), "line 5: source \"web1\": keep: -1 is below zero"},
		{"empty retention", source("keep: {daily: 0}"), "keep: it keeps nothing"},
		{"canary without a path", source("guards: {canaries: [x]}"), `canary "x"`},
		{"command without an end", source(`hooks: {before: ["say 'hello"]}`), "is no command"},
		{"empty command", source(`hooks: {before: [[]]}`), "an empty command"},
		{"too many at a time", "parallel: 257\n", "line 1: parallel: 257 is not 1 to 256"},
		{"none at a time", "\nparallel: -1\n", "line 2: parallel"},
		{"no YAML", "a: [", "line 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.text))
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
}

func TestDefaultsFillWhatIsNotSet(t *testing.T) {
	c, err := Parse([]byte(`
defaults:
  every: 6h
  tags: [all]
  exclude: ["*.tmp"]
  one_file_system: true
  keep: {daily: 7}
  ssh: {identity: /key, known_hosts: /known}
  guards: {shrink: 10%}
  hooks: {timeout: 1m, finally: ["true"]}
sources:
  plain: {address: a, paths: [/srv]}
  own:
    address: b
    paths: [/srv]
    every: 1h
    tags: [mine]
    exclude: []
    one_file_system: false
    keep: {weekly: 4}
    ssh: {identity: /other}
    guards: {shrink: 0%, changed: 100%}
    hooks: {finally: []}
`))
	if err != nil {
		t.Fatal(err)
	}
	plain, own := c.Sources["plain"], c.Sources["own"]
	yes, no := true, false
	share := func(p Percent) *Percent { return &p }
	want := Source{Address: "a", Transport: TransportAgent, Paths: []string{"/srv"}, Every: Duration(6 * time.Hour), Tags: []string{"all"}, Exclude: []string{"*.tmp"},
		OneFileSystem: &yes, Keep: &Keep{Daily: 7}, SSH: SSH{Identity: "/key", KnownHosts: "/known", Agent: "snap agent"}, Compress: "auto",
		Guards: Guards{Shrink: share(0.1), Changed: share(0.3), Renamed: share(0.5)}, Limits: Limits{Time: Duration(24 * time.Hour)},
		Hooks: Hooks{Timeout: Duration(time.Minute), Finally: []Command{{"true"}}}}
	if !reflect.DeepEqual(plain, want) {
		t.Errorf("plain: %+v\nwant %+v", plain, want)
	}
	want.Address, want.Every, want.Tags, want.Exclude, want.OneFileSystem, want.Keep = "b", Duration(time.Hour), []string{"mine"}, []string{}, &no, &Keep{Weekly: 4}
	want.SSH.Identity, want.Guards.Shrink, want.Guards.Changed, want.Hooks.Finally = "/other", share(0), share(1), []Command{}
	if !reflect.DeepEqual(own, want) {
		t.Errorf("own: %+v\nwant %+v", own, want)
	}
	if c.Parallel != DefaultParallel {
		t.Errorf("parallel: %d", c.Parallel)
	}
}

// TestBuiltInIsWhatTheDocsSay keeps the texts of fields and what holds without them together.
func TestBuiltInIsWhatTheDocsSay(t *testing.T) {
	says := func(v any, field, text string) {
		f, _ := reflect.TypeOf(v).FieldByName(field)
		if !strings.Contains(f.Tag.Get("doc"), text) {
			t.Errorf("%s: %q does not say %q", field, f.Tag.Get("doc"), text)
		}
	}
	b := builtIn()
	percent := func(p *Percent) string {
		node, err := nodeOf(reflect.ValueOf(p))
		if err != nil {
			t.Fatal(err)
		}
		return "default " + node.Value
	}
	says(Source{}, "Transport", b.Transport+" (default)")
	says(Source{}, "Every", "default "+b.Every.String())
	says(Source{}, "Compress", b.Compress+" (default)")
	says(SSH{}, "Agent", "default: "+b.SSH.Agent)
	says(Limits{}, "Time", "default 24h")
	says(Hooks{}, "Timeout", "default "+b.Hooks.Timeout.String())
	says(Guards{}, "Shrink", percent(b.Guards.Shrink))
	says(Guards{}, "Changed", percent(b.Guards.Changed))
	says(Guards{}, "Renamed", percent(b.Guards.Renamed))
	says(Config{}, "Parallel", "default 4")
}

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadFolder(t *testing.T) {
	dir := folder(t, map[string]string{
		"10-general.yaml": "repository: {location: /srv/repo}\nparallel: 7\ndefaults: {every: 2d}\n",
		"20-web.yaml":     "sources:\n  web1: {address: web1, paths: [/srv]}\n",
		"30-empty.yaml":   "# nothing yet\n",
		"notes.txt":       "no: [yaml",
		".hidden.yaml":    "no: [yaml",
	})
	c, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if c.Repository.Location != "/srv/repo" || c.Parallel != 7 || c.Sources["web1"].Every != Duration(48*time.Hour) {
		t.Errorf("%+v", c)
	}
	for name, test := range map[string]struct{ text, says string }{
		"source twice":     {"sources:\n\n  web1: {address: web2, paths: [/srv]}\n", "40.yaml: line 3: source \"web1\" stands in " + dir + "/20-web.yaml already"},
		"defaults twice":   {"defaults: {every: 1d}\n", "40.yaml: line 1: defaults stands in " + dir + "/10-general.yaml already"},
		"repository twice": {"\nrepository: {location: /b}\n", "40.yaml: line 2: repository stands in " + dir + "/10-general.yaml already"},
		"parallel twice":   {"parallel: 3\n", "40.yaml: line 1: parallel stands in"},
		"error in a field": {"sources:\n  web2:\n    address: web2\n    paths: [srv]\n", "40.yaml: line 4: source \"web2\": path"},
		"unknown field":    {"sources:\n  web2:\n    adress: web2\n", "40.yaml: line 3: there is no \"adress\""},
	} {
		if err := os.WriteFile(filepath.Join(dir, "40.yaml"), []byte(test.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: error %v, want one that says %q", name, err, test.says)
		}
	}
}

// TestLoadFolderRefuses: what somebody may take for a part of the configuration is not passed over, and a folder that everybody can write to is none. The
// hooks of the other files are known all the same.
func TestLoadFolderRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(dir string) error
		says  string
		hooks bool
	}{
		"other suffix":   {func(dir string) error { return os.WriteFile(dir+"/b.yml", nil, 0o600) }, "/b.yml: it would not be read: name it b.yaml", true},
		"large letters":  {func(dir string) error { return os.WriteFile(dir+"/B.YAML", nil, 0o600) }, "/B.YAML: it would not be read: name it B.yaml", true},
		"folder":         {func(dir string) error { return os.Mkdir(dir+"/b.yaml", 0o700) }, "/b.yaml: it is no file", true},
		"open to all":    {func(dir string) error { return os.Chmod(dir, 0o777) }, "everybody can put files into it", false},
		"open to a user": {func(dir string) error { return os.Chmod(dir, 0o775) }, "", true},
		"leads nowhere":  {func(dir string) error { return os.Symlink("none", dir+"/b.yaml") }, "/b.yaml: no such file", true},
	} {
		dir := folder(t, map[string]string{"a.yaml": "sources:\n  web1: {address: web1, paths: [/srv], hooks: {finally: [\"true\"]}}\n"})
		if err := test.spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: error %v, want one that says %q", name, err, test.says)
		}
		if c := Salvage(dir); (len(c.Sources["web1"].Hooks.Finally) == 1) != test.hooks {
			t.Errorf("%s: hooks %+v", name, c.Sources)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); !errors.Is(err, ErrInvalid) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty folder: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	open := filepath.Join(dir, "open.yaml")
	if err := os.WriteFile(open, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(open); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(open, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(open); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "chmod o-w") {
		t.Errorf("a file that everybody can write to: %v", err)
	}
	large := filepath.Join(dir, "large.yaml")
	if err := os.WriteFile(large, []byte(good+"#"+strings.Repeat("x", maxFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(large); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "larger than 4 MiB") {
		t.Errorf("a large file: %v", err)
	}
}

func TestExampleIsGood(t *testing.T) {
	c, err := Parse([]byte(Example))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Sources) != 4 || len(c.Sources["web1"].Streams) != 2 {
		t.Errorf("%+v", c.Sources)
	}
}

// everything sets every field to something, by reflection.
func everything(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *Duration:
		*x = Duration(26*time.Hour + 3*time.Second)
		return
	case *Percent:
		*x = 0.07
		return
	case *Command:
		*x = Command{"say", "hello you"}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			everything(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		everything(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		everything(v.Index(0))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(5)
	case reflect.String:
		v.SetString("/some")
	}
}

func TestShownConfigurationIsTheSame(t *testing.T) {
	var s Source
	everything(reflect.ValueOf(&s).Elem())
	s.Transport, s.Compress, s.Devices = TransportAgent, "on", []string{"/dev/sda"}
	s.Snapshots = []string{"srv"}
	s.Exclude, s.IExclude = []string{"*.tmp", "!/some"}, []string{"/other"}
	s.ExcludeIfPresent = []string{".nobackup"}
	s.Streams = []Stream{{Name: "crm.sql", Kind: "postgresql"}}
	c := &Config{Repository: Repository{"/r", "/p", "cat", "/i"}, Parallel: 2, Sources: map[string]Source{"web1": s}}
	text, err := Show(c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if !reflect.DeepEqual(again, c) {
		t.Errorf("%+v\nwant %+v\n%s", again, c, text)
	}
	if !strings.Contains(text, "shrink: 7%\n") || !strings.Contains(text, "every: 1d2h3s\n") {
		t.Errorf("%s", text)
	}
	values, err := Values(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(values); err != nil {
		t.Error(err)
	}
}

// TestSchemaCoversAllFields walks structs and schema side by side.
func TestSchemaCoversAllFields(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal([]byte(text), &schema); err != nil {
		t.Fatal(err)
	}
	n := 0
	var walk func(at string, rt reflect.Type, schema map[string]any)
	walk = func(at string, rt reflect.Type, schema map[string]any) {
		switch {
		case rt == reflect.TypeFor[Command]():
		case rt.Kind() == reflect.Pointer:
			walk(at, rt.Elem(), schema)
		case rt.Kind() == reflect.Slice:
			walk(at+"[]", rt.Elem(), schema["items"].(map[string]any))
		case rt.Kind() == reflect.Map:
			walk(at+".*", rt.Elem(), schema["additionalProperties"].(map[string]any))
		case rt.Kind() == reflect.Struct:
			properties, _ := schema["properties"].(map[string]any)
			if len(properties) != rt.NumField() || schema["additionalProperties"] != false {
				t.Errorf("%s: %d properties for %d fields", at, len(properties), rt.NumField())
			}
			if fieldsOf(rt.Name()) == nil {
				t.Errorf("%s: nothing is suggested for a field of %s that is not there", at, rt.Name())
			}
			for i := range rt.NumField() {
				f := rt.Field(i)
				name, doc := f.Tag.Get("yaml"), f.Tag.Get("doc")
				p, ok := properties[name].(map[string]any)
				if !ok || name == "" || doc == "" || p["description"] != doc {
					t.Errorf("%s.%s: %v, doc %q", at, f.Name, p, doc)
					continue
				}
				n++
				walk(at+"."+name, f.Type, p)
			}
		}
	}
	walk("", reflect.TypeFor[Config](), schema)
	if n < 60 {
		t.Errorf("only %d fields were compared", n)
	}
}

func TestValues(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "15m": 15 * time.Minute, "1d12h": 36 * time.Hour, "2w": 14 * 24 * time.Hour, "0s": 0} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1", "d", "1y", "-1d", "1.5h", "99999999999d", "2147483647w", "1d 2h"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
	for text, want := range map[string]int64{"500": 500, "20 MB": 20_000_000, "3GiB": 3 << 30, "1.5 KiB": 1536, "2k": 2048, "7B": 7, "0": 0} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "NaN", "Inf", "1e30", "1 XB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
	for text, want := range map[string][]string{`a "b c" d`: {"a", "b c", "d"}, `a ''`: {"a", ""}, ` x  y `: {"x", "y"}, `a"b"c`: {"abc"}} {
		if got, err := splitWords(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}
