package teardown

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"

	"gitlab-sysbox-executor/executor/proc"
)

// start runs a script that says "ready" and then sleeps, until the test's end.
func started(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(name, args...)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		t.Fatal(err, said.String())
	}
	return c
}

// elsewhere runs a script in a user and a mount name space of its own, with args as
// $1 and on.
func elsewhere(t testing.TB, script string, args ...string) *exec.Cmd {
	t.Helper()
	return started(t, "unshare", append([]string{"-Ur", "-m", "bash", "-c", script, "bash"}, args...)...)
}

// folder makes a folder below a test's own.
func folder(t testing.TB, names ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{t.TempDir()}, names...)...)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func holdersOf(t testing.TB, path string) []Holder {
	t.Helper()
	all, gaps := Holders(t.Context(), []string{path})
	if gaps != "" {
		t.Error(gaps)
	}
	return all[path]
}

func possibleOf(t testing.TB, path string) PossibleHolders {
	t.Helper()
	possible, gaps := AllPossibleHolders(t.Context(), []string{path})
	if len(possible) != 1 || gaps != "" {
		t.Fatalf("%d possible: %s", len(possible), gaps)
	}
	return possible[0]
}

// Who holds a folder is found while it is there and, once it is gone, still is known,
// also from what a journal has of it.
func TestHolders(t *testing.T) {
	for name, c := range map[string]struct {
		hold func(t *testing.T, dir string) *exec.Cmd
		how  string
		// gone says that nothing is held once the folder is removed.
		gone bool
	}{
		"a mount in another name space": {func(t *testing.T, dir string) *exec.Cmd {
			return elsewhere(t, `mount --bind "$1" "$2" && echo ready && exec sleep 60`, dir, folder(t))
		}, "mount of", false},
		"a mount of what is below it": {func(t *testing.T, dir string) *exec.Cmd {
			return elsewhere(t, `mount --bind "$1/below" "$2" && echo ready && exec sleep 60`, dir, folder(t))
		}, "mount of", false},
		"a working folder": {func(t *testing.T, dir string) *exec.Cmd {
			return started(t, "sh", "-c", `cd "$1" && echo ready && exec sleep 60`, "sh", dir)
		}, "working folder", false},
		"a working folder below it": {func(t *testing.T, dir string) *exec.Cmd {
			return started(t, "sh", "-c", `cd "$1/below" && echo ready && exec sleep 60`, "sh", dir)
		}, "working folder", false},
		"a working folder in another name space": {func(t *testing.T, dir string) *exec.Cmd {
			return elsewhere(t, `cd "$1/below" && echo ready && exec sleep 60`, dir)
		}, "working folder", false},
		"an open file": {func(t *testing.T, dir string) *exec.Cmd {
			return started(t, "sh", "-c", `exec 5>"$1/below/file" && echo ready && exec sleep 60`, "sh", dir)
		}, "open file", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, "held")
			if err := os.Mkdir(filepath.Join(dir, "below"), 0o755); err != nil {
				t.Fatal(err)
			}
			before := possibleOf(t, dir)
			if now, held := before.Still(t.Context()); held {
				t.Errorf("held before anybody does: %v", now.holders())
			}
			pid := c.hold(t, dir).Process.Pid
			isIt := func(h Holder) bool { return h.PID == pid && strings.HasPrefix(h.How, c.how+" ") }
			if found := holdersOf(t, dir); !slices.ContainsFunc(found, isIt) || len(found) != 1 {
				t.Errorf("%v", found)
			}
			g := possibleOf(t, dir)
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			for from, g := range map[string]PossibleHolders{"as it was found": g, "from a journal": ParsePossibleHolders(dir, g.String())} {
				now, held := g.Still(t.Context())
				if held != !c.gone {
					t.Errorf("%s: held %t once it is removed: %v", from, held, now.holders())
				} else if held && !slices.ContainsFunc(now.holders(), isIt) {
					t.Errorf("%s: %v", from, now.holders())
				}
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				if err := g.Released(ctx); (err == nil) != c.gone || err != nil && !strings.Contains(err.Error(), fmt.Sprintf("process %d (", pid)) {
					t.Errorf("%s: %v", from, err)
				}
			}
		})
	}
}

