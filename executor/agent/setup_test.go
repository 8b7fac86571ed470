package agent

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// lockedBuffer is written by one goroutine and read by another.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestSetupMakesFolders(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	root := t.TempDir()
	there := filepath.Join(root, "there")
	if err := os.Mkdir(there, 0o700); err != nil {
		t.Fatal(err)
	}
	s := Setup{Folders: []Folder{
		{Path: filepath.Join(root, "a/b/tmp"), Mode: 0o1777},
		{Path: filepath.Join(there, "inside"), Mode: 0o755},
	}}
	for range 2 { // a second time changes nothing
		if _, err := s.apply(); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]fs.FileMode{
		"a": 0o755, "a/b": 0o755, "a/b/tmp": 0o777 | fs.ModeSticky,
		"there": 0o700, "there/inside": 0o755,
	} {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode() &^ fs.ModeDir; got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

func TestSetupGivesOwnedFoldersToTheUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test gives files away: run it as root")
	}
	path := filepath.Join(t.TempDir(), "builds")
	a, err := Setup{User: "1234:5678", Folders: []Folder{{Path: path, Mode: 0o777, Owned: true}}}.apply()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	if a.UID != 1234 || st.Uid != 1234 || st.Gid != 5678 {
		t.Errorf("got %+v, owner %d:%d", a, st.Uid, st.Gid)
	}
}

func TestSetupTellsWhichFolder(t *testing.T) {
	_, err := Setup{Folders: []Folder{{Path: "/proc/no/such", Mode: 0o777}}}.apply()
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("/proc/no/such")) {
		t.Errorf("got %v", err)
	}
}

func TestHomeIsKeptOrGiven(t *testing.T) {
	a := account{Home: "/home/me"}
	for _, tc := range []struct {
		name string
		env  []string
		want string
	}{
		{"given", []string{"A=b"}, "HOME=/home/me"},
		{"kept", []string{"HOME=/elsewhere", "A=b"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := a.environ(tc.env)
			if tc.want == "" && len(got) != len(tc.env) || tc.want != "" && got[len(got)-1] != tc.want {
				t.Errorf("got %q", got)
			}
		})
	}
}
