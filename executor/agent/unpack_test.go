package agent

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func archiveOf(t *testing.T, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			w.Write([]byte(h.Name))
		}
	}
	w.Close()
	return &b
}

func TestUnpack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "project")
	if err := os.MkdirAll(filepath.Join(dir, "old"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Unpack(archiveOf(t,
		tar.Header{Name: "folder", Typeflag: tar.TypeDir}, tar.Header{Name: "deep/er/file", Typeflag: tar.TypeReg, Mode: 0o600},
		tar.Header{Name: "program", Typeflag: tar.TypeReg, Mode: 0o4711}, tar.Header{Name: "link", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink},
	), dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"folder": os.ModeDir | 0o755, "deep/er/file": 0o644, "program": 0o755, "link": os.ModeSymlink | 0o777} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "deep/er/file")); err != nil || string(text) != "deep/er/file" {
		t.Errorf("%q %v", text, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "old")); err == nil {
		t.Error("what was there before still is")
	}
}

func TestHostileArchives(t *testing.T) {
	outside := t.TempDir()
	for name, a := range map[string]*bytes.Buffer{
		"parent":           archiveOf(t, tar.Header{Name: "../x", Typeflag: tar.TypeReg}),
		"absolute":         archiveOf(t, tar.Header{Name: filepath.Join(outside, "x"), Typeflag: tar.TypeReg}),
		"through a link":   archiveOf(t, tar.Header{Name: "l", Linkname: outside, Typeflag: tar.TypeSymlink}, tar.Header{Name: "l/x", Typeflag: tar.TypeReg}),
		"over a link":      archiveOf(t, tar.Header{Name: "l", Linkname: filepath.Join(outside, "x"), Typeflag: tar.TypeSymlink}, tar.Header{Name: "l", Typeflag: tar.TypeReg}),
		"a device":         archiveOf(t, tar.Header{Name: "d", Typeflag: tar.TypeChar}),
		"a hard link":      archiveOf(t, tar.Header{Name: "h", Linkname: "/etc/passwd", Typeflag: tar.TypeLink}),
		"an end too early": bytes.NewBuffer(archiveOf(t, tar.Header{Name: "file", Typeflag: tar.TypeReg}).Bytes()[:514]),
	} {
		if err := Unpack(a, filepath.Join(t.TempDir(), "project")); err == nil {
			t.Errorf("%s: it was unpacked", name)
		}
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside: %v %v", entries, err)
	}
	if err := Unpack(archiveOf(t), "relative"); err == nil {
		t.Error("a relative path")
	}
}
