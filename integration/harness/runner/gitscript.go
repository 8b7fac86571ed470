package runner

import (
	"net/url"
	"path"
	"regexp"
	"strconv"
)

func (s scripts) gitStrategy() string {
	if strategy := s.vars.value("GIT_STRATEGY"); strategy != "" {
		return strategy
	}
	return "fetch"
}

// getSources knows the strategies fetch, clone and none, and submodules. The
// native clone is left out.
func (s scripts) getSources(w *bashWriter) bool {
	s.exports(w, false)
	w.variable(Var("GIT_TERMINAL_PROMPT", "0"))
	w.variable(Var("GCM_INTERACTIVE", "Never"))
	w.variable(Var("GIT_LFS_SKIP_SMUDGE", "1"))
	if s.gitStrategy() == "none" {
		w.notice("Skipping Git repository setup")
		w.command("mkdir", "-p", s.work.projectDir)
		w.notice("Skipping Git checkout")
	} else {
		s.gitCleanup(w)
		remote := s.gitTemplate(w)
		if s.gitStrategy() == "clone" {
			w.removeDir(s.work.projectDir)
		}
		s.gitFetch(w, remote)
		s.gitCheckout(w)
	}
	s.submodules(w)
	s.changeOwner(w, s.work.buildsDir)
	s.forgetCredentials(w)
	return true
}

// gitCleanup removes what an interrupted or hostile job before may have left.
func (s scripts) gitCleanup(w *bashWriter) {
	git := path.Join(s.work.projectDir, ".git")
	for _, name := range []string{"index.lock", "shallow.lock", "HEAD.lock", "hooks/post-checkout", "config.lock"} {
		w.removeFile(path.Join(git, name))
	}
	w.removeFilesBelow(path.Join(git, "refs"), "*.lock")
	if s.gitStrategy() == "none" {
		return
	}
	for _, dir := range []string{w.temp("git-template"), git} {
		w.removeFile(path.Join(dir, "config"))
		w.removeDir(path.Join(dir, "hooks"))
	}
}

// gitTemplate writes git's configuration for the job, with credentials kept
// outside the working copy, and returns the remote's address without them.
func (s scripts) gitTemplate(w *bashWriter) string {
	template, external := w.temp("git-template"), w.temp(".gitlab-runner.ext.conf")
	config := path.Join(template, "config")
	w.command("mkdir", "-p", template)
	for _, pair := range [][2]string{
		{"init.defaultBranch", "none"},
		{"fetch.recurseSubmodules", "false"},
		{"credential.interactive", "never"},
		{"gc.autoDetach", "false"},
	} {
		w.command("git", "config", "-f", config, pair[0], pair[1])
	}

	w.removeFile(external)
	w.commandExpanding("git", "config", "-f", external, "http.extraHeader", "X-Gitaly-Correlation-ID: "+s.job.CorrelationID)
	w.notice("Gitaly correlation ID: %s", s.job.CorrelationID)
	w.commandExpanding("git", "config", "-f", external, "transfer.bundleURI", "true")

	insteadOf := func(with, without string) {
		w.commandExpanding("git", "config", "--file", external, "--replace-all",
			"url."+with+".insteadOf", without, "^"+regexp.QuoteMeta(without)+"$")
	}
	remote := s.job.Repo.URL
	if u, err := url.Parse(remote); err == nil && u.User != nil {
		bare := *u
		bare.User = nil
		remote = bare.String()
		insteadOf(s.job.Repo.URL, remote)
		insteadOf(u.Scheme+"://"+u.User.String()+"@"+u.Host, u.Scheme+"://"+u.Host)
	}
	w.commandExpanding("git", "config", "--file", config, "--replace-all", "include.path", external, `\.gitlab-runner\.ext\.conf$`)
	w.linef("export GLR_EXT_GIT_CONFIG_PATH=%s", doubleQuote(external))
	return remote
}

func (s scripts) gitFetch(w *bashWriter, remote string) {
	depth := s.job.Repo.Depth
	w.notice("Fetching changes with git depth set to %d...", depth)
	w.command("git", "init", s.work.projectDir, "--template", w.temp("git-template"))
	w.command("cd", s.work.projectDir)
	w.ifCommand([]string{"git", "remote", "add", "origin", remote},
		func() { w.notice("Created fresh repository.") },
		func() {
			w.command("git", "remote", "set-url", "origin", remote)
			w.commandExpanding("git", "config", "--file", ".git/config", "--replace-all",
				"include.path", "$GLR_EXT_GIT_CONFIG_PATH", `\.gitlab-runner\.ext\.conf$`)
		})
	args := []string{"git", "-c", "http.userAgent=gitlab-runner " + runnerVersion + " linux/amd64", "fetch", "origin", "--no-recurse-submodules"}
	args = append(args, s.job.Repo.Refspecs...)
	w.command(append(args, "--depth", strconv.Itoa(depth), "--prune", "--quiet")...)
}

func (s scripts) gitCheckout(w *bashWriter) {
	w.notice("Checking out %s as detached HEAD (ref is %s)...", s.job.Repo.SHA[:8], s.job.Repo.Ref)
	w.command("git", "-c", "submodule.recurse=false", "checkout", "-f", "-q", s.job.Repo.SHA)
	w.command("git", "clean", "-ffdx")
	w.ifCommand([]string{"git", "lfs", "version"}, func() {
		w.command("git", "lfs", "pull")
		w.line("echo")
	}, nil)
}

// submodules leaves out what the Runner does only with options for them.
func (s scripts) submodules(w *bashWriter) {
	strategy := s.vars.value("GIT_SUBMODULE_STRATEGY")
	if s.gitStrategy() == "none" || strategy != "normal" && strategy != "recursive" {
		w.notice("Skipping Git submodules setup")
		return
	}
	each, sync, flags := []string{"git", "submodule", "foreach"}, []string{"git", "submodule", "sync"}, []string{"--init"}
	notice := "Updating/initializing submodules"
	if strategy == "recursive" {
		each, sync, flags = append(each, "--recursive"), append(sync, "--recursive"), append(flags, "--recursive")
		notice += " recursively"
	}
	depth := strconv.Itoa(s.job.Repo.Depth)
	w.notice("%s with git depth set to %s...", notice, depth)
	each = each[:len(each):len(each)]
	clean, reset := append(each, "git", "clean", "-ffdx"), append(each, "git", "reset", "--hard")
	update := append(append([]string{"git", "-c", "include.path=$GLR_EXT_GIT_CONFIG_PATH", "submodule", "update"}, flags...), "--depth", depth)
	w.command("git", "submodule", "init")
	w.command(sync...)
	w.command(clean...)
	w.command(reset...)
	w.block(w.join(doubleQuote, update)+" ; ", func() {
		w.notice("Updated submodules")
		w.command(sync...)
	}, func() {
		w.warning("Updating submodules failed. Retrying...")
		w.command(sync...)
		w.commandExpanding(update...)
		w.command(reset...)
	})
	w.command(clean...)
}

func (s scripts) clearWorktree(w *bashWriter) bool {
	w.notice("Deleting tracked and untracked files...")
	w.ifDirectory(s.work.projectDir, func() {
		w.command("cd", s.work.projectDir)
		w.command("git", "rm", "-rf", "--ignore-unmatch", "--quiet", ".")
		w.command("git", "clean", "-ffdx", "-q")
	})
	return true
}
