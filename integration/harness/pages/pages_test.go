package pages

import (
	"os"
	"path/filepath"
	"testing"
)

func TestBlocks(t *testing.T) {
	dir := t.TempDir()
	page := "# A page\n\n```sh\nfirst # why\nsecond\n```\n\n1. A list\n\n   ```console\n   $ third --flag\n   what it prints\n     more\n   $ fourth\n   ```\n\n```toml\nkey = 1\n```\n"
	for name, text := range map[string]string{"README.md": page, "CONTRIBUTING.md": "", "docs/cases/x.md": "```\n$ x\n```\n", "docs/x.json": "```"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	blocks, err := All(dir)
	if err != nil || len(blocks) != 4 {
		t.Fatal(err, blocks)
	}
	for n, want := range []struct {
		page, language, commands string
		line                     int
		isCommands               bool
	}{
		{"README.md", "sh", "first # why\nsecond\n", 3, true},
		{"README.md", "console", "third --flag\nfourth\n", 10, true},
		{"README.md", "toml", "key = 1\n", 17, false},
		{"docs/cases/x.md", "", "$ x\n", 1, false},
	} {
		b := blocks[n]
		if b.Page != want.page || b.Line != want.line || b.Language != want.language || b.Commands() != want.commands || b.IsCommands() != want.isCommands {
			t.Errorf("%+v, want %+v", b, want)
		}
	}
	if out := blocks[1].Output(); out != "what it prints\n  more\n" {
		t.Errorf("%q", out)
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("```sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := All(dir); err == nil {
		t.Error("a block without an end is read")
	}
}
