package agent

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
	me, err := lookup(strconv.Itoa(os.Geteuid()))
	if err != nil {
		t.Fatal(err)
	}
	other := account{UID: os.Geteuid() + 1, Home: "/home/other"}
	for _, tc := range []struct {
		name string
		who  account
		env  []string
		want string
	}{
		{"given", other, []string{"A=b"}, "A=b HOME=/home/other"},
		{"empty", other, []string{"HOME=", "A=b"}, "A=b HOME=/home/other"},
		{"not ours", other, []string{"HOME=" + me.Home, "A=b"}, "A=b HOME=/home/other"},
		{"the job's own", other, []string{"HOME=/elsewhere", "A=b"}, "HOME=/elsewhere A=b"},
		{"ours", me, []string{"HOME=" + me.Home}, "HOME=" + me.Home},
		{"a user without", account{UID: 12345}, nil, "HOME=/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := strings.Join(tc.who.environ(tc.env), " "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
