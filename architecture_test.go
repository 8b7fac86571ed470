package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "gitlab-sysbox-executor"

// source is one package of the product.
type source struct {
	imports map[string]bool // of this module, without the module's name
	files   map[string]*ast.File
	lines   map[string]int
}

// product reads every package but those of the tests.
func product(t *testing.T, fset *token.FileSet) map[string]*source {
	t.Helper()
	all := map[string]*source{}
	skip := []string{"testdata", "integration", "scripts", "bin"}
	goFiles(t, fset, skip, func(path string) bool { return !strings.HasSuffix(path, "_test.go") }, func(dir, path string, file *ast.File) {
		if all[dir] == nil {
			all[dir] = &source{map[string]bool{}, map[string]*ast.File{}, map[string]int{}}
		}
		s := all[dir]
		s.files[path], s.lines[path] = file, fset.File(file.Pos()).LineCount()
		for _, i := range file.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if name, ok := strings.CutPrefix(name, module+"/"); ok {
				s.imports[name] = true
			}
		}
	})
	return all
}

// goFiles parses those Go files of the repository that are wanted, and calls visit with the folder, the path and the
// content of each. It leaves out hidden folders and those with the names in skip.
func goFiles(t *testing.T, fset *token.FileSet, skip []string, wanted func(path string) bool, visit func(dir, path string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); path != "." && (strings.HasPrefix(name, ".") || slices.Contains(skip, name)) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || !wanted(path) {
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(filepath.Dir(path)), path, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A package imports what the table allows, and nothing else of this module. The
// table is in docs/architecture.md, in its order from above to below: a package's
// imports stand below it.
func TestLayers(t *testing.T) {
	table, order := layers(t)
	found := product(t, token.NewFileSet())
	for _, name := range slices.Sorted(maps.Keys(found)) {
		allowed, ok := table[name]
		if !ok {
			t.Errorf("%s is not in the table of docs/architecture.md", name)
			continue
		}
		for _, i := range slices.Sorted(maps.Keys(found[name].imports)) {
			if !slices.Contains(allowed, i) {
				t.Errorf("%s imports %s, which the table of docs/architecture.md does not allow", name, i)
			}
			if slices.Index(order, i) < slices.Index(order, name) {
				t.Errorf("%s imports %s, which stands above it in docs/architecture.md", name, i)
			}
		}
		for _, i := range allowed {
			if !found[name].imports[i] {
				t.Errorf("docs/architecture.md says that %s imports %s; it does not", name, i)
			}
		}
	}
	for _, name := range order {
		if found[name] == nil {
			t.Errorf("docs/architecture.md names the package %s, which is not there", name)
		}
	}
}

// Each arrow of the picture is an import.
func TestPicture(t *testing.T) {
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, picture, ok := strings.Cut(string(text), "flowchart TD\n")
	picture, _, _ = strings.Cut(picture, "```")
	found := product(t, token.NewFileSet())
	arrows := 0
	for line := range strings.Lines(picture) {
		from, to, isArrow := strings.Cut(strings.TrimSpace(line), " --> ")
		if !isArrow {
			t.Errorf("%q is no arrow", line)
			continue
		}
		arrows++
		if from == "main" {
			from = "."
		}
		if found[from] == nil || !found[from].imports[to] {
			t.Errorf("%s does not import %s", from, to)
		}
	}
	if !ok || arrows == 0 {
		t.Error("docs/architecture.md has no picture of the packages")
	}
}

// layers reads the table of packages: `| package | what it owns | imports |`.
func layers(t *testing.T) (table map[string][]string, order []string) {
	t.Helper()
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	table = map[string][]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		name := strings.Trim(strings.TrimSpace(cells[1]), "`")
		if name == "main" {
			name = "."
		}
		order = append(order, name)
		table[name] = []string{}
		for i := range strings.FieldsSeq(strings.ReplaceAll(cells[3], ",", " ")) {
			table[name] = append(table[name], strings.Trim(i, "`"))
		}
	}
	return table, order
}

const (
	mostExecutor = 600 // lines of the package executor
	mostFile     = 400
	mostFunction = 80
)

// What a newcomer has to hold in mind at once stays small.
func TestSizes(t *testing.T) {
	fset := token.NewFileSet()
	found := product(t, fset)
	root := 0
	for dir, s := range found {
		for path, file := range s.files {
			if s.lines[path] > mostFile {
				t.Errorf("%s has %d lines, more than %d", path, s.lines[path], mostFile)
			}
			if dir == "executor" {
				root += s.lines[path]
			}
			for _, d := range file.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				if n := fset.Position(f.End()).Line - fset.Position(f.Pos()).Line + 1; n > mostFunction {
					t.Errorf("%s: %s has %d lines, more than %d", path, f.Name.Name, n, mostFunction)
				}
			}
		}
	}
	if root > mostExecutor {
		t.Errorf("the package executor has %d lines, more than %d: give what is new a package of its own", root, mostExecutor)
	}
}
