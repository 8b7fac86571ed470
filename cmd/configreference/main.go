// Command configreference prints the reference of the configuration file, docs/configuration.md. The keys and their types are the
// code's, the explanations and defaults those of config.example.toml, which tests compare with the code.
package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"

	"gitlab-sysbox-executor/config"
)

func main() {
	example, err := os.ReadFile("config.example.toml")
	if err == nil {
		var page string
		if page, err = reference(string(example), config.Keys()); err == nil {
			_, err = os.Stdout.WriteString(page)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "configreference:", err)
		os.Exit(1)
	}
}

const head = `# Configuration reference

<!-- Written by make configuration from config.example.toml and the code. Do not edit. -->

The file is ` + "`/etc/gitlab-sysbox-executor/config.toml`" + `, or the one that ` + "`--config`" + ` names. A key that is left out has its default, and
so do all keys if the file does not exist. Unknown keys and impossible values are errors, which are all reported at once,
with their lines. [config.example.toml](../config.example.toml) is the same as a file to start from.

| type | in the file |
|---|---|
| duration | a string such as ` + "`\"90s\"`, `\"2m\"` or `\"1h30m\"`" + ` |
| size | a whole number of bytes, or a string with a binary unit: ` + "`\"512m\"`, `\"1.5g\"`, `\"20GiB\"`" + ` |
| amount | a size, or a share of a disk such as ` + "`\"20%\"`" + ` |

`

var (
	table = regexp.MustCompile(`^\[([a-z_.]+)\]$`)
	entry = regexp.MustCompile(`^#([a-z][a-z0-9_]*) = (.*)$`)
)

// reference returns the page. Each key of the code has to be in the example, with a comment above it.
func reference(example string, keys []config.Key) (string, error) {
	types := map[string]string{}
	for _, k := range keys {
		types[k.Name] = k.Type
	}
	var page bytes.Buffer
	page.WriteString(head)
	var comment []string
	section := ""
	for line := range strings.Lines(example) {
		line = strings.TrimRight(line, "\n")
		if m := table.FindStringSubmatch(line); m != nil {
			section = m[1] + "."
			fmt.Fprintf(&page, "## [%s]\n\n%s\n\n", m[1], strings.Join(comment, "\n"))
			comment = nil
			continue
		}
		if m := entry.FindStringSubmatch(line); m != nil {
			name := section + m[1]
			if types[name] == "" {
				return "", fmt.Errorf("config.example.toml has %s, which the code does not know", name)
			}
			fmt.Fprintf(&page, "### `%s`\n\n%s, default `%s`.\n\n%s\n\n", name, strings.ToUpper(types[name][:1])+types[name][1:], m[2], strings.Join(comment, "\n"))
			delete(types, name)
			comment = nil
			continue
		}
		text, ok := strings.CutPrefix(line, "# ")
		switch {
		case ok:
			comment = append(comment, text)
		case line == "":
			comment = nil // the head of the file, or the end of a key with its comment
		}
	}
	for name, kind := range types {
		if kind != "section" {
			return "", fmt.Errorf("config.example.toml lacks %s", name)
		}
	}
	return strings.TrimRight(page.String(), "\n") + "\n", nil
}
