// Command messages prints docs/troubleshooting.md: every message that fails a job or warns of something, with an anchor and the page
// about its subject, and what the output of container tools means. The messages are those of the code.
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gitlab-sysbox-executor/executor/known"
)

func main() {
	page, err := page(".")
	if err == nil {
		_, err = os.Stdout.WriteString(page)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "messages:", err)
		os.Exit(1)
	}
}

// message is a message of the code. Its values are written as an ellipsis.
type message struct{ text, file string }

// kind is a kind of message: what it means, and the functions that write it.
type kind struct {
	heading, about string
	functions      []string
}

var kinds = []kind{
	{"A job fails", "The job's definition, image or script is the reason. GitLab shows a script failure.", []string{"Jobf"}},
	{"The system fails", "The job is not the reason. GitLab shows a runner system failure.", []string{"Systemf"}},
	{"Warnings", "The job goes on.", []string{"Warnf", "Warn"}},
}

// pages are the pages about the subjects of folders and files; the longest path counts.
var pages = map[string]string{
	"config":                               "configuration.md",
	"executor":                             "cleanup.md",
	"executor/agentclient":                 "security.md",
	"executor/docker":                      "docker-executor.md",
	"executor/docker/disk.go":              "layers.md",
	"executor/docker/jobnetwork.go":        "resources.md",
	"executor/docker/services.go":          "services.md",
	"executor/docker/systemd.go":           "cases/systemd.md",
	"executor/docker/volume.go":            "storage.md",
	"executor/engine":                      "engine.md",
	"executor/image":                       "images.md",
	"executor/imagepull":                   "images.md",
	"executor/jobcontainer":                "docker-executor.md",
	"executor/jobcontainer/environment.go": "storage.md",
	"executor/jobcontainer/examine.go":     "cases/systemd.md",
	"executor/kubernetes":                  "kubernetes.md",
	"executor/kept":                        "builds-and-cache.md",
	"executor/kept/cachemounts.go":         "storage.md",
	"executor/removal":                     "cleanup.md",
	"executor/room":                        "storage.md",
	"executor/run.go":                      "storage.md",
	"executor/service":                     "services.md",
	"executor/servicelog":                  "services.md",
	"executor/shared":                      "shared-images.md",
	"executor/sharedfill":                  "shared-images.md",
	"executor/storage":                     "storage.md",
	"stages":                               "docker-executor.md",
	"stages/plan/images.go":                "images.md",
	"stages/plan/overrides.go":             "resources.md",
	"stages/plan/services.go":              "services.md",
	"stages/plan/folders.go":               "builds-and-cache.md",
	"stages/plan/systemd.go":               "cases/systemd.md",
	"stages/plan/plan.go":                  "storage.md",
}

func pageOf(file string) string {
	for ; file != "."; file = filepath.Dir(file) {
		if p, ok := pages[file]; ok {
			return p
		}
	}
	return ""
}

// collect finds the messages below a folder of the repository, by function.
func collect(repo string) (map[string][]message, error) {
	all := map[string][]message{}
	for _, top := range []string{"config", "executor", "stages"} {
		err := filepath.WalkDir(filepath.Join(repo, top), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			relative, err := filepath.Rel(repo, path)
			ast.Inspect(file, func(n ast.Node) bool {
				if function, text, ok := written(n); ok {
					all[function] = append(all[function], message{text, relative})
				}
				return true
			})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

var verb = regexp.MustCompile(`%(\[\d+\])?[-+# 0]*[\d.]*[a-zA-Z]`)

// written returns the function and the text of a call that writes a message.
func written(n ast.Node) (function, text string, ok bool) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return "", "", false
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.ContainsFunc(kinds, func(k kind) bool { return slices.Contains(k.functions, f.Sel.Name) }) {
		return "", "", false
	}
	literal, ok := call.Args[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", "", false
	}
	text, err := strconv.Unquote(literal.Value)
	if err != nil {
		return "", "", false
	}
	text = strings.TrimSpace(strings.ReplaceAll(verb.ReplaceAllString(text, "…"), "%%", "%"))
	return f.Sel.Name, text, strings.Trim(text, "… :.") != ""
}

var plain = regexp.MustCompile(`[a-z0-9]+`)

// anchor is made of the first words of a message.
func anchor(text string) string {
	words := plain.FindAllString(strings.ToLower(text), 9)
	return strings.Join(words, "-")
}

const head = `# Troubleshooting by message

<!-- Written by make messages from the code. Do not edit. -->

Every message of the executor that fails a job or warns of something, in the order of the alphabet, with the page about
its subject; and what messages of container tools in a job mean. "…" stands for a value. Search this page for a part of
your message without its values.

`

// page returns the page for the repository in this folder.
func page(repo string) (string, error) {
	all, err := collect(repo)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	b.WriteString(head)
	used := map[string]bool{}
	for _, k := range kinds {
		texts := map[string]string{} // and their files
		for _, f := range k.functions {
			for _, m := range all[f] {
				texts[m.text] = m.file
			}
		}
		fmt.Fprintf(&b, "## %s\n\n%s\n\n", k.heading, k.about)
		sorted := slices.SortedFunc(maps.Keys(texts), func(a, b string) int {
			return cmp.Or(cmp.Compare(anchor(a), anchor(b)), cmp.Compare(a, b))
		})
		for _, text := range sorted {
			page := pageOf(texts[text])
			if page == "" {
				return "", fmt.Errorf("no page is known for %s", texts[text])
			}
			id := anchor(text)
			for n := 2; used[id]; n++ {
				id = fmt.Sprintf("%s-%d", anchor(text), n)
			}
			used[id] = true
			fmt.Fprintf(&b, "- <a id=%q></a>`%s` ([%s](%s))\n", id, strings.ReplaceAll(text, "`", "'"), strings.TrimSuffix(filepath.Base(page), ".md"), page)
		}
		b.WriteString("\n")
	}
	tools(&b)
	return b.String(), nil
}

// tools adds what is known of container tools.
func tools(b *bytes.Buffer) {
	b.WriteString("## Container tools in a job\n\nIf a script fails and its output matches, the job log has the meaning and the advice.\n\n")
	for _, f := range known.Failures() {
		fmt.Fprintf(b, "- <a id=%q></a>**%s** %s ([%s](cases/%s.md))\n", anchor(f.Meaning), f.Meaning, f.Advice, f.Page, f.Page)
	}
	b.WriteString("\n## Versions that are known to fail\n\nA failed script is followed by a line for each of these in the job's image or on the machine.\n\n| tool | versions | together with | effect | advice |\n|---|---|---|---|---|\n")
	for _, v := range known.Versions() {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", v.Tool, v.Range, cmp.Or(v.With, "-"), strings.ReplaceAll(v.Effect, "|", `\|`), v.Advice)
	}
}
