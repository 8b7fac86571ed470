package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/harness/pages"
	"gitlab-sysbox-executor/stages"
)

// documented names, for each block of commands in the documentation, the test that reads it there and runs it. The
// tests of integration/packages need `make test-package`; CI runs all others.
var documented = []struct {
	page, begin string
	dir, test   string
}{
	{"README.md", "apt-get install", "integration/packages", "TestMachine"},
	{"README.md", "gitlab-sysbox-executor install", "integration/packages", "TestMachine"},
	{"README.md", "make try", ".", "TestDocumentedTargets"},
	{"CONTRIBUTING.md", "make build", ".", "TestDocumentedTargets"},
	{"docs/builds-and-cache.md", "docker volume ls", "integration/commands", "TestDocumentedKeptVolumes"},
	{"docs/cases/buildah.md", "buildah info", "integration/cases", "TestBuildahBuildsAndNothingIsLeft"},
	{"docs/cases/buildkit.md", "buildkitd", "integration/cases", "TestBuildKitBuilds"},
	{"docs/cases/buildkit.md", "rootlesskit", "integration/cases", "TestBuildKitBuilds"},
	{"docs/cases/buildkit.md", "cat /etc/subuid", "integration/cases", "TestBuildKitBuilds"},
	{"docs/cases/docker.md", "dockerd", "integration/cases", "TestDockerInTheJob"},
	{"docs/cases/docker.md", "findmnt", "integration/cases", "TestDockerInTheJob"},
	{"docs/cases/multi-arch.md", "buildah build", "integration/cases", "TestImagesForOtherArchitectures"},
	{"docs/cases/podman.md", "podman info", "integration/cases", "TestPodmanBuildsAndRuns"},
	{"docs/cases/runc.md", "mkdir", "integration/cases", "TestRuncRunsAndDeletes"},
	{"docs/cases/runc.md", "runc --version", "integration/cases", "TestRuncRunsAndDeletes"},
	{"docs/cases/systemd.md", "systemctl is-system-running", "integration/commands", "TestDocumentedUnits"},
	{"docs/cleanup.md", "gitlab-sysbox-executor gc", "integration/commands", "TestDocumentedGC"},
	{"docs/cleanup.md", "cp scripts/systemd/gitlab-sysbox-executor-gc", "integration/commands", "TestDocumentedUnits"},
	{"docs/cleanup.md", "systemctl edit", "integration/commands", "TestDocumentedUnits"},
	{"docs/doctor.md", "gitlab-sysbox-executor doctor --config config.toml --runner-config", "integration/commands", "TestDoctorRunsJobs"},
	{"docs/doctor.md", "gitlab-sysbox-executor doctor --config config.toml --image", "integration/commands", "TestDoctorLooksAtImages"},
	{"docs/images.md", "echo registry.example", "integration/commands", "TestDocumentedCredentialHelper"},
	{"docs/install.md", "gitlab-sysbox-executor install", "integration/commands", "TestDocumentedUnits"},
	{"docs/layers.md", "buildah build", "integration/storage", "TestLayersAreKept"},
	{"docs/layers.md", "podman build", "integration/cases", "TestPodmanBuildsAndRuns"},
	{"docs/layers.md", "dockerd", "integration/storage", "TestLayersOfEachTool"},
	{"docs/layers.md", "buildkitd", "integration/storage", "TestLayersOfEachTool"},
	{"docs/observe.md", "gitlab-sysbox-executor ps", "integration/commands", "TestJobsCanBeSeen"},
	{"docs/observe.md", "apt-get install", "integration/commands", "TestDocumentedUnits"},
	{"docs/observe.md", "cp scripts/systemd/gitlab-sysbox-executor-exporter", "integration/commands", "TestDocumentedUnits"},
	{"docs/resources.md", "# Forwarded packets", "integration/commands", "TestDocumentedFirewall"},
	{"docs/services.md", "gitlab-sysbox-executor try", "integration/commands", "TestDocumentedTry"},
	{"docs/shared-images.md", "gitlab-sysbox-executor images", "integration/images", "TestDocumentedImages"},
	{"docs/shared-images.md", "cp scripts/systemd/gitlab-sysbox-executor-images", "integration/commands", "TestDocumentedUnits"},
	{"docs/try.md", "gitlab-sysbox-executor try", "integration/commands", "TestDocumentedTry"},
}

