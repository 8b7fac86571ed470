package harness

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gitlab-sysbox-executor/integration/harness/runner"
)

// GitLab is what a job meets of a GitLab instance: repositories over HTTP and
// the API for artifacts.
type GitLab struct {
	url  string // http://host:port
	root string // of the repositories

	mu        sync.Mutex
	artifacts map[string][]byte // by the request's path
}

// NewGitLab starts one that jobs reach, until the test's end.
func NewGitLab(t testing.TB) *GitLab {
	t.Helper()
	address, err := World.Engine.HostAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return NewGitLabAt(t, address)
}

// NewGitLabAt is NewGitLab for jobs that reach this machine at an address.
func NewGitLabAt(t testing.TB, address string) *GitLab {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	g := &GitLab{url: "http://" + listener.Addr().String(), root: t.TempDir(), artifacts: map[string][]byte{}}
	execPath, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/", g.api)
	mux.Handle("/", &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(execPath)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + g.root, "GIT_HTTP_EXPORT_ALL=1"},
	})
	server := &http.Server{Handler: mux}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return g
}

func (g *GitLab) api(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.Method == http.MethodGet {
		archive, ok := g.artifacts[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(archive)
		return
	}
	file, _, err := r.FormFile("file")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	archive, err := io.ReadAll(file)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	g.artifacts[r.URL.Path] = archive
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, "{}")
}

// Commit makes the repository if need be, writes files into it, and returns the
// new commit of its branch main.
func (g *GitLab) Commit(t *testing.T, project string, files map[string]string, commands ...string) string {
	t.Helper()
	work, bare := t.TempDir(), filepath.Join(g.root, project+".git")
	git := func(dir string, args ...string) string {
		t.Helper()
		c := exec.Command("git", append([]string{"-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"}, args...)...)
		c.Dir = dir
		var stderr bytes.Buffer
		c.Stderr = &stderr
		out, err := c.Output()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, stderr.Bytes())
		}
		return strings.TrimSpace(string(out))
	}
	if _, err := os.Stat(bare); err != nil {
		git(g.root, "init", "--quiet", "--bare", "--initial-branch=main", bare)
	}
	git(work, "clone", "--quiet", bare, "work")
	work = filepath.Join(work, "work")
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range commands {
		git(work, strings.Fields(line)...)
	}
	git(work, "add", "-A")
	git(work, "commit", "--quiet", "-m", "a commit")
	git(work, "push", "--quiet", "origin", "HEAD:main")
	return git(work, "rev-parse", "HEAD")
}

// Job adds the instance and a commit of group/project to a job.
func (g *GitLab) Job(j runner.Job, sha string) runner.Job {
	j.ServerURL = g.url
	j.Variables = nil // with sources
	j.Repo = runner.Repo{
		URL: strings.Replace(g.url, "://", "://gitlab-ci-token:secret@", 1) + "/group/project.git", SHA: sha,
		Refspecs: []string{"+refs/heads/main:refs/remotes/origin/main"},
	}
	return j
}
