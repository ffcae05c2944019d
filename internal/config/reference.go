package config

import (
	"fmt"
	"reflect"
	"strings"
)

// introduction stands at the beginning of the reference.
const introduction = `# Configuration of pulls

Made from the fields themselves: ` + "`make docs`" + ` writes it.

The configuration of a backup server says where its repository is and what is pulled from where. It is one YAML file, or a
folder whose *.yaml files are taken together, in the order of their names: each source, and each other section, stands in
one of them. It is looked for at ` + "`--config`, `SNAP_CONFIG`, `~/.config/snap/snap.yaml` and `/etc/snap/snap.yaml`" + `. Other
commands than pull take the place of the repository, and how it is opened, from it as well, where neither flags nor
environment say so.

It is read strictly: what is not known is an error with file and line. ` + "`snap config validate` checks it, `snap config show`" + `
tells what holds for each source, and ` + "`snap config schema`" + ` prints a JSON schema for editors. A file or folder that
everybody can write to is refused: it names commands to run. So is a folder with *.yml files, which nobody would read.

What stands under ` + "`defaults`" + ` holds for every source that does not say otherwise. Sections are filled field by field; a list
is taken as a whole, and an empty one (` + "`[]`" + `) is none. ` + "`keep`" + ` is taken as a whole too: what a source says there is all that is kept of it.

Time spans are numbers with s, m, h, d or w: 90s, 15m, 1d12h. Sizes are 500, 20 MB or 3 GiB. Shares are written as 50%.
Commands are lists of words, ["logger", "-p", "user.err"], or one text that is split at blanks; no shell sees them.

A complete example, as ` + "`snap config example`" + ` prints it:

`

// Reference returns the manual of the configuration in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(introduction)
	fmt.Fprintf(&b, "```yaml\n%s```\n", Example)
	describe(&b, "", "The top level", reflect.TypeFor[Config]())
	return b.String()
}

// describe writes the fields of a struct, and then those of the structs in it.
func describe(b *strings.Builder, prefix, title string, t reflect.Type) {
	fmt.Fprintf(b, "\n## %s\n\n| field | value | meaning |\n| --- | --- | --- |\n", title)
	for i := range t.NumField() {
		f := t.Field(i)
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", f.Tag.Get("yaml"), valueOf(f), strings.ReplaceAll(f.Tag.Get("doc"), "|", `\|`))
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name := prefix + f.Tag.Get("yaml")
		inner, path := f.Type, name
		switch inner.Kind() {
		case reflect.Pointer:
			inner = inner.Elem()
		case reflect.Map:
			inner, path = inner.Elem(), name+".NAME"
		case reflect.Slice:
			inner, path = inner.Elem(), name+"[]"
		}
		// The defaults have the fields of a source.
		if inner.Kind() == reflect.Struct && name != "defaults" {
			describe(b, path+".", "`"+path+"`", inner)
		}
	}
}

// valueOf says what a field is written as.
func valueOf(f reflect.StructField) string {
	if one := f.Tag.Get("enum"); one != "" {
		return strings.ReplaceAll(one, " ", ", ")
	}
	switch f.Type {
	case reflect.TypeFor[Duration]():
		return "time span"
	case reflect.TypeFor[Size]():
		return "size"
	case reflect.TypeFor[*Percent]():
		return "share"
	case reflect.TypeFor[[]Command]():
		return "list of commands"
	case reflect.TypeFor[*bool]():
		return "true, false"
	}
	switch f.Type.Kind() {
	case reflect.Int, reflect.Int64:
		return "number"
	case reflect.String:
		return "text"
	case reflect.Slice:
		if f.Type.Elem().Kind() == reflect.Struct {
			return "list of sections"
		}
		return "list of texts"
	case reflect.Map:
		return "sections by name"
	}
	return "section"
}
