package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

const snapshotText = `{"version":1,"time":"2024-02-29T12:00:00.000000005Z","end":"2024-02-29T12:01:00Z","source":"0102030405060708090a0b0c0d0e0f10",` +
	`"source_name":"host:/home","sequence":7,"previous":"` + sixtyFour + `","host":"host","uid":0,"gid":0,"paths":["/home"],"tags":["a","b"],` +
	`"root":"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf","program":"snap 1.0.0"}`

const sixtyFour = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// changed replaces the only place where old stands.
func changed(s, old, by string) []byte { return replace([]byte(s), []byte(old), []byte(by)) }

func snapshots(m *maker) {
	want := []string{"root a0a1a2a3a4a5a6a7a8a9aaabacadaeaf", "source 0102030405060708090a0b0c0d0e0f10", `source_name "host:/home"`, "time 2024-02-29T12:00:00.000000005Z", "sequence 7", `tags ["a" "b"]`}
	m.add("snapshot", "ok", "ok", "a record with most members", nil, []byte(snapshotText), want...)
	m.add("snapshot", "ok-unknown-member", "ok", "an unknown member is ignored", nil, changed(snapshotText, `"uid":0`, `"future":{"x":[1]},"uid":0`), want...)
	odd := append([]string(nil), want...)
	odd[2] = `source_name "a\xff"`
	m.add("snapshot", "ok-bytes", "ok", "a name that is no text", nil, changed(snapshotText, `"source_name":"host:/home"`, `"source_name":{"b64":"Yf8="}`), odd...)
	zoned := append([]string(nil), want...)
	zoned[3] = "time 2024-02-29T10:00:00Z"
	m.add("snapshot", "ok-zone", "ok", "a time with a zone", nil, changed(snapshotText, "2024-02-29T12:00:00.000000005Z", "2024-02-29T12:00:00+02:00"), zoned...)
	m.bad("snapshot", nil,
		bad{"version-2", "newer", "a later version", changed(snapshotText, `"version":1`, `"version":2`)},
		bad{"version-0", "corrupt", "there is no version 0", changed(snapshotText, `"version":1`, `"version":0`)},
		bad{"version-missing", "corrupt", "no version", changed(snapshotText, `"version":1,`, ``)},
		bad{"empty", "corrupt", "no byte", nil},
		bad{"cut", "corrupt", "the last byte is missing", cut([]byte(snapshotText), -1)},
		bad{"behind", "corrupt", "bytes behind the object", []byte(snapshotText + "{}")},
		bad{"no-object", "corrupt", "a list", []byte("[]")},
		bad{"root-missing", "corrupt", "no root", changed(snapshotText, `"root":"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",`, ``)},
		bad{"root-zero", "corrupt", "sixteen zero bytes are no page's id", changed(snapshotText, "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf", strings.Repeat("0", 32))},
		bad{"root-upper-case", "corrupt", "hex is lower case", changed(snapshotText, "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf", "A0a1a2a3a4a5a6a7a8a9aaabacadaeaf")},
		bad{"root-short", "corrupt", "31 digits", changed(snapshotText, "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf", "a0a1a2a3a4a5a6a7a8a9aaabacadaea")},
		bad{"source-short", "corrupt", "31 digits", changed(snapshotText, "0102030405060708090a0b0c0d0e0f10", "0102030405060708090a0b0c0d0e0f1")},
		bad{"sequence-negative", "corrupt", "a negative number", changed(snapshotText, `"sequence":7`, `"sequence":-7`)},
		bad{"time-malformed", "corrupt", "no time by RFC 3339", changed(snapshotText, "2024-02-29T12:00:00.000000005Z", "2024-02-30T12:00:00Z")},
		bad{"version-2-other-members", "newer", "a later version, whose members are of other types", changed(string(changed(snapshotText, `"version":1`, `"version":2`)), `"sequence":7`, `"sequence":"x"`)},
		bad{"sequence-missing", "corrupt", "no sequence", changed(snapshotText, `"sequence":7,`, ``)},
		bad{"source-name-missing", "corrupt", "no name of the source", changed(snapshotText, `"source_name":"host:/home",`, ``)},
		bad{"source-name-null", "corrupt", "null for the name of the source", changed(snapshotText, `"source_name":"host:/home"`, `"source_name":null`)},
		bad{"member-twice", "corrupt", "a member stands twice", changed(snapshotText, `"sequence":7`, `"sequence":7,"sequence":7`)},
		bad{"other-case", "corrupt", "names of members match by case", changed(snapshotText, `"root"`, `"Root"`)},
		bad{"no-utf-8", "corrupt", "not UTF-8", changed(snapshotText, `"source_name":"host:/home"`, `"source_name":"host:`+"\xff"+`"`)},
		bad{"parent-short", "corrupt", "63 digits of the parent", changed(snapshotText, `"sequence":7`, `"sequence":7,"parent":"`+sixtyFour[1:]+`"`)},
		bad{"index-short", "corrupt", "63 digits of an index file", changed(snapshotText, `"sequence":7`, `"sequence":7,"index":["`+sixtyFour[1:]+`"]`)},
		bad{"bytes-of-text", "corrupt", "base64 of what is text", changed(snapshotText, `"source_name":"host:/home"`, `"source_name":{"b64":"YWI="}`)},
		bad{"bytes-not-shortest", "corrupt", "base64 with bits behind the last byte", changed(snapshotText, `"source_name":"host:/home"`, `"source_name":{"b64":"Yf9="}`)},
		bad{"bytes-of-two-lines", "corrupt", "base64 with a line break", changed(snapshotText, `"source_name":"host:/home"`, `"source_name":{"b64":"Yf8=\n"}`)},
		bad{"bytes-missing", "corrupt", "no base64 at all", changed(snapshotText, `"source_name":"host:/home"`, `"source_name":{}`)},
		bad{"bytes-malformed", "corrupt", "no base64", changed(snapshotText, `"source_name":"host:/home"`, `"source_name":{"b64":"*"}`)},
	)
}