// A file system of its own is kept by whoever stands anywhere in it, and by a copy of
// its mount only where that keeps a device.
func TestHoldersOfAFileSystem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	dir := folder(t, "held")
	if out, err := exec.Command("mount", "-t", "tmpfs", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	if err := os.Mkdir(filepath.Join(dir, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	copied := started(t, "unshare", "-m", "sh", "-c", "echo ready; exec sleep 60")
	stands := started(t, "unshare", "-m", "sh", "-c", `cd "$1/below" && echo ready && exec sleep 60`, "sh", dir)
	mounted := started(t, "unshare", "-m", "sh", "-c", `mount --bind "$1/below" "$2" && echo ready && exec sleep 60`, "sh", dir, folder(t))
	g := possibleOf(t, dir)
	if !g.Whole {
		t.Fatalf("%+v", g.target)
	}
	if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for from, c := range map[string]struct {
		possible PossibleHolders
		mounts   bool
	}{
		"as it was found":                 {g, true},
		"from a journal":                  {ParsePossibleHolders(dir, g.String()), true},
		"from an older version's journal": {ParsePossibleHolders(dir, fmt.Sprintf("device=%d %d=%d", g.Device, stands.Process.Pid, g.stands[0].Started)), false},
	} {
		now, held := c.possible.Still(t.Context())
		var pids []int
		for _, h := range now.holders() {
			pids = append(pids, h.PID)
		}
		want := []int{mounted.Process.Pid, stands.Process.Pid}
		if !c.mounts {
			want = want[1:]
		}
		if !held || !slices.Equal(pids, want) || slices.Contains(pids, copied.Process.Pid) {
			t.Errorf("%s: %v, want %v", from, now.holders(), want)
		}
	}
}

// The kernel gives the number of a file system that is gone to the next one. A container that was
// being started while the file system was there had a copy of its mount, and may have another
// file system with that number afterwards.
func TestNumberOfAnotherFileSystem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	mount := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
			t.Fatal(err, string(out))
		}
	}
	dir, at, turn := folder(t, "held"), folder(t, "at"), filepath.Join(folder(t), "turn")
	mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", dir)
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	if out, err := exec.Command("mkfifo", turn).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	other := exec.Command("unshare", "-m", "bash", "-c", `echo "ready" && umount "$1" && read <"$3" &&
		number=$REPLY && for n in $(seq 100); do
			mkdir "$2/$n" && mount -t tmpfs -o size=2m tmpfs "$2/$n" || exit
			if mountpoint -d "$2/$n" | grep -qxF "$number"; then break; fi
		done && echo "again" && exec sleep 60`, "bash", dir, at, turn)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	g := possibleOf(t, dir)
	// The possible holders of a look before it unmounted its copy.
	number, _ := exec.Command("mountpoint", "-d", dir).Output()
	id, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", other.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	g.spaces = []space{{ID: id, Processes: []process{{other.Process.Pid, proc.Started(other.Process.Pid)}}, At: dir}}
	if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	if err := os.WriteFile(turn, number, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	for from, g := range map[string]PossibleHolders{"as it was found": g, "from a journal": ParsePossibleHolders(dir, g.String())} {
		if now, held := g.Still(t.Context()); held {
			t.Errorf("%s: %v", from, now.holders())
		}
	}
}

// The same of a block device, which is known by the number of its attachment.
func TestNumberOfAnotherAttachment(t *testing.T) {
	own, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return identity(m) == "" || m.Major == 0, false })
	if err != nil || len(own) == 0 {
		t.Skip("no mount of a block device with a diskseq", err)
	}
	m := own[0]
	holder := started(t, "unshare", "-m", "sh", "-c", "echo ready; exec sleep 60")
	id, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", holder.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	g := PossibleHolders{target: target{Path: "/held", Mount: numbers{m.Major, m.Minor}, Whole: true, Identity: identity(m)},
		spaces: []space{{ID: id, Processes: []process{{holder.Process.Pid, proc.Started(holder.Process.Pid)}}}}}
	if _, held := g.Still(t.Context()); !held {
		t.Error("the same attachment is not held")
	}
	g.Identity += "0"
	if now, held := g.Still(t.Context()); held {
		t.Errorf("%v", now.holders())
	}
}

