package image

import (
	"strings"
	"testing"

	"gitlab-sysbox-executor/integration/heap"
)

const someID = "0123456789012345678901234567890123456789012345678901234567890123"

func TestCheck(t *testing.T) {
	for _, ref := range []string{
		"debian", "debian:12", "registry.example:5000/a/b:c", "debian:12@sha256:" + someID, "debian@sha256:" + someID,
		"sha256:" + someID, someID, "127.0.0.1:5000/x", "localhost/x", "a__b/c-d.e",
	} {
		if err := Check(ref); err != nil {
			t.Errorf("%q: %v", ref, err)
		}
	}
	for _, ref := range []string{
		"", " ", "debian 12", "debian:12\n", "\ndebian", "Debian", "../etc/passwd", "a/../b", "/etc/passwd", "$(id)", "$IMAGE", "a;b", `a"b`, "a'b",
		"débian", "debian\x00", "debian\x1b[31m", "-v", "--privileged", "a//b", "https://registry.example/x", "debian:", "debian@sha256:0",
		"my_registry.example/x", "sha256:" + someID[:12], "sha256:" + strings.ToUpper("a"+someID[1:]),
		strings.Repeat("a", 100_000), "x:" + strings.Repeat("1", 200), "\u202edebian", "a/b:\U0001F600",
	} {
		err := Check(ref)
		if err == nil {
			t.Errorf("%.40q is accepted", ref)
			continue
		}
		if text := err.Error(); strings.ContainsAny(text, "\n\x00\x1b") || len(text) > 200 {
			t.Errorf("%.40q: %q", ref, text)
		}
	}
}

func TestIsID(t *testing.T) {
	for ref, want := range map[string]bool{
		"sha256:" + someID: true, someID: true, "debian@sha256:" + someID: false, "sha256:12": false, someID[:12]: false, "debian": false, "": false,
	} {
		if IsID(ref) != want {
			t.Errorf("%q: %t", ref, !want)
		}
	}
}

func FuzzReference(f *testing.F) {
	for _, ref := range []string{"debian", "registry.example:5000/a/b:c@sha256:" + someID, "a\nb", "../x", "$(id)", "sha256:" + someID, "É"} {
		f.Add(ref, "**/a:*")
	}
	for _, ref := range []string{
		"ruby", "ruby:3" + digest1, "Registry.Example:443/a/b:C", "registry-1.docker.io/ruby", "index.docker.io/group/x" + digest2,
		"Foo/x", "foo:80/x:1", "[FE80::1]:443/x", someID, "sha256:" + someID, "a/b@sha512:" + someID + someID,
	} {
		for _, pattern := range []string{"**", "ruby:*", "registry.example/**", "{Foo,docker.io}/**", "ruby@sha256:*", "sha256:*", "**/x:[!0-8]*", `\*:{a,b\,{c,d}}`} {
			f.Add(ref, pattern)
		}
	}
	f.Fuzz(func(t *testing.T, ref, pattern string) {
		defer heap.Bounded(t)()
		checkReference(t, ref, pattern)
		checkRules(t, ref, pattern)
	})
}

// Every accepted name is one line, and an engine, a shell or a log cannot treat it as anything
// but a name.
func checkReference(t *testing.T, ref, pattern string) {
	Allowed([]string{pattern, "!" + pattern}, ref)
	path := registryPath(ref)
	if strings.HasSuffix(path, "/") && path != "/" {
		t.Errorf("%q has the path %q", ref, path)
	}
	if Check(ref) != nil {
		return
	}
	if strings.ContainsFunc(ref, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:/@[]+", r)
	}) {
		t.Errorf("%q is accepted", ref)
	}
	if strings.HasPrefix(ref, "-") || strings.Contains("/"+ref+"/", "/../") {
		t.Errorf("%q is accepted", ref)
	}
}
