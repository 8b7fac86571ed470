package hostile

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/executor/engine"
	"gitlab-sysbox-executor/executor/sysbox"
	"gitlab-sysbox-executor/integration/harness"
)

// units is where the systemd container sees what the test gives it.
const units = "/gsx"

// booted is a container that boots systemd and sees dir at units.
func booted(t *testing.T, e *engine.Engine, dir string) (run func(script string) string) {
	t.Helper()
	id, err := e.CreateContainer(t.Context(), engine.Container{
		Name: fmt.Sprintf("gsx-units-%d", time.Now().UnixNano()), Image: harness.Image(t, "systemd"), Runtime: harness.World.Runtime, Entrypoint: sysbox.InitArgs(nil),
		Mounts: []engine.Mount{{Kind: engine.Bind, Source: dir, Target: units, ReadOnly: true}}, StopSignal: sysbox.StopSignal,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.RemoveContainer(context.WithoutCancel(t.Context()), id); err != nil {
			t.Error(err)
		}
	})
	if err := e.StartContainer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	run = func(script string) string {
		t.Helper()
		x, err := e.Exec(t.Context(), id, "0:0", "/", []string{"sh", "-c", "exec 2>&1; " + script})
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		var out bytes.Buffer
		if err := x.Copy(&out, &out); err != nil {
			t.Fatal(err)
		}
		for { // the end of the output may be a moment before the process's
			ended, code, err := x.Ended(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if ended && code != 0 {
				t.Errorf("%s: exit code %d\n%s", script, code, out.String())
			}
			if ended {
				return out.String()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	run("until [ -S /run/systemd/private ]; do sleep 0.1; done; systemctl is-system-running --wait || true")
	return run
}

// openToAll is the private engine's socket, for every user: a container's root is one.
func openToAll(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("unix", socketOf())
			if err != nil {
				from.Close()
				continue
			}
			go join(from.(*net.UnixConn), to.(*net.UnixConn))
		}
	}()
}

// The units are sandboxed, and do their work in that sandbox: gc removes a job whose
// cleanup has died, with a folder of another owner in it. What is mounted in a job's
// folder it leaves to a gc that may unmount.
func TestHostileUnitsAreSandboxed(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp(harness.World.Dir, "units-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	all, err := filepath.Glob(filepath.Join(harness.World.Repo, "scripts", "systemd", "*.service"))
	if err != nil || len(all) != 4 {
		t.Fatal(all, err)
	}
	config := fmt.Sprintf("runtime = %q\n[engine]\nhost = \"unix://%s/engine.sock\"\n[gc]\nkeep_volumes = \"0s\"\nmost_volumes = 0\n", harness.World.Runtime, units)
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, source := range append(all, harness.World.Binary) {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(dir, filepath.Base(source))
		if err := os.WriteFile(target, text, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(target, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	openToAll(t, filepath.Join(dir, "engine.sock"))
	e, err := engine.New(harness.World.Engine.Host, time.Minute, engine.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	run := booted(t, e, dir)
	for _, unit := range all {
		name := filepath.Base(unit)
		if out := run("systemd-analyze security --offline=true --no-pager --threshold=40 " + units + "/" + name); !strings.Contains(out, "Overall exposure level for "+name) {
			t.Errorf("%s\n%s", name, out)
		}
	}

	const job, mounted = "gsx-0123abcd-p1-j77", "gsx-0123abcd-p1-j78"
	labels := map[string]string{ourLabel + "name": job, ourLabel + "role": "network"}
	harness.Ask(t, http.MethodPost, "/networks/create", map[string]any{"Name": job, "Labels": labels})
	harness.Ask(t, http.MethodPost, "/volumes/create", map[string]any{"Name": job, "Labels": labels})
	run(harness.Lines("set -e",
		"cp "+units+"/"+filepath.Base(harness.World.Binary)+" /usr/local/bin/gitlab-sysbox-executor",
		"mkdir -p /etc/gitlab-sysbox-executor /var/lib/prometheus/node-exporter",
		"cp "+units+"/config.toml /etc/gitlab-sysbox-executor/",
		"cp "+units+"/*.service /etc/systemd/system/",
		"systemctl daemon-reload",
		"systemctl start gitlab-sysbox-executor-gc.service", // before anything is there
		"cd /var/lib/gitlab-sysbox-executor; mkdir -p journal jobs/"+job+"/theirs jobs/"+mounted+"/mnt",
		`for j in `+job+` `+mounted+`; do echo '{"schema":1,"name":"'$j'","ended":true,"resources":[]}' >journal/$j.json; done`,
		"touch jobs/"+job+"/theirs/file; chmod 700 jobs/"+job+"/theirs; chown -R 12345 jobs/"+job+"/theirs",
		"mount -t tmpfs tmpfs jobs/"+mounted+"/mnt; touch jobs/"+mounted+"/mnt/file"))
	for _, unit := range []string{"gc", "metrics", "images"} {
		out := run(fmt.Sprintf("systemctl start gitlab-sysbox-executor-%[1]s.service; code=$?; journalctl --no-pager -o cat -u gitlab-sysbox-executor-%[1]s; exit $code", unit))
		// Jobs of other tests, on the same engine, are kept.
		if unit == "gc" && !regexp.MustCompile(`\b1 removed, \d+ kept, 1 left`).MatchString(out) {
			t.Error(out)
		}
	}
	if out := run("find /var/lib/gitlab-sysbox-executor -name '*" + job + "*'"); out != "" {
		t.Errorf("left:\n%s", out)
	}
	// The job's account is closed by gc, too: its line is in the journal, with the job's number as a field.
	run(`cd /var/lib/gitlab-sysbox-executor/metrics; echo '{"begin":{"id":"1-1","stage":"prepare","at":"2026-01-01T00:00:00Z","identity":{"project_id":1,"job_id":78}}}' >running/` + mounted)
	if out := run("gitlab-sysbox-executor gc; find /var/lib/gitlab-sysbox-executor -name '*" + mounted + "*'; grep " + mounted + " /proc/mounts; true"); !regexp.MustCompile(`\b1 removed, \d+ kept, 0 left`).MatchString(out) || strings.Contains(out, "\n/var") || strings.Contains(out, "\ntmpfs") {
		t.Errorf("left:\n%s", out)
	}
	if out := run("cat /var/lib/prometheus/node-exporter/gitlab-sysbox-executor.prom"); !strings.Contains(out, "gitlab_sysbox_executor_jobs") {
		t.Error(out)
	}
	if out := run("journalctl --sync; journalctl --no-pager -o cat -t gitlab-sysbox-executor JOB_ID=78"); !strings.Contains(out, "Job ended. job_id=78 project_id=1 result=system_failure class=driver_killed failed_stage=prepare") {
		t.Errorf("the operator's log: %s", out)
	}
	out := run("exec bash -c 'systemctl start gitlab-sysbox-executor-exporter.service; for i in $(seq 50); do (: <>/dev/tcp/127.0.0.1/9253) 2>/dev/null && break; sleep 0.1; done" +
		"; exec 3<>/dev/tcp/127.0.0.1/9253; printf \"GET /metrics HTTP/1.0\\r\\n\\r\\n\" >&3; cat <&3; exec 3>&-" +
		"; systemctl stop gitlab-sysbox-executor-exporter.service; systemctl show -p Result gitlab-sysbox-executor-exporter.service'")
	if !strings.Contains(out, "gitlab_sysbox_executor_engine_up 1\n") || !strings.Contains(out, `gitlab_sysbox_executor_gc_runs_total{result="success"}`) || !strings.Contains(out, "Result=success") {
		t.Error(out)
	}
	if found, err := harness.World.Engine.Volumes(t.Context(), ourLabel+"name="+job); err != nil || len(found) > 0 {
		t.Error(found, err)
	}
	if found, err := harness.World.Engine.Networks(t.Context(), ourLabel+"name="+job); err != nil || len(found) > 0 {
		t.Error(found, err)
	}
}