func labels(m *maker) {
	const label = `{"version":1,"snapshot":"` + sixtyFour + `","counter":3,"time":"2024-02-29T12:00:00Z","tags":["x"],"pin":true,"note":"keep"}`
	m.add("label", "ok", "ok", "tags, pin and note", nil, []byte(label), "snapshot "+sixtyFour, "counter 3", `tags ["x"]`, "pin true", `note "keep"`)
	m.add("label", "ok-null-tags", "ok", "null for no tags", nil, changed(label, `["x"]`, `null`), "snapshot "+sixtyFour, "counter 3", `tags []`, "pin true", `note "keep"`)
	m.add("label", "ok-unknown-member", "ok", "an unknown member is ignored", nil, changed(label, `"pin":true`, `"future":1,"pin":true`), "snapshot "+sixtyFour, "counter 3", `tags ["x"]`, "pin true", `note "keep"`)
	m.bad("label", nil,
		bad{"version-2", "newer", "a later version", changed(label, `"version":1`, `"version":2`)},
		bad{"version-0", "corrupt", "there is no version 0", changed(label, `"version":1`, `"version":0`)},
		bad{"empty", "corrupt", "no byte", nil},
		bad{"cut", "corrupt", "the last byte is missing", cut([]byte(label), -1)},
		bad{"behind", "corrupt", "bytes behind the object", []byte(label + " x")},
		bad{"snapshot-missing", "corrupt", "no snapshot", changed(label, `"snapshot":"`+sixtyFour+`",`, ``)},
		bad{"snapshot-short", "corrupt", "63 digits", changed(label, sixtyFour, sixtyFour[1:])},
		bad{"counter-negative", "corrupt", "a negative number", changed(label, `"counter":3`, `"counter":-3`)},
		bad{"version-2-other-members", "newer", "a later version, whose members are of other types", changed(string(changed(label, `"version":1`, `"version":2`)), `"note":"keep"`, `"note":7`)},
		bad{"counter-missing", "corrupt", "no counter", changed(label, `"counter":3,`, ``)},
		bad{"member-twice", "corrupt", "a member stands twice", changed(label, `"pin":true`, `"pin":true,"pin":false`)},
		bad{"no-utf-8", "corrupt", "not UTF-8", changed(label, `"keep"`, `"`+"\xff"+`"`)},
		bad{"pin-text", "corrupt", "a text in place of true or false", changed(label, `"pin":true`, `"pin":"true"`)},
	)
}

