package storage

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeMkfs writes into the image that is its descriptor 3, once in its life.
func fakeMkfs(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mkfs.xfs")
	script := "#!/bin/sh\n[ ! -e " + path + ".ran ] || { echo again >&2; exit 1; }\n: >" + path + ".ran\n" +
		"for f in \"$@\"; do :; done\nprintf head | dd of=$f conv=notrunc status=none\nprintf tail | dd of=$f conv=notrunc bs=1M seek=100 status=none\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func sparse(t *testing.T) *os.File {
	t.Helper()
	f, err := nameless(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	return f
}

func want(t *testing.T, f *os.File) {
	t.Helper()
	for at, text := range map[int64]string{0: "head", 100 << 20: "tail"} {
		got := make([]byte, 4)
		if _, err := f.ReadAt(got, at); err != nil || string(got) != text {
			t.Errorf("at %d: %q %v", at, got, err)
		}
	}
}

func TestFormatRunsMkfsOncePerSize(t *testing.T) {
	x := xfsLoop{folder: t.TempDir(), mkfs: fakeMkfs(t), templates: t.TempDir()}
	for range 2 {
		image := sparse(t)
		if err := x.format(context.Background(), image, 1<<30); err != nil {
			t.Fatal(err)
		}
		want(t, image)
	}
	if err := x.format(context.Background(), sparse(t), 2<<30); err == nil || !strings.Contains(err.Error(), "again") {
		t.Errorf("another size was made from the same template: %v", err)
	}
}

func TestDamagedTemplateIsMadeAnew(t *testing.T) {
	x := xfsLoop{folder: t.TempDir(), mkfs: fakeMkfs(t), templates: t.TempDir()}
	path, err := x.template(1 << 30)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{nil, []byte("short"), bytes.Repeat([]byte("x"), 1000)} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readTemplate(path); err == nil {
			t.Errorf("%d bytes are taken for a template", len(text))
		}
	}
	image := sparse(t)
	if err := x.format(context.Background(), image, 1<<30); err != nil {
		t.Fatal(err)
	}
	want(t, image)
	if all, err := readTemplate(path); err != nil || len(all) != 2 {
		t.Error(len(all), err)
	}
}

func TestFormatWithoutAFolderForTemplates(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	x := xfsLoop{folder: t.TempDir(), mkfs: fakeMkfs(t), templates: filepath.Join(file, "below")}
	image := sparse(t)
	if err := x.format(context.Background(), image, 1<<30); err != nil {
		t.Fatal(err)
	}
	want(t, image)
}
