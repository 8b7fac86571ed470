package storage

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// drivers prints the storage drivers that Buildah and Podman have behind a
// prefix to their command lines.
func drivers(name, prefix string) string {
	return fmt.Sprintf(`echo "%s:" $(%s buildah info | tr -d ' ",' | sed -n s/GraphDriverName://p) $(%s podman info --format '{{.Store.GraphDriverName}} {{.Store.GraphRoot}}')`,
		name, prefix, prefix)
}

// Whatever leads away from vfs does not get there. The
// images hold a storage configuration with mount_program and mountopt, one of
// each user's own, and Podman databases that say overlay.
func TestStorageDriverSurvivesEveryEscape(t *testing.T) {
	t.Parallel()
	for _, c := range harness.Some(2, harness.Pairs([]string{"escape", "escape-trixie"}, []string{"root", "builder"})...) {
		name, user := c[0], c[1]
		t.Run(name+" as "+user, func(t *testing.T) {
			t.Parallel()
			const bare = "env -i PATH=$PATH PODMAN_IGNORE_CGROUPSV1_WARNING=1 HOME=$HOME"
			own := "/var/lib/containers/users/1000/storage"
			other := "sudo PODMAN_IGNORE_CGROUPSV1_WARNING=1"
			if user == "root" {
				own = "/var/lib/containers/storage"
				other = "sudo -u builder -H PODMAN_IGNORE_CGROUPSV1_WARNING=1"
			}
			j := harness.With(harness.Job(t, name,
				"export PODMAN_IGNORE_CGROUPSV1_WARNING=1",
				drivers("plain", ""),
				drivers("bare", bare),
				drivers("options", "env STORAGE_OPTS="),
				drivers("no driver", "env -u STORAGE_DRIVER"),
				drivers("no configuration", "env -u CONTAINERS_STORAGE_CONF -u STORAGE_DRIVER -u STORAGE_OPTS"),
				drivers("another user", other),
				// The environment that systemd gives to a unit.
				drivers("unit", `env -i HOME=$HOME PATH=$PATH PODMAN_IGNORE_CGROUPSV1_WARNING=1 $(sed -n 's/^DefaultEnvironment=//p' /etc/systemd/system.conf.d/*.conf | tr -d '"')`),
				"rm -rf ~/.config/containers && mkdir -p ~/.config/containers",
				`printf '[storage]\ndriver = "overlay"\n' >~/.config/containers/storage.conf`,
				drivers("own file", ""),
				drivers("own file bare", bare),
				drivers("own file elsewhere", `env XDG_CONFIG_HOME=$HOME/.config`),
			), runner.Var("STORAGE_DRIVER", "overlay"), runner.Var("STORAGE_OPTS", "overlay.mount_program=/usr/bin/fuse-overlayfs"),
				runner.Var("CONTAINERS_STORAGE_CONF", "/root/.config/containers/storage.conf"))
			j.Image.User = user
			r := harness.NewPlace(t, harness.Settings{}).Succeed(t, j)
			for _, way := range []string{"plain", "bare", "options", "no driver", "no configuration", "unit", "own file", "own file bare", "own file elsewhere"} {
				harness.WantLines(t, r, way+": vfs vfs "+own)
			}
			others := "/var/lib/containers/storage"
			if user == "root" {
				others = "/var/lib/containers/users/1000/storage"
			}
			harness.WantLines(t, r, "another user: vfs vfs "+others)
			for _, variable := range []string{"STORAGE_DRIVER", "STORAGE_OPTS", "CONTAINERS_STORAGE_CONF"} {
				if n := strings.Count(r.Call("prepare").Output.String(), "job variable "+variable+" is overridden"); n != 1 {
					t.Errorf("%d lines tell that %s is overridden\n%s", n, variable, r.Call("prepare"))
				}
			}
		})
	}
}

