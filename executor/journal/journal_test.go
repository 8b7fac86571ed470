package journal

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/owner"
)

func begin(t *testing.T, dir string) *Journal {
	t.Helper()
	j, aside, err := Open(dir, "gsx-1")
	if err != nil || aside != "" {
		t.Fatal(aside, err)
	}
	if err := j.Begin(map[string]int{"job": 1}, owner.Process{PID: 1}, "unix:///engine", Resource{Kind: Folder, Name: "/f", Answered: true}); err != nil {
		t.Fatal(err)
	}
	return j
}

func TestJournalSurvivesItsProcess(t *testing.T) {
	dir := t.TempDir()
	j := begin(t, dir)
	if err := j.Intend(Resource{Kind: Volume, Name: "v"}, Resource{Kind: Network, Name: "n"}); err != nil {
		t.Fatal(err)
	}
	j.Answered(Volume, "v")
	if err := j.Strike(Network, "n"); err != nil {
		t.Fatal(err)
	}
	c, there, err := Read(dir, "gsx-1")
	if err != nil || !there || len(c.Resources) != 2 || c.Engine != "unix:///engine" {
		t.Fatalf("%+v %v %v", c, there, err)
	}
	if v := c.Resources[1]; v.Name != "v" || !v.Answered || v.At.IsZero() {
		t.Errorf("%+v", v)
	}
	if err := j.Forget(); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}

func TestJournalThatCannotBeRead(t *testing.T) {
	for name, text := range map[string]string{
		"torn":           `{"schema": 1, "name": "gsx-1", "res`,
		"empty":          ``,
		"zeroes":         strings.Repeat("\x00", 4096),
		"a later schema": `{"schema": 99, "name": "gsx-1"}`,
		"another job's":  `{"schema": 1, "name": "gsx-2"}`,
		"not an object":  `[1]`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(Path(dir, "gsx-1"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, there, err := Read(dir, "gsx-1"); err == nil || !there {
				t.Errorf("read without complaint")
			}
			j, aside, err := Open(dir, "gsx-1")
			if err != nil || aside == "" || len(j.Resources()) != 0 {
				t.Fatal(j, aside, err)
			}
			if kept, err := os.ReadFile(aside); err != nil || string(kept) != text {
				t.Errorf("set aside as %q %v", kept, err)
			}
			if found, _ := Aside(dir); len(found) != 1 || found[0] != aside {
				t.Errorf("found %v", found)
			}
			begin(t, dir)
			if names, _ := Names(dir); len(names) != 1 || names[0] != "gsx-1" {
				t.Errorf("names %v", names)
			}
		})
	}
}

// A change is on disk when it is reported as done, also if one write has many changes.
func TestChangesAtOnce(t *testing.T) {
	dir := t.TempDir()
	j, _, err := Open(dir, "job")
	if err != nil {
		t.Fatal(err)
	}
	const all = 50
	var changing sync.WaitGroup
	j.disk.Lock()
	for n := range all {
		changing.Go(func() {
			name := strconv.Itoa(n)
			if err := j.Intend(Resource{Kind: Volume, Name: name}); err != nil {
				t.Error(err)
			}
			c, _, err := Read(dir, "job")
			if err != nil || c.find(Volume, name) < 0 {
				t.Errorf("%s is not in %+v: %v", name, c.Resources, err)
			}
		})
	}
	for len(j.Resources()) < all {
		time.Sleep(time.Millisecond)
	}
	j.disk.Unlock()
	changing.Wait()
}