func configs(m *maker) {
	const config = `{"format":"snap","version":1,"id":"101112131415161718191a1b1c1d1e1f","required":[],"created":"2024-02-29T12:00:00Z"}`
	m.add("config", "ok", "ok", "snap.json", nil, []byte(config), "id 101112131415161718191a1b1c1d1e1f", "sum "+hexOf(sum([]byte(config))))
	newline := []byte(config + "\n")
	m.add("config", "ok-newline", "ok", "white space around the object belongs to the hash", nil, newline, "id 101112131415161718191a1b1c1d1e1f", "sum "+hexOf(sum(newline)))
	unknown := changed(config, `"required"`, `"future":{},"required"`)
	m.add("config", "ok-unknown-member", "ok", "an unknown member is ignored", nil, unknown, "id 101112131415161718191a1b1c1d1e1f", "sum "+hexOf(sum(unknown)))
	m.bad("config", nil,
		bad{"version-2", "newer", "a later version", changed(config, `"version":1`, `"version":2`)},
		bad{"feature", "newer", "an unknown feature", changed(config, `"required":[]`, `"required":["time travel"]`)},
		bad{"version-0", "corrupt", "there is no version 0", changed(config, `"version":1`, `"version":0`)},
		bad{"version-text", "corrupt", "a text in place of a number", changed(config, `"version":1`, `"version":"1"`)},
		bad{"empty", "corrupt", "no byte", nil},
		bad{"cut", "corrupt", "the last byte is missing", cut([]byte(config), -1)},
		bad{"behind", "corrupt", "bytes behind the object", []byte(config + "{}")},
		bad{"other-format", "corrupt", "another format", changed(config, `"snap"`, `"snip"`)},
		bad{"required-missing", "corrupt", "no list of features", changed(config, `"required":[],`, ``)},
		bad{"required-null", "corrupt", "null for the list of features", changed(config, `"required":[]`, `"required":null`)},
		bad{"id-short", "corrupt", "31 digits", changed(config, "1e1f", "1e1")},
		bad{"id-upper-case", "corrupt", "hex is lower case", changed(config, "1e1f", "1E1f")},
		bad{"created-malformed", "corrupt", "no time by RFC 3339", changed(config, "2024-02-29T12", "2024-02-29 12")},
		bad{"member-twice", "corrupt", "a member stands twice", changed(config, `"version":1`, `"version":1,"version":1`)},
		bad{"no-utf-8", "corrupt", "not UTF-8", changed(config, `"required"`, "\"\xff\":0,\"required\"")},
		bad{"other-case", "corrupt", "names of members match by case", changed(config, `"format"`, `"Format"`)},
		bad{"over-limit", "corrupt", "one byte over 64 KiB", append([]byte(config), strings.Repeat(" ", 64<<10+1-len(config))...)},
	)
}

// facts are what the golden slots hold.
type facts struct {
	IDKey       string            `json:"id_key"`
	MetadataID  string            `json:"metadata_key_id"`
	Identity    string            `json:"identity"`
	ContentKey  string            `json:"content_key"`
	Passphrase  string            `json:"passphrase"`
	AgeIdentity []string          `json:"age_identities"`
	Roles       map[string]string `json:"roles"`
}

