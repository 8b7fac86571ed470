package runner

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Stage names as the driver sees them.
const (
	StagePrepareScript    = "prepare_script"
	StageGetSources       = "get_sources"
	StageClearWorktree    = "clear_worktree"
	StageRestoreCache     = "restore_cache"
	StageDownload         = "download_artifacts"
	StageBuild            = "build_script"
	StageAfter            = "after_script"
	StageArchiveCache     = "archive_cache"
	StageArchiveOnFailure = "archive_cache_on_failure"
	StageUploadOnSuccess  = "upload_artifacts_on_success"
	StageUploadOnFailure  = "upload_artifacts_on_failure"
	StageCleanupFiles     = "cleanup_file_variables"
)

// scripts generates the script of each stage for one job in its workspace.
type scripts struct {
	job  Job
	work workspace
	vars variableList
	// shell may differ from the job's: config's output can set it.
	shell    string
	hostname string
}

func (s scripts) newWriter() *bashWriter {
	w := &bashWriter{shell: s.shell, tempDir: s.work.tempDir(), escape: ansiQuote}
	if s.vars.value("FF_POSIXLY_CORRECT_ESCAPES") == "true" {
		w.escape = posixQuote
	}
	return w
}

// of is the script of a stage, or "" when the Runner skips the stage.
func (s scripts) of(stage string) string {
	w := s.newWriter()
	var wrote bool
	switch stage {
	case StagePrepareScript:
		wrote = s.prepare(w)
	case StageGetSources:
		wrote = s.getSources(w)
	case StageClearWorktree:
		wrote = s.clearWorktree(w)
	case StageRestoreCache:
		wrote = s.restoreCache(w)
	case StageDownload:
		wrote = s.downloadArtifacts(w)
	case StageAfter:
		wrote = s.afterScript(w)
	case StageArchiveCache:
		wrote = s.archiveCache(w, true)
	case StageArchiveOnFailure:
		wrote = s.archiveCache(w, false)
	case StageUploadOnSuccess:
		wrote = s.uploadArtifacts(w, true)
	case StageUploadOnFailure:
		wrote = s.uploadArtifacts(w, false)
	case StageCleanupFiles:
		wrote = s.cleanupFileVariables(w)
	default:
		wrote = s.userScript(w, stage)
	}
	if !wrote {
		return ""
	}
	return w.finish(s.vars.value("CI_DEBUG_TRACE") == "true")
}

// exports begins every stage but prepare_script and clear_worktree. With
// pathsOnly, file variables are not written again.
func (s scripts) exports(w *bashWriter, pathsOnly bool) {
	for _, v := range s.vars {
		if pathsOnly && v.File {
			v = Var(v.Key, w.temp(v.Key))
		}
		w.variable(v)
	}
	env := w.temp("gitlab_runner_env")
	w.variable(Var("GITLAB_ENV", env))
	w.linef("mkdir -p %q", w.tempDir)
	w.linef("touch %q", env)
	w.linef(`while read -r line; do export "$line"; done < %q`, env)
}

func (s scripts) prepare(w *bashWriter) bool {
	greeting := "Running on $(hostname)..."
	if s.hostname != "" {
		greeting = "Running on $(hostname) via " + s.hostname + "..."
	}
	w.line("echo " + strconv.Quote(greeting))
	w.removeFile(w.temp("gitlab_runner_env"))
	w.removeFile(w.temp("masking.db"))
	return true
}

func (s scripts) userScript(w *bashWriter, stage string) bool {
	name := strings.TrimPrefix(stage, "step_")
	if stage == StageBuild {
		name = "script"
	}
	for _, step := range s.job.steps() {
		if step.Name != name {
			continue
		}
		lines := step.Script
		if name == "release" {
			lines = nil
			for _, line := range step.Script {
				lines = append(lines, s.vars.expandText(line))
			}
		}
		s.exports(w, false)
		w.command("cd", s.work.projectDir)
		w.commands(lines)
		return true
	}
	return false
}

func (s scripts) afterScript(w *bashWriter) bool {
	if len(s.job.AfterScript) == 0 {
		return false
	}
	s.exports(w, false)
	w.command("cd", s.work.projectDir)
	w.notice("Running after script...")
	w.commands(s.job.AfterScript)
	return true
}

// withRunnerBinary guards what needs the gitlab-runner binary in the job.
func (s scripts) withRunnerBinary(w *bashWriter, action string, do func()) {
	w.ifCommand([]string{"gitlab-runner", "--version"}, do, func() {
		w.warning("Missing gitlab-runner. %s is disabled.", action)
	})
}

func (s scripts) cacheFile(key string) string {
	file := path.Join(s.work.cacheDir, key, "cache.zip")
	relative, err := filepath.Rel(s.work.projectDir, file)
	if err != nil {
		panic(fmt.Sprintf("%s from %s: %v", file, s.work.projectDir, err)) // a mistake in the test itself
	}
	return relative
}

func (c Cache) policy() string {
	if c.Policy == "" {
		return "pull-push"
	}
	return c.Policy
}

