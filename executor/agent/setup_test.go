package agent

import (
	"bytes"
	"errors"
	"io"
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

// A program runs as somebody who cannot enter the folder, and can open its own
// standard output, as a runtime would have it.
func TestStartInAFolderOfSomebodyElse(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(here) // back at the end
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	a := account{UID: 1000, GID: 1000, Home: "/"}
	pid, err := a.start("/bin/sh", []string{"sh", "-c", "pwd; echo opened >/dev/stdout"}, dir, []string{"PATH=/usr/bin:/bin"}, []uintptr{0, w.Fd(), w.Fd()})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	out, err := io.ReadAll(r)
	if err != nil || string(out) != dir+"\nopened\n" {
		t.Errorf("%q %v", out, err)
	}
	if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
		t.Error(err)
	}
}

// A folder for temporary files comes back, with the parents that went with it; what
// is there keeps its mode.
func TestRemake(t *testing.T) {
	parent := t.TempDir()
	me := account{UID: os.Getuid(), GID: os.Getgid()}
	if os.Getuid() == 0 { // somebody who may not write everywhere
		me = account{UID: 1000, GID: 1000}
		for dir := parent; dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown(parent, 1000, 1000); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(parent, "project", "tmp")
	me.remake(dir)
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o777 || info.Mode()&os.ModeSticky == 0 || int(info.Sys().(*syscall.Stat_t).Uid) != me.UID {
		t.Fatal(info, err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	me.remake(dir)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Error(info, err)
	}
	me.remake("")
	if os.Getuid() == 0 {
		foreign := filepath.Join(t.TempDir(), "foreign")
		me.remake(foreign)
		if _, err := os.Stat(foreign); err == nil {
			t.Error("it was made where its owner may not write")
		}
	}
}

// What is made on the way to a folder belongs to whoever has the folder it is in.
func TestParentsOfAFolderBelongToTheirFolder(t *testing.T) {
	builds, uid := t.TempDir(), os.Getuid()
	if uid == 0 {
		uid = 1000 // else there is but one owner
	}
	if err := os.Chown(builds, uid, -1); err != nil {
		t.Fatal(err)
	}
	if err := (Folder{Path: filepath.Join(builds, "group", "project", "tmp"), Mode: 0o1777}).make(account{}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"group", "group/project"} {
		info, err := os.Stat(filepath.Join(builds, path))
		if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != uid || info.Mode().Perm() != 0o755 {
			t.Error(path, info, err)
		}
	}
}

// A folder whose place the job chose is made with its user's rights and with no
// others: the job's TMPDIR may be /etc.
func TestFolderByUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test becomes somebody else: run it as root")
	}
	root, user := t.TempDir(), account{UID: 1000, GID: 1000, Groups: []int{1000, 50}}
	for dir := root; dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, c := range map[string]struct {
		uid, gid int
		mode     os.FileMode
	}{"etc": {0, 0, 0o755}, "own": {1000, 0, 0o700}, "group": {0, 50, 0o770}, "root-group": {0, 0, 0o775}} {
		path = filepath.Join(root, path)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Chown(path, c.uid, c.gid), os.Chmod(path, c.mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../etc", filepath.Join(root, "own", "link")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		made bool
		mode fs.FileMode // afterwards; 0 for none there
	}{
		{"etc", true, 0o755},      // it is there, and stays as it is
		{"own/link", true, 0o777}, // the link's own
		{"etc/new", false, 0},
		{"own/link/new", false, 0},
		{"root-group/new", false, 0},
		{"own/a/b", true, 0o777},
		{"own", true, 0o700},
		{"group/new", true, 0o777},
	} {
		path := filepath.Join(root, c.path)
		err := Folder{Path: path, Mode: 0o1777, ByUser: true}.make(user)
		if c.made != (err == nil) {
			t.Errorf("%s: %v", c.path, err)
		}
		info, err := os.Lstat(path)
		if (err == nil) != (c.mode != 0) || err == nil && info.Mode().Perm() != c.mode {
			t.Errorf("%s: %v %v, want mode %v", c.path, info, err, c.mode)
		}
	}
	if info, err := os.Stat(filepath.Join(root, "etc")); err != nil || info.Mode() != os.ModeDir|0o755 {
		t.Errorf("etc: %v %v", info.Mode(), err)
	}
	for _, path := range []string{"own/a", "own/a/b", "group/new"} {
		if info, err := os.Stat(filepath.Join(root, path)); err != nil || info.Sys().(*syscall.Stat_t).Uid != 1000 {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
	if err := (Folder{Path: filepath.Join(root, "own", "x"), Mode: 0o1777, ByUser: true}).make(account{UID: -1, GID: 1}); err == nil {
		t.Error("it was made with the rights of nobody at all")
	}
}
