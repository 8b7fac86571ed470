// Package runnerconfig edits GitLab Runner's config.toml: it adds the custom executor's section to a
// runner and leaves every other byte as it is.
package runnerconfig

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// DefaultPath is the Runner's configuration if it runs as root (gitlab-runner, commands/config_unix.go).
const DefaultPath = "/etc/gitlab-runner/config.toml"

// Tag is the tag of runners with this executor in the documentation.
const Tag = "sysbox"

// GracefulKillTimeout is the value of graceful_kill_timeout, in seconds. It is longer than the default
// of run.kill_grace. It is shorter than five minutes, because after those the Runner starts the cleanup
// even if a stage still runs.
const GracefulKillTimeout = 60

// Key is a key of the section [runners.custom]. The value is a string, a []string or an int64.
type Key struct {
	Name  string
	Value any
}

// Section returns the section for a program with these arguments before each subcommand. Its keys are
// those of CustomConfig in gitlab-runner, common/config.go.
func Section(program string, args ...string) []Key {
	var all []Key
	for _, stage := range []string{"config", "prepare", "run", "cleanup"} {
		all = append(all,
			Key{stage + "_exec", program},
			Key{stage + "_args", append(slices.Clone(args), stage)})
	}
	return append(all, Key{"graceful_kill_timeout", int64(GracefulKillTimeout)})
}

// line returns the key as a line of TOML, without its end.
func (k Key) line() string { return k.Name + " = " + tomlValue(k.Value) }

func tomlValue(value any) string {
	switch value := value.(type) {
	case string:
		return quote(value)
	case []string:
		var all []string
		for _, v := range value {
			all = append(all, quote(v))
		}
		return "[" + strings.Join(all, ", ") + "]"
	default:
		return fmt.Sprint(value)
	}
}

// quote returns a basic string of TOML (https://toml.io/en/v1.0.0#string).
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// RegisterCommand returns the shell command that registers a new runner with this section. The user
// replaces the address and the token.
func RegisterCommand(section []Key) (string, error) {
	words := []string{"gitlab-runner register --non-interactive", "--url https://gitlab.example.com", "--token glrt-...", "--name " + Tag, "--executor custom"}
	for _, k := range section {
		flag := "--custom-" + strings.ReplaceAll(k.Name, "_", "-")
		var values []string
		switch value := k.Value.(type) {
		case string:
			values = []string{value}
		case []string:
			values = value // one flag for each element
		case int64:
			values = []string{strconv.FormatInt(value, 10)}
		}
		for _, value := range values {
			quoted, err := syntax.Quote(value, syntax.LangPOSIX)
			if err != nil {
				return "", fmt.Errorf("%s %q: %w", k.Name, value, err)
			}
			if strings.HasPrefix(value, "-") {
				words = append(words, flag+"="+quoted)
			} else {
				words = append(words, flag+" "+quoted)
			}
		}
	}
	return strings.Join(words, " \\\n  "), nil
}

// Text returns the section as TOML, for people to read.
func Text(section []Key) string {
	var b strings.Builder
	b.WriteString("  [runners.custom]\n")
	for _, k := range section {
		b.WriteString("    " + k.line() + "\n")
	}
	return b.String()
}
