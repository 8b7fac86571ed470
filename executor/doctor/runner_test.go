package doctor

import (
	"os"
	"strings"
	"testing"
)

// Each case changes the Runner's right section.
func TestRunnerSection(t *testing.T) {
	replace := func(old, new string) func(string) string {
		return func(text string) string { return strings.Replace(text, old, new, 1) }
	}
	add := func(more string) func(string) string { return func(text string) string { return text + more } }
	for name, c := range map[string]struct {
		change     func(string) string
		severity   Severity
		text, next string
	}{
		"all is well":        {add(""), OK, `"sysbox" of `, ""},
		"no stage":           {replace(`prepare_exec = "SELF"`, ""), Error, "prepare_exec is missing", `set prepare_exec = "`},
		"another program":    {replace(`run_exec = "SELF"`, `run_exec = "/bin/sh"`), Error, `run_exec = "/bin/sh" is not this executor`, `run_args = ["run"]`},
		"no program":         {replace(`cleanup_exec = "SELF"`, `cleanup_exec = "/opt/none/gitlab-sysbox-executor"`), Error, "cleanup_exec: stat /opt/none", "set cleanup_exec"},
		"another command":    {replace(`"prepare"]`, `"run"]`), Error, `calls the command "run", not "prepare"`, "prepare_args"},
		"no command":         {replace(`config_args = ["--config", "CONFIG", "config"]`, ""), Error, `calls the command "", not "config"`, "config_args"},
		"another file":       {replace(`["run", "--config", "CONFIG"]`, `["run", "--config", "/etc/other.toml"]`), Warning, "run_args reads the configuration /etc/other.toml", "doctor --config /etc/other.toml"},
		"killed too early":   {replace("= 60", "= 10"), Error, "graceful_kill_timeout is 10s, not above run.kill_grace", "graceful_kill_timeout = 60"},
		"killed too late":    {replace("graceful_kill_timeout = 60", ""), Warning, "graceful_kill_timeout is 10m0s: after 5m", "graceful_kill_timeout = 60"},
		"too short a clean":  {replace("= 60", "= 60\n    cleanup_exec_timeout = 60"), Warning, "cleanup_exec_timeout is 1m0s", "remove cleanup_exec_timeout"},
		"another shell":      {replace(`executor = "custom"`, "executor = \"custom\"\n  shell = \"pwsh\""), Error, `shell is "pwsh"`, "remove shell"},
		"builds_dir":         {replace(`executor = "custom"`, "executor = \"custom\"\n  builds_dir = \"/srv/builds\""), Note, `builds_dir "/srv/builds" has no effect: the executor answers "/builds"`, "job.builds_dir"},
		"the same runner":    {add("[[runners]]\nname = \"docker\"\nurl = \"https://gitlab.example.com\"\ntoken = \"glrt-secret\"\nexecutor = \"docker\"\n"), Error, `"sysbox" and "docker" have the same token`, "register a runner of its own"},
		"another runner":     {add("[[runners]]\nname = \"docker\"\nurl = \"https://gitlab.example.com\"\ntoken = \"glrt-other\"\nexecutor = \"docker\"\n"), Note, `"docker" (docker); tags are not in this file`, "look in GitLab"},
		"not a runner of us": {replace(`executor = "custom"`, `executor = "docker"`), Error, "none of the 1 runners", "[runners.custom]"},
		"not TOML":           {add("token = glrt-secret\n"), Error, "is not valid TOML (line 17)", "gitlab-runner lint"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := well(t)
			p.runner(t, c.change(section))
			all := checkRunner(t.Context(), p.Machine)
			want(t, all, "", c.severity, c.text, c.next)
			for _, f := range all {
				if strings.Contains(f.Text+f.Next, "glrt-") {
					t.Errorf("a token is printed: %+v", f)
				}
			}
		})
	}
}

func TestRunnerFile(t *testing.T) {
	p := well(t)
	if err := os.Chmod(p.RunnerConfig, 0o644); err != nil {
		t.Fatal(err)
	}
	want(t, checkRunner(t.Context(), p.Machine), "", Warning, "has mode 0644", "chmod 600")
	if err := os.Remove(p.RunnerConfig); err != nil {
		t.Fatal(err)
	}
	want(t, checkRunner(t.Context(), p.Machine), "", Warning, "no jobs come to this machine", "--runner-config")
	files(t, p.root, map[string]string{"usr/bin/gitlab-runner": "#!/bin/sh\nprintf 'Version:      13.12.0\\nGit revision: 7a6612da\\n'\n"})
	p.runner(t, section)
	want(t, checkRunner(t.Context(), p.Machine), "", Error, "GitLab Runner 13.12.0 passes no payload", "14.1")
}