// The same of units of systemd's, which are started with an empty environment.
func TestStorageDriverInSystemdUnits(t *testing.T) {
	t.Parallel()
	for _, name := range harness.Some(1, "escape", "escape-trixie") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script := []string{}
			for _, user := range []string{"root", "builder"} {
				// Rootless Podman leaves a process that ignores SIGTERM: by default, systemd would wait 90 s for it.
				script = append(script,
					harness.Lines("cat >/usr/local/bin/tell-"+user+" <<'END'", "#!/bin/sh", "export PODMAN_IGNORE_CGROUPSV1_WARNING=1",
						drivers(user, ""), `echo "`+user+` has $TMPDIR"`, "END", "chmod 755 /usr/local/bin/tell-"+user),
					harness.Lines("cat >/etc/systemd/system/tell-"+user+".service <<END", "[Service]", "Type=oneshot", "User="+user,
						"ExecStart=/usr/local/bin/tell-"+user, "KillMode=process", "StandardOutput=truncate:/tmp/"+user, "StandardError=truncate:/tmp/"+user+".err", "END"))
			}
			j := harness.With(harness.Job(t, name, append(script, "systemctl daemon-reload",
				"systemctl start tell-root.service tell-builder.service || cat /tmp/*.err", "cat /tmp/root /tmp/builder",
				drivers("sudo", "sudo -u builder -H PODMAN_IGNORE_CGROUPSV1_WARNING=1"),
			)...), runner.Var("EXECUTOR_SYSTEMD", "true"), runner.Var("STORAGE_DRIVER", "overlay"))
			harness.WantLines(t, harness.NewPlace(t, harness.Settings{}).Succeed(t, j),
				"root: vfs vfs /var/lib/containers/storage", "root has /gsx/tmp",
				"builder: vfs vfs /var/lib/containers/users/1000/storage", "builder has /gsx/tmp",
				"sudo: vfs vfs /var/lib/containers/users/1000/storage")
		})
	}
}

func TestDriverConflictFailsTheJob(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[storage]\ndriver_conflict = \"fail\""})
	r := p.Runner.Play(harness.With(harness.Job(t, "bookworm", "true"), runner.Var("STORAGE_DRIVER", "overlay")))
	if got := strings.Join(r.Stages(), " "); r.Outcome != runner.ScriptFailure || got != "config prepare cleanup" {
		t.Errorf("stages %s\n%s", got, r)
	}
	p.Succeed(t, harness.With(harness.Job(t, "bookworm", "true"), runner.Var("STORAGE_DRIVER", "vfs")))
}

// A full volume is the job's own trouble.
func TestFullVolumeHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	for _, backend := range []string{"xfs-loop", "tmpfs"} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			// A disk of its own shows what becomes of the host's.
			host := t.TempDir()
			harness.Disk(t, host, "4G", "mkfs.ext4", "-q", "-F", "-m", "0")
			p := harness.NewPlace(t, harness.Settings{Other: fmt.Sprintf("[storage]\nbackend = %q\nsize = \"1GiB\"\ndir = %q", backend, host)})
			neighbour := p.Ready(t, harness.Job(t, "bookworm", "true"))
			before := harness.FreeSpace(t, host)
			lowest := make(chan int64, 1)
			watched, stop := context.WithCancel(t.Context())
			defer stop()
			go func() {
				free := before
				for ; watched.Err() == nil; time.Sleep(20 * time.Millisecond) {
					free = min(free, harness.FreeSpace(t, host))
				}
				lowest <- free
			}()
			r := p.Runner.Play(harness.Job(t, "bookworm",
				"dd if=/dev/zero of=/var/lib/containers/most bs=1M count=$(($(df --output=avail -m /var/lib/containers | tail -1) * 85 / 100)) status=none; sleep 2",
				"dd if=/dev/zero of=$TMPDIR/fill bs=1M || echo dd failed with $?",
				"false"))
			stop()
			if r.Outcome != runner.ScriptFailure {
				t.Error(r)
			}
			// The host gives what the job may have, and what ext4 notes of it, and no more.
			took, most, least := before-<-lowest, int64(1<<30+64<<20), int64(800<<20)
			if backend == "tmpfs" {
				most, least = 1<<20, 0
			}
			if took > most || took < least {
				t.Errorf("the job with 1 GiB took %d bytes of the host's disk, which had %d free", took, before)
			}
			if after := harness.FreeSpace(t, host); before-after > 16<<20 {
				t.Errorf("the host's disk had %d bytes free before the job and %d after it", before, after)
			}
			out := r.Call(runner.StageBuild).Output.String()
			for _, want := range []string{"No space left on device", "dd failed with 1",
				"The job's storage volume is 80 % full", "The job's storage volume is 95 % full",
				"The job's storage volume at /var/lib/containers was full: of its 1GiB (storage.size) nothing was left",
				"Storage: driver vfs on " + backend + ", ", " of 1GiB used, peak "} {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			if call := neighbour.RunScript(t.Context(), runner.StageBuild, "#!/usr/bin/env bash\ndd if=/dev/zero of=/var/lib/containers/tmp/mine bs=1M count=100 && echo goes on\n"); call.Err != nil || !call.Output.Has("goes on") {
				t.Error(call)
			}
		})
	}
}