// Each block of commands in the documentation is run by a test.
func TestEveryDocumentedCommandIsRun(t *testing.T) {
	blocks, err := pages.All(".")
	if err != nil {
		t.Fatal(err)
	}
	labels := []string{"sh", "console", "text", "toml", "yaml", "json", "ini", "mermaid"}
	rows := make([]int, len(documented))
	for _, b := range blocks {
		at := fmt.Sprintf("%s:%d", b.Page, b.Line)
		if !slices.Contains(labels, b.Language) {
			t.Errorf("%s: the block's label is %q, not one of %q", at, b.Language, labels)
		}
		if prompts := strings.Contains("\n"+b.Text, "\n$ "); prompts != (b.Language == "console") {
			t.Errorf("%s: a block with the label console has commands with the prompt `$ `, and no other has", at)
		}
		if !b.IsCommands() {
			continue
		}
		found := 0
		for n, row := range documented {
			if row.page == b.Page && strings.HasPrefix(b.Commands(), row.begin) {
				found++
				rows[n]++
			}
		}
		if found != 1 {
			t.Errorf("%s: the table in documentation_test.go has %d entries for this block, not 1:\n%s", at, found, b.Text)
		}
	}
	tests := testSources(t)
	for n, row := range documented {
		if rows[n] != 1 {
			t.Errorf("%s has %d blocks that begin with %q, not 1", row.page, rows[n], row.begin)
		}
		if p := tests[row.dir]; p == nil || !p.functions[row.test] {
			t.Errorf("%s %q: %s has no test %s", row.page, row.begin, row.dir, row.test)
		} else if !p.texts[row.page] || !p.texts[row.begin] {
			t.Errorf("the tests of %s do not read the block %q of %s", row.dir, row.begin, row.page)
		}
	}
}

// testSource is what the tests of one folder have.
type testSource struct{ functions, texts map[string]bool }

// testSources reads all tests of the repository.
func testSources(t *testing.T) map[string]*testSource {
	t.Helper()
	all := map[string]*testSource{}
	goFiles(t, token.NewFileSet(), nil, func(path string) bool { return strings.HasSuffix(path, "_test.go") }, func(dir, _ string, file *ast.File) {
		if all[dir] == nil {
			all[dir] = &testSource{map[string]bool{}, map[string]bool{}}
		}
		for n := range ast.Preorder(file) {
			switch n := n.(type) {
			case *ast.FuncDecl:
				all[dir].functions[n.Name.Name] = all[dir].functions[n.Name.Name] || n.Recv == nil
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); err == nil {
					all[dir].texts[text] = true
				}
			}
		}
	})
	return all
}

// The documentation's targets of make are there. What they do takes too long here, and CI is one of them.
func TestDocumentedTargets(t *testing.T) {
	for page, begin := range map[string]string{"README.md": "make try", "CONTRIBUTING.md": "make build"} {
		for line := range strings.Lines(pages.Find(t, page, begin).Commands()) {
			command, _, _ := strings.Cut(line, "#")
			words := strings.Fields(command)
			c := exec.Command(words[0], append([]string{"--dry-run"}, words[1:]...)...)
			c.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") }) // of the make that runs this test
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %v\n%s", page, command, err, out)
			}
		}
	}
}

// The documentation's sentences name, between backticks, only subcommands, flags, make targets and tests that exist.
func TestDocumentedNames(t *testing.T) {
	blocks, span := regexp.MustCompile("(?ms)^ *```.*?^ *```$"), regexp.MustCompile("`([^`]+)`")
	targets, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	var tests []string
	for _, s := range testSources(t) {
		tests = slices.AppendSeq(tests, maps.Keys(s.functions))
	}
	all, err := pages.Files(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range all {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range span.FindAllStringSubmatch(blocks.ReplaceAllString(string(text), ""), -1) {
			words := strings.Fields(found[1])
			if len(words) == 0 {
				continue
			}
			name, prefix := strings.CutSuffix(words[0], "*")
			name, _, _ = strings.Cut(name, "/")
			switch {
			case words[0] == "make" && len(words) == 2:
				if !strings.Contains(string(targets), "\n"+words[1]+":") {
					t.Errorf("%s: no target %s", page, words[1])
				}
			case words[0] == module:
				wantCommand(t, page, words[1:])
			case len(words) > 1 && strings.HasPrefix(words[1], "--"):
				if c, _, err := stages.Command(files).Find(words[:1]); err == nil && c.HasParent() {
					wantCommand(t, page, words)
				}
			case len(words) == 1 && regexp.MustCompile(`^Test[A-Z]\w+$`).MatchString(name):
				if !slices.ContainsFunc(tests, func(f string) bool { return f == name || prefix && strings.HasPrefix(f, name) }) {
					t.Errorf("%s: no test %s", page, words[0])
				}
			}
		}
	}
}

// wantCommand wants the program to have this subcommand with these flags.
func wantCommand(t *testing.T, page string, words []string) {
	t.Helper()
	c, rest, err := stages.Command(files).Find(words)
	if err != nil || c.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		t.Errorf("%s: no subcommand %q: %v", page, words, err)
		return
	}
	c.InitDefaultHelpFlag()
	c.InitDefaultVersionFlag()
	for _, word := range words {
		flag, ok := strings.CutPrefix(word, "--")
		if flag, _, _ = strings.Cut(flag, "="); ok && flag == "" {
			return
		} else if ok && c.Flag(flag) == nil {
			t.Errorf("%s: %q has no flag --%s", page, words, flag)
		}
	}
}