// A container can name its folders, mounts and their sources as it likes: that holds
// nothing of ours, delays nobody and is in nobody's message.
func TestHostilePretendedHolders(t *testing.T) {
	dir := folder(t, "volumes", "victim")
	parent := filepath.Dir(filepath.Dir(dir))
	elsewhere(t, `exec 3>"$1/../../holding" # not the target, but near it
		mount -t tmpfs tmpfs "$2" && mkdir -p "$1/below" "$2/l" "$2/u" "$2/w" "$2/m" &&
		mount -t tmpfs "$1" "$1" && mkdir -p "$1/below" "$1/u" "$1/w" && mount -t tmpfs "$1/below" "$2/m" &&
		mount -t overlay -o "lowerdir=$2/l,upperdir=$1/u,workdir=$1/w" "$1" "$2/l" &&
		cd "$1/below" && exec 5>file && echo ready && exec -a $'x\nERROR: attack' sleep 60`, dir, parent)
	if found := holdersOf(t, dir); len(found) > 0 {
		t.Errorf("%v", found)
	}
	g := possibleOf(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if now, held := g.Still(t.Context()); held {
		t.Errorf("%v", now.holders())
	}
}

// What a container chose of a holder's name is in quotes, on one line and cut.
func TestHostileNamesOfHolders(t *testing.T) {
	dir := folder(t, "held")
	at := folder(t, "x\nERROR: attack\x1b[31m"+strings.Repeat("y", 100))
	elsewhere(t, `mount --bind "$1" "$2" && printf '\e]0;x" ' >/proc/$$/comm && echo ready && kill -STOP $$`, dir, at)
	found := holdersOf(t, dir)
	if len(found) != 1 {
		t.Fatalf("%v", found)
	}
	text := found[0].String()
	if strings.ContainsAny(text, "\n\x1b") || len(text) > 600 || !strings.Contains(text, `("\x1b]0;x\" ")`) {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

// A container's process that looks like the shim of another container is left alone.
func TestEndShims(t *testing.T) {
	const id = "0123456789abcdef"
	for name, c := range map[string]struct {
		space []string
		ends  bool
	}{
		"ours":                      {nil, true},
		"one of another name space": {[]string{"unshare", "-Ur", "--pid", "--kill-child"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			args := append(c.space, "bash", "-c", `exec -a containerd-shim-test bash -c 'echo ready; while :; do sleep 1; done' -id `+id)
			p := started(t, args[0], args[1:]...)
			EndShims(t.Context(), id)
			ends := false
			for end := time.Now().Add(5 * time.Second); !ends && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				stat, err := proc.ReadStat(p.Process.Pid)
				if ends = err != nil || stat.Dead(); !c.ends {
					break
				}
			}
			if ends != c.ends {
				t.Errorf("it was ended: %t", ends)
			}
		})
	}
}

// endless is a mount table without an end.
type endless struct{ read, lines int }

func (e *endless) Read(p []byte) (int, error) {
	line := fmt.Sprintf("%d 1 0:5 / /mnt/%d rw - tmpfs tmpfs rw\n", e.lines+2, e.lines)
	e.lines++
	n := copy(p, line[:min(len(p), len(line))])
	e.read += n
	return n, nil
}

// No mount table is read further than its bound, nor after the time is up.
func TestHostileScanIsBounded(t *testing.T) {
	table := &endless{}
	lines := 0
	err := scanTable(t.Context(), table, 100, func(*mountinfo.Info) bool { lines++; return true })
	if !errors.Is(err, errManyMounts) || lines != 100 || table.read > 100*40+64<<10 {
		t.Errorf("%v after %d lines and %d bytes", err, lines, table.read)
	}
	ctx, cancel := context.WithCancel(t.Context())
	lines = 0
	err = scanTable(ctx, &endless{}, 1<<40, func(*mountinfo.Info) bool {
		if lines++; lines == 10 {
			cancel()
		}
		return true
	})
	if !errors.Is(err, context.Canceled) || lines != 10 {
		t.Errorf("%v after %d lines", err, lines)
	}
}

// manyMounts is a mount name space with 2^doublings mounts and some.
func manyMounts(t testing.TB, doublings int) *exec.Cmd {
	t.Helper()
	return elsewhere(t, `mount -t tmpfs tmpfs "$1" && mkdir "$1/a" && mount -t tmpfs tmpfs "$1/a" && cd "$1" && mkdir a/0 &&
		for n in $(seq "$2"); do mkdir -p "a/$n" && mount --rbind a "a/$n" || exit; done && echo ready && exec sleep 600`,
		folder(t), fmt.Sprint(doublings))
}

// A name space with too many mounts is left out, and that is said; who holds
// something in another is found all the same.
func TestHostileManyMounts(t *testing.T) {
	old := maxMounts
	t.Cleanup(func() { maxMounts = old })
	maxMounts = 250
	manyMounts(t, 9)
	dir := folder(t, "held")
	holder := elsewhere(t, `mount --bind "$1" "$2" && echo ready && exec sleep 60`, dir, folder(t))
	all, gaps := Holders(t.Context(), []string{dir})
	if found := all[dir]; len(found) != 1 || found[0].PID != holder.Process.Pid {
		t.Errorf("%v", found)
	}
	if !strings.Contains(gaps, "more than 250 mounts") {
		t.Errorf("gaps: %q", gaps)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, gaps := AllPossibleHolders(ctx, []string{dir}); !strings.Contains(gaps, "not all processes") {
		t.Errorf("gaps when the time is up: %q", gaps)
	}
}

// BenchmarkLook is one look for ten paths beside name spaces of 65,000 mounts each.
func BenchmarkLook(b *testing.B) {
	for _, spaces := range []int{0, 1, 5} {
		b.Run(fmt.Sprintf("spaces=%d", spaces), func(b *testing.B) {
			for range spaces {
				manyMounts(b, 16)
			}
			var paths []string
			for range 10 {
				paths = append(paths, folder(b, "held"))
			}
			b.ReportAllocs()
			for b.Loop() {
				AllPossibleHolders(b.Context(), paths)
			}
		})
	}
}