func TestStorageLine(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[storage]\nbackend = \"xfs-loop\""})
	r := p.Succeed(t, harness.Job(t, "bookworm",
		"cd /var/lib/containers", "dd if=/dev/urandom of=one bs=1M count=100 status=none", "cp --reflink=always one two", "sync",
		// A removed file uses no space any more. XFS frees its blocks in the background.
		"dd if=/dev/urandom of=three bs=1M count=200 status=none; sync; sleep 2; rm three; sleep 2"))
	out := r.Call(runner.StageBuild).Output.String()
	var used, peak, saved float64
	i := strings.Index(out, "Storage: driver vfs on xfs-loop, ")
	if i < 0 {
		t.Fatal(out)
	}
	if _, err := fmt.Sscanf(out[i:], "Storage: driver vfs on xfs-loop, %fMiB of 20GiB used, peak %fMiB, %fMiB saved by shared blocks.", &used, &peak, &saved); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// XFS takes blocks ahead of files that grow: a peak may be that much higher.
	if used < 95 || used > 130 || peak < 290 || peak > 700 || saved < 90 || saved > 110 {
		t.Errorf("used %g, peak %g, saved %g\n%s", used, peak, saved, out)
	}
}

// Admission counts what running jobs may still take.
func TestAdmission(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[storage]\nbackend = \"xfs-loop\"\nsize = \"1GiB\"\nmin_free = \"4PiB\""})
	r := p.Runner.Play(harness.Job(t, "bookworm", "true"))
	if r.Outcome != runner.SystemFailure || !strings.Contains(r.Log.String(), "no room for the job's storage volume: ") || !strings.Contains(r.Log.String(), "is less than min_free 4PiB") {
		t.Error(r)
	}
}

// Taken where it works, which the trial tells.
func TestOverlayOnRequest(t *testing.T) {
	t.Parallel()
	p := harness.NewPlace(t, harness.Settings{Other: "[storage]\nbackend = \"xfs-loop\"\ndriver = \"overlay\""})
	r := p.Succeed(t, harness.Job(t, "buildah", append(harness.BuildScript(), harness.BuildahDriver("bare", "env -i HOME=/root /usr/bin/buildah"), "ls -A /var/lib/containers | grep overlay || echo nothing left")...))
	out := r.Log.String()
	want := "overlay"
	if strings.Contains(out, "native overlay does not work in this container") {
		want = "vfs"
	}
	harness.WantLines(t, r, "layers first second", "GraphDriverName:"+want, "bare "+want, "nothing left")
	if !strings.Contains(out, "Storage: driver "+want+" on xfs-loop") {
		t.Error(out)
	}
}

func TestBackends(t *testing.T) {
	t.Parallel()
	for _, backend := range harness.Some(2, "volume", "xfs-loop", "tmpfs") { // xfs-loop is every other test's
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			p := harness.NewPlace(t, harness.Settings{Other: fmt.Sprintf("[storage]\nbackend = %q\nsize = \"1GiB\"", backend)})
			j := harness.Job(t, "buildah", harness.BuildScript()...)
			j.Services = []runner.Image{{Name: harness.Image(t, "bookworm"), PullPolicies: []string{"if-not-present"}, Command: []string{"sh", "-c", "until echo hello >/var/lib/containers/tmp/from-service; do sleep 0.1; done; sleep 600"}}}
			j.Script = append(j.Script, "cat /var/lib/containers/tmp/from-service", `echo "on $(findmnt -no FSTYPE /var/lib/containers)"`)
			r := p.Succeed(t, j)
			harness.WantBuilt(t, r.Log.String())
			harness.WantLines(t, r, "hello")
			if !strings.Contains(r.Call("prepare").Output.String(), "Storage volume: "+backend+", ") {
				t.Error(r.Call("prepare"))
			}
		})
	}
}
