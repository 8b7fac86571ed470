package hostile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/containerdir"
	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// A job that gets past the read-only mount finds copies of its own, and no other
// job's, behind it.
func TestHostileProgramsInAContainerAreCopies(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: fmt.Sprintf("[helper]\nmode = \"job\"\nrunner_binary = %q\n", harness.World.Binary)})
	inodes := map[string]bool{}
	for range 2 {
		j := harness.Job(t, "bookworm", "for f in agent bin/gitlab-runner; do stat -c 'inode %i' /opt/gitlab-sysbox-executor/$f; stat -c 'links %h' /opt/gitlab-sysbox-executor/$f; done")
		j.Artifacts = []runner.Artifact{{Paths: []string{"none"}}} // which takes gitlab-runner
		s := p.Ready(t, j)
		host, err := os.Stat(harness.World.Binary)
		if err != nil {
			t.Fatal(err)
		}
		inodes[fmt.Sprintf("inode %d", host.Sys().(*syscall.Stat_t).Ino)] = true
		call := s.Run(t.Context(), runner.StageBuild)
		seen := 0
		for _, line := range call.Output.Lines() {
			var inode, links int
			if n, _ := fmt.Sscanf(line.Text, "inode %d", &inode); n == 1 {
				seen++
				if inodes[line.Text] {
					t.Errorf("%s is the host's or another job's", line.Text)
				}
				inodes[line.Text] = true
			} else if n, _ := fmt.Sscanf(line.Text, "links %d", &links); n == 1 && links != 1 {
				t.Errorf("there are %d names of it", links)
			}
		}
		if call.Err != nil || seen != 2 {
			t.Error(call)
		}
	}
}

// A service that runs finds its settings as they were when it was started: neither
// empty for a moment, nor with the driver of the job's container.
func TestHostileSettingsOfServicesStay(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[storage]\ndriver = \"overlay\"\n"})
	const settings = "/etc/containers/storage.conf /etc/containers/containers.conf /etc/containers/containers-rootless.conf /etc/containers/containers.conf.d/zz-gitlab-sysbox-executor.conf"
	const see = "for f in " + settings + `; do stat -c '%n %i %s %y %z' $f; cat $f; done`
	j := harness.Job(t, "bookworm",
		"touch /var/lib/containers/ask; until [ -e /var/lib/containers/after.new ]; do sleep 0.1; done",
		"cd /var/lib/containers && diff before after && echo the service sees what it saw",
		`grep -h ^driver before | sort -u`,
		"grep -h default_ulimits /etc/containers/containers.conf | grep -c \"nofile=$(ulimit -Hn):\\|nofile=1048576:\"",
		"echo x >/etc/containers/storage.conf || echo mine are read-only",
		"ls /opt/gitlab-sysbox-executor",
	)
	j.Services = []runner.Image{harness.ShellService(t, "x", "cd /var/lib/containers; "+see+" >before; "+
		"until [ -e ask ]; do sleep 0.1; done; "+see+" >after; touch after.new; "+harness.Stay)}
	r := p.Succeed(t, j)
	harness.WantLines(t, r, "the service sees what it saw", `driver = "vfs"`, "1", "mine are read-only")
}

// Where the file system can share blocks, the copies take none of their own.
func TestCopiesOfProgramsShareBlocks(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp(harness.World.Dir, "reflink-")
	if err != nil {
		t.Fatal(err)
	}
	harness.SmallDisk(t, dir, "xfs")
	text, err := os.ReadFile(harness.World.Binary)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	used := func() int64 {
		t.Helper()
		unix.Sync() // blocks that are only promised count as taken
		var s unix.Statfs_t
		if err := unix.Statfs(dir, &s); err != nil {
			t.Fatal(err)
		}
		return int64(s.Blocks-s.Bfree) * s.Bsize
	}
	before := used()
	const copies = 5
	for n := range copies {
		d, err := containerdir.Make(filepath.Join(dir, strconv.Itoa(n)))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.CopyProgram(program, "agent"); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if copied, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(n), "agent")); err != nil || !bytes.Equal(copied, text) {
			t.Errorf("%d bytes, %v", len(copied), err)
		}
	}
	if more := used() - before; more > int64(len(text))/4 {
		t.Errorf("%d copies of %d bytes took %d", copies, len(text), more)
	}
}
