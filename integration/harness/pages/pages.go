// Package pages reads the blocks of commands in the documentation, so that tests run what the pages say.
package pages

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Block is what is between two fences of a page.
type Block struct {
	Page     string // relative to the repository
	Line     int    // of the opening fence
	Language string
	Text     string
}

// Files returns README.md, CONTRIBUTING.md and the pages of docs, in the repository at root.
func Files(root string) ([]string, error) {
	files := []string{"README.md", "CONTRIBUTING.md"}
	err := fs.WalkDir(os.DirFS(root), "docs", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

// All returns the blocks of these pages.
func All(root string) (all []Block, err error) {
	files, err := Files(root)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		blocks, err := read(root, file)
		if err != nil {
			return nil, err
		}
		all = append(all, blocks...)
	}
	return all, nil
}

// read returns the blocks of one page. The fences of a block in a list are indented, as are its lines.
func read(root, page string) (blocks []Block, err error) {
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		return nil, err
	}
	var b *Block
	indent, n := "", 0
	for line := range strings.Lines(string(text)) {
		n++
		label, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && b == nil:
			indent = line[:strings.Index(line, "`")]
			b = &Block{Page: page, Line: n, Language: label}
		case isFence:
			blocks = append(blocks, *b)
			b = nil
		case b != nil:
			b.Text += strings.TrimPrefix(line, indent)
		}
	}
	if b != nil {
		return nil, fmt.Errorf("%s:%d: the block has no end", page, b.Line)
	}
	return blocks, nil
}

// IsCommands reports whether a reader can run the block, or the lines with a prompt in it.
func (b Block) IsCommands() bool { return b.Language == "sh" || b.Language == "console" }

// Commands is the block without the prompts, and without what the commands print.
func (b Block) Commands() string {
	if b.Language != "console" {
		return b.Text
	}
	var commands strings.Builder
	for line := range strings.Lines(b.Text) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			commands.WriteString(command)
		}
	}
	return commands.String()
}

// Output is what the commands of a console print.
func (b Block) Output() string {
	var output strings.Builder
	for line := range strings.Lines(b.Text) {
		if !strings.HasPrefix(line, "$ ") {
			output.WriteString(line)
		}
	}
	return output.String()
}

// Find returns the one block of a page that begins with these words. The page is relative to the repository.
func Find(t testing.TB, page, begin string) Block {
	t.Helper()
	blocks, err := read(root(t), page)
	if err != nil {
		t.Fatal(err)
	}
	var found []Block
	for _, b := range blocks {
		if strings.HasPrefix(b.Commands(), begin) {
			found = append(found, b)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d blocks that begin with %q", page, len(found), begin)
	}
	return found[0]
}

// Commands returns the commands of the block that begins with these words. Pairs of old and new text replace what
// another machine has under another name.
func Commands(t testing.TB, page, begin string, replace ...string) string {
	t.Helper()
	text := Find(t, page, begin).Commands()
	for n := 0; n < len(replace); n += 2 {
		if !strings.Contains(text, replace[n]) {
			t.Fatalf("%s: no %q in\n%s", page, replace[n], text)
		}
		text = strings.ReplaceAll(text, replace[n], replace[n+1])
	}
	return strings.TrimSuffix(text, "\n")
}

// root is the repository's folder: the one with go.mod above the test's.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no folder above this one has a go.mod")
		}
	}
}