// slots copies the golden slots and content key, and edits some.
func slots(m *maker, dir string) error {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			panic(err)
		}
		return data
	}
	var f facts
	if err := json.Unmarshal(read("facts.json"), &f); err != nil {
		return err
	}
	config := read("snap.json")
	var names []string
	for name := range f.Roles {
		names = append(names, name)
	}
	sort.Strings(names)
	headerOf := func(file []byte) header {
		return header{"name": hexOf(sum(file)[:16]), "config": hexOf(config), "passphrase": f.Passphrase, "identity": strings.Join(f.AgeIdentity, " ")}
	}
	var weak, x25519 []byte
	for _, name := range names {
		file := read(name)
		var s struct{ Type, Label string }
		if err := json.Unmarshal(file, &s); err != nil {
			return err
		}
		switch s.Label {
		case "weak passphrase":
			weak = file
		case "X25519":
			x25519 = file
		}
		if s.Type == "ssh" {
			continue // tested where the SSH keys are
		}
		label := strings.NewReplacer(" ", "-", `"`, "", "<", "", ">", "", "&", "and", "ü", "u").Replace(strings.ToLower(s.Label))
		m.add("slot", "ok-"+label, "ok", "a golden slot of the type "+s.Type, headerOf(file), file,
			"role "+f.Roles[name], "label "+fmt.Sprintf("%q", s.Label), "id-key "+f.IDKey, "metadata-key "+f.MetadataID)
	}
	edited := func(name, expect, comment string, file []byte) {
		m.add("slot", name, expect, comment, headerOf(file), file)
	}
	s := string(x25519)
	edited("version-2", "newer", "a later version", changed(s, `{"version":1`, `{"version":2`))
	edited("version-0", "corrupt", "there is no version 0", changed(s, `{"version":1`, `{"version":0`))
	edited("cut", "corrupt", "the closing brace is missing", cut(x25519, -2))
	edited("behind", "corrupt", "bytes behind the object", []byte(s+"{}"))
	edited("member-twice", "corrupt", "a member stands twice", changed(s, `{"version":1`, `{"version":1,"version":1`))
	edited("role-differs", "corrupt", "another role outside than inside", changed(s, `"role":"full"`, `"role":"writer"`))
	edited("role-unknown", "corrupt", "an unknown role", changed(s, `"role":"full"`, `"role":"reader"`))
	edited("label-differs", "corrupt", "another label outside than inside", changed(s, `"label":"X25519"`, `"label":"mine"`))
	edited("created-differs", "corrupt", "another time outside than inside", changed(s, "2024-02-29T12:00:00Z", "2024-02-29T12:00:01Z"))
	edited("type-differs", "corrupt", "an age key's slot that says it is a passphrase's", changed(s, `"type":"age"`, `"type":"passphrase"`))
	edited("recipient-missing", "corrupt", "no recipient", changed(s, `"recipient":`, `"recipients":`))
	edited("base64-malformed", "corrupt", "the base64 of the age file lacks its end", changed(s, `"age":"`, `"age":"*`))
	if err := editAge(edited, weak, x25519); err != nil {
		return err
	}
	h := headerOf(x25519)
	h["name"] = strings.Repeat("0", 32)
	m.add("slot", "other-name", "corrupt", "bytes do not match the name", h, x25519)
	h = headerOf(x25519)
	h["config"] = hexOf(append(append([]byte(nil), config...), ' '))
	m.add("slot", "other-config", "corrupt", "snap.json is not the one that the slot was made for", h, x25519)

	secret := unhex(f.ContentKey)
	name := hexOf(derive("snap v1 key id", secret)[:8])
	wrapped := read("content/" + name)
	key := header{"name": name, "identity": f.Identity}
	m.add("contentkey", "ok", "ok", "a golden content key", key, wrapped, "id "+name)
	m.bad("contentkey", key,
		bad{"cut", "corrupt", "the last byte is missing", cut(wrapped, -1)},
		bad{"flipped", "corrupt", "a bit of the last byte", flip(wrapped, -1)},
		bad{"flipped-header", "corrupt", "a bit of the age header", flip(wrapped, 40)},
		bad{"longer", "corrupt", "a byte behind the age file", append(append([]byte(nil), wrapped...), 0)},
		bad{"empty", "corrupt", "no byte", nil},
	)
	m.add("contentkey", "other-name", "corrupt", "another key than the name says", header{"name": "0011223344556677", "identity": f.Identity}, wrapped)
	return nil
}

// editAge edits the age files in slots.
func editAge(edited func(name, expect, comment string, file []byte), weak, x25519 []byte) error {
	edit := func(file []byte, change func(age string) string) ([]byte, error) {
		var s struct{ Age string }
		if err := json.Unmarshal(file, &s); err != nil {
			return nil, err
		}
		age, err := base64.StdEncoding.DecodeString(s.Age)
		return changed(string(file), s.Age, base64.StdEncoding.EncodeToString([]byte(change(string(age))))), err
	}
	costly, err := edit(weak, func(age string) string { return strings.Replace(age, " 10\n", " 21\n", 1) })
	if err != nil {
		return err
	}
	edited("cost-over-limit", "corrupt", "a work factor of 2^21, to be refused before it is run", costly)
	flipped, err := edit(x25519, func(age string) string { return string(flip([]byte(age), -1)) })
	if err != nil {
		return err
	}
	edited("flipped", "corrupt", "a bit of the age file's last byte", flipped)
	short, err := edit(x25519, func(age string) string { return age[:len(age)-1] })
	if err != nil {
		return err
	}
	edited("age-cut", "corrupt", "the age file's last byte is missing", short)
	none, err := edit(x25519, func(string) string { return "age-encryption.org/v1\n" })
	if err != nil {
		return err
	}
	edited("age-header-cut", "corrupt", "an age file without recipients", none)
	return nil
}