func (s scripts) restoreCache(w *bashWriter) bool {
	if len(s.job.Cache) == 0 {
		return false
	}
	s.exports(w, false)
	w.command("cd", s.work.projectDir)
	for _, c := range s.job.Cache {
		key := s.vars.expandText(c.Key)
		if c.policy() == "push" {
			w.notice("Not downloading cache %s due to policy", key)
			continue
		}
		s.withRunnerBinary(w, "Extracting cache", func() {
			w.notice("Checking cache for %s...", key)
			w.ifCommandWithOutput([]string{"gitlab-runner", "cache-extractor", "--file", s.cacheFile(key), "--timeout", "10"},
				func() { w.notice("Successfully extracted cache") },
				func() { w.warning("Failed to extract cache") })
		})
	}
	s.changeOwner(w, s.work.cacheDir, s.work.buildsDir)
	return true
}

func (s scripts) archiveCache(w *bashWriter, success bool) bool {
	var wanted []Cache
	for _, c := range s.job.Cache {
		if wantedWhen(c.When, success) && len(c.Paths) > 0 {
			wanted = append(wanted, c)
		}
	}
	if len(wanted) == 0 {
		return false
	}
	s.exports(w, false)
	w.command("cd", s.work.projectDir)
	for _, c := range wanted {
		key := s.vars.expandText(c.Key)
		if c.policy() == "pull" {
			w.notice("Not uploading cache %s due to policy", key)
			continue
		}
		args := []string{
			"gitlab-runner", "cache-archiver", "--file", s.cacheFile(key),
			"--alternate-file", s.cacheFile(fmt.Sprintf("%x", sha256.Sum256([]byte(key)))), "--timeout", "10",
		}
		for _, p := range c.Paths {
			args = append(args, "--path", p)
		}
		s.withRunnerBinary(w, "Creating cache", func() {
			w.notice("Creating cache %s...", key)
			env := w.temp("gitlab_runner_cache_env")
			meta := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(fmt.Sprintf(`{"cachekey":%q}`, key))
			w.linef("cat << EOF > %s\nCACHE_METADATA=\"%s\"\nEOF\n", env, meta)
			w.ifCommandWithOutput(append(args, "--env-file", env),
				func() { w.notice("Created cache") },
				func() { w.warning("Failed to create cache") })
			w.removeFile(env)
		})
	}
	return true
}

func (s scripts) downloadArtifacts(w *bashWriter) bool {
	if len(s.job.Dependencies) == 0 {
		return false
	}
	s.exports(w, false)
	w.command("cd", s.work.projectDir)
	s.withRunnerBinary(w, "Artifacts downloading", func() {
		for _, d := range s.job.Dependencies {
			w.notice("Downloading artifacts for %s (%d)...", d.Name, d.ID)
			w.command("gitlab-runner", "artifacts-downloader", "--url", s.job.ServerURL,
				"--token", d.Token, "--id", strconv.FormatInt(d.ID, 10))
		}
	})
	s.changeOwner(w, s.work.cacheDir, s.work.buildsDir)
	return true
}

func (s scripts) uploadArtifacts(w *bashWriter, success bool) bool {
	var wanted []Artifact
	for _, a := range s.job.Artifacts {
		if wantedWhen(a.When, success) && len(a.Paths) > 0 {
			wanted = append(wanted, a)
		}
	}
	if len(wanted) == 0 {
		return false
	}
	s.exports(w, false)
	w.command("cd", s.work.projectDir)
	for _, a := range wanted {
		args := []string{
			"gitlab-runner", "artifacts-uploader", "--url", s.job.ServerURL, "--token", s.job.Token,
			"--id", strconv.FormatInt(s.job.ID, 10), "--timeout", "1h0m0s", "--response-header-timeout", "10m0s",
		}
		for _, p := range a.Paths {
			args = append(args, "--path", p)
		}
		if a.Name != "" {
			args = append(args, "--name", a.Name)
		}
		args = append(args, "--artifact-format", "zip", "--artifact-type", "archive")
		s.withRunnerBinary(w, "Uploading artifacts", func() {
			w.notice("Uploading artifacts...")
			w.command(args...)
		})
	}
	return true
}

// wantedWhen tells whether an entry's `when` fits the script's end; the Runner
// takes an empty one for on_success.
func wantedWhen(when string, success bool) bool {
	switch when {
	case "always":
		return true
	case "on_failure":
		return !success
	default:
		return success
	}
}

func (s scripts) cleanupFileVariables(w *bashWriter) bool {
	s.exports(w, true)
	s.forgetCredentials(w)
	for _, name := range []string{"gitlab_runner_env", "masking.db", ".gitlab-runner.ext.conf", ".glr.gconf"} {
		w.removeFile(w.temp(name))
	}
	for _, v := range s.vars {
		if v.File {
			w.removeFile(w.temp(v.Key))
		}
	}
	s.gitCleanup(w)
	w.removeFile(path.Join(s.work.buildsDir, ".gitlab-build-uid-gid"))
	return true
}

// changeOwner gives the folders to the build's user where a marker names one.
func (s scripts) changeOwner(w *bashWriter, dirs ...string) {
	marker := s.work.buildsDir + "/.gitlab-build-uid-gid"
	w.block(fmt.Sprintf("[ -e %q ]; ", marker), func() {
		for _, dir := range dirs {
			w.ifDirectory(dir, func() {
				w.linef(`chown -R "$(stat -c '%%u:%%g' '%s')" '%s'`, marker, dir)
			})
		}
	}, nil)
}

// forgetCredentials applies to remotes that git can ask credentials for.
func (s scripts) forgetCredentials(w *bashWriter) {
	u, err := url.Parse(s.job.Repo.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ssh") {
		return
	}
	w.line("echo " + w.escape("url="+u.Scheme+"://"+u.Host+"\nusername=gitlab-ci-token") + " | git credential reject || true")
}
