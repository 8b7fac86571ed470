// Package known has two tables on failures of container tools: bad versions (versions.toml), and
// the meaning of failure output (failures.toml).
package known

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
	"github.com/hashicorp/go-version"

	"gitlab-sysbox-executor/lazyregexp"
)

// Version is one entry of versions.toml.
type Version struct {
	Tool   string `toml:"tool"`  // as in Tools
	Range  string `toml:"range"` // in the syntax of go-version
	With   string `toml:"with"`  // only together with another tool, by name and range; may be empty
	Effect string `toml:"effect"`
	Advice string `toml:"advice"`
	Source string `toml:"source"`

	tools, others version.Constraints
	other         string
}

// Failure is one entry of failures.toml.
type Failure struct {
	Pattern string `toml:"pattern"` // Go's regular expression, for one line
	Meaning string `toml:"meaning"`
	Advice  string `toml:"advice"`
	Page    string `toml:"page"` // in docs/cases
	// Damage means that a store of images is damaged: it must not be kept for another job.
	Damage bool `toml:"damage"`

	pattern *regexp.Regexp
}

//go:embed versions.toml
var versionsText string

//go:embed failures.toml
var failuresText string

// The tables are read when they are first used: most stages use none. A test reads both.
var (
	versions = sync.OnceValue(func() []Version { return mustVersions(versionsText) })
	failures = sync.OnceValue(func() []Failure { return mustFailures(failuresText) })
)

// Failures is the table of failures. The caller must not change it.
func Failures() []Failure { return failures() }

// Versions is the table of bad versions. The caller must not change it.
func Versions() []Version { return versions() }

// Tools are the tools in the table, except Sysbox, with the names of their commands.
var Tools = map[string][]string{
	"runc":      {"runc", "buildkit-runc", "docker-runc"},
	"crun":      {"crun"},
	"buildkitd": {"buildkitd"},
	"buildah":   {"buildah"},
	"podman":    {"podman"},
	"dockerd":   {"dockerd"},
}

// Sysbox is the tool on the host.
const Sysbox = "sysbox"

var (
	// versionLine matches the line with the tool's own version. Other versions, such as that
	// of a standard, are on lines below it.
	versionLine = lazyregexp.New(`(?im)^.*(\bversion\b|\d\.\d).*$`)
	number      = lazyregexp.New(`\d+(\.\d+)+[-+~.0-9A-Za-z]*`)
)

// Number returns the version in the version output of a tool; empty if there is none. crun's may
// have only two parts.
func Number(printed string) string {
	n := number().FindString(versionLine().FindString(printed))
	if _, err := version.NewVersion(n); err != nil {
		n = regexp.MustCompile(`^\d+(\.\d+)+`).FindString(n)
	}
	return n
}

// Hit is a command with a known bad version.
type Hit struct {
	Version
	Command string
	Number  string
}

// Hits returns the known bad versions among found, in the order of the table. found has the
// version of each installed command of Tools, and of Sysbox.
func Hits(found map[string]string) []Hit {
	var hits []Hit
	for _, v := range versions() {
		commands := Tools[v.Tool]
		if v.Tool == Sysbox {
			commands = []string{Sysbox}
		}
		for _, command := range commands {
			if matches(v.tools, found[command]) && (v.other == "" || matches(v.others, found[v.other])) {
				hits = append(hits, Hit{v, command, found[command]})
			}
		}
	}
	return hits
}

func matches(c version.Constraints, text string) bool {
	v, err := version.NewVersion(text)
	// A release candidate counts as its release.
	return err == nil && c.Check(v.Core())
}

func mustVersions(text string) []Version {
	var table struct {
		Bad []Version `toml:"bad"`
	}
	must(toml.Decode(text, &table))
	for n := range table.Bad {
		v := &table.Bad[n]
		var err error
		if v.tools, err = version.NewConstraint(v.Range); err != nil {
			panic(fmt.Sprintf("versions.toml: %s %s: %v", v.Tool, v.Range, err))
		}
		if v.With == "" {
			continue
		}
		var others string
		v.other, others, _ = strings.Cut(v.With, " ")
		if v.others, err = version.NewConstraint(others); err != nil {
			panic(fmt.Sprintf("versions.toml: %s %s: %v", v.Tool, v.With, err))
		}
	}
	return table.Bad
}

func mustFailures(text string) []Failure {
	var table struct {
		Failure []Failure `toml:"failure"`
	}
	must(toml.Decode(text, &table))
	for n := range table.Failure {
		f := &table.Failure[n]
		f.pattern = regexp.MustCompile(f.Pattern)
	}
	return table.Failure
}

// must panics: the tables are part of the program, and a test parses them.
func must(_ toml.MetaData, err error) {
	if err != nil {
		panic(err)
	}
}
