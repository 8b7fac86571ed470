package image

import (
	"slices"
	"strings"
	"testing"
)

const (
	digest1 = "@sha256:" + someID
	digest2 = "@sha256:9876543210987654321098765432109876543210987654321098765432109876"
)

func TestAllowed(t *testing.T) {
	for _, tt := range []struct {
		patterns string // separated by blanks
		ref      string
		want     bool
	}{
		{"", "anything", true},
		{"ruby:*", "ruby:3.3", true},
		{"ruby:*", "python:3", false},
		{"ruby:*", "ruby", true}, // means ruby:latest
		{"ruby", "ruby:latest", true},
		{"ruby", "ruby:3", false},
		{"ruby:*", "docker.io/library/ruby:3", true},
		{"docker.io/**", "ruby:3", true},
		{"my.registry.tld:5000/*:*", "my.registry.tld:5000/image:1", true},
		{"my.registry.tld:5000/*:*", "my.registry.tld:5000/group/image:1", false},
		{"my.registry.tld:5000/**", "my.registry.tld:5000/group/image:1", true},
		{"my.registry.tld/**", "my.registry.tld.evil.example/x", false},
		{"**/ruby:{2,3}.*", "registry.example/a/ruby:3.1", true},
		{"** !ruby:*", "python:3", true},
		{"** !ruby:*", "ruby:3", false},
		{"!ruby:* **", "ruby:3", false}, // in any order
		{"** !ruby:*", "ruby", false},
		{"** !ruby:*", "docker.io/library/ruby:3", false},
		{"** !ruby:*", "index.docker.io/library/ruby:3", false},
		{"** !ruby:*", "ruby:3@sha256:" + someID, false},
		{"** !**/ruby:*", "ruby:3", false},
		{"!ruby:*", "python:3", true},
		{"!ruby:*", "ruby:3", false},
		{"ruby:*", "sha256:" + someID, false},
		{"sha256:*", "sha256:" + someID, true},
	} {
		if got := Allowed(strings.Fields(tt.patterns), tt.ref); got != tt.want {
			t.Errorf("%s by [%s]: %t", tt.ref, tt.patterns, got)
		}
	}
}

// An engine uses the digest and ignores the tag before it, so a pattern with a tag does not
// match a digest.
func TestHostileDigestsAreAllowedByName(t *testing.T) {
	for _, tt := range []struct {
		patterns string
		ref      string
		want     bool
	}{
		{"registry.example/tools/ci:approved", "registry.example/tools/ci:approved", true},
		{"registry.example/tools/ci:approved", "registry.example/tools/ci:approved" + digest1, false},
		{"registry.example/tools/ci", "registry.example/tools/ci" + digest1, false},
		{"registry.example/tools/ci", "registry.example/tools/ci:latest" + digest1, false},
		{"registry.example/tools/ci:3.*", "registry.example/tools/ci:3.1" + digest1, false},
		{"registry.example/tools/ci:3[!0-8]*", "registry.example/tools/ci:3.1" + digest1, false},
		{"registry.example/tools/*", "registry.example/tools/ci" + digest1, false},
		{"{ci@sha256:*,ruby:3.*}", "ruby:3.1" + digest1, false},
		{"{ci@sha256:*,ruby:3.*}", "ci:1" + digest1, true},
		{"ruby" + digest1, "ruby" + digest1, true},
		{"ruby" + digest1, "ruby:3" + digest1, true}, // the digest identifies the image
		{"ruby" + digest1, "docker.io/library/ruby" + digest1, true},
		{"ruby" + digest1, "ruby" + digest2, false},
		{"ruby" + digest1, "ruby", false},
		{"ruby:3" + digest1, "ruby:3" + digest1, true},
		{"ruby:3" + digest1, "ruby:2" + digest1, false},
		{"ruby@sha256:*", "ruby:3" + digest2, true},
		{"ruby@*", "ruby" + digest2, true},
		{"registry.example/group/**", "registry.example/group/a/ci:1" + digest1, true},
		{"**", "ruby:3" + digest1, true},
		{"registry.example/**@sha256:*", "registry.example/a/b" + digest1, true},
		// A pattern that forbids a tag forbids all digests, because one may be that tag's.
		{"!ruby:*", "ruby" + digest1, false},
		{"!ruby:2*", "ruby" + digest1, false},
		{"!ruby:2*", "ruby:3" + digest1, false},
		{"!ruby:2*", "ruby:3", true},
		{"!{python,ruby}:2*", "ruby:3" + digest1, false},
		{"!{python:2*,ruby:2*}", "docker.io/library/ruby" + digest1, false},
		{"!ruby", "ruby" + digest1, false},
		{"!ruby:*", "python" + digest1, true},
		{"!registry.example:5000/*:1", "registry.example:5000/x" + digest1, false},
		{"!registry.example:5000/*:1", "registry.example/x" + digest1, true},
		{"!ruby" + digest1, "ruby:3" + digest1, false},
		{"!ruby" + digest1, "ruby:3" + digest2, true},
		{"** !**@*", "ruby" + digest1, false},
		{"** !**@*", "ruby:3", true},
	} {
		if got := Allowed(strings.Fields(tt.patterns), tt.ref); got != tt.want {
			t.Errorf("%s by [%s]: %t", tt.ref, tt.patterns, got)
		}
	}
}

// A registry has several names, both in image names and in patterns.
func TestHostileSpellings(t *testing.T) {
	for _, tt := range []struct {
		patterns string
		ref      string
		want     bool
	}{
		{"!ruby:*", "registry-1.docker.io/library/ruby:3", false},
		{"!ruby:*", "registry.hub.docker.com/library/ruby:3", false},
		{"!ruby:*", "Registry-1.Docker.IO:443/library/ruby:3", false},
		{"!ruby:*", "registry-1.docker.io/ruby:3", false},
		{"!registry.example/private/**", "Registry.Example/private/x", false},
		{"!registry.example/private/**", "registry.example:443/private/x", false},
		{"!registry.example/private/**", "registry.example:80/private/x", false},
		{"!registry.example/private/**", "registry.example:5000/private/x", true}, // another registry
		{"!Registry.Example:443/private/**", "registry.example/private/x", false},
		{"registry.example/**", "REGISTRY.example:443/x:1", true},
		{"registry.example/**", "registry.example:80/x:1", false}, // may be another one
		{"registry.example:80/**", "registry.example:80/x:1", true},
		{"gitlab.example:443/group/**", "gitlab.example/group/x", true},
		{"index.docker.io/library/ruby:*", "ruby:3", true},
		{"registry-1.docker.io/**", "group/x", true},
		{"docker.io/ruby:*", "ruby:3", true},
		{"*.Example/**", "registry.example/x", true},
		{"foo/**", "Foo/x:1", false}, // the first is Docker Hub's, the second a host's
		{"Foo/**", "foo/x:1", false},
		{"Foo/**", "FOO/x:1", true},
		{"!Foo/**", "foo:443/x:1", false},
		{"{Registry.Example/a:TAG,Other.Example/b:TAG}", "other.example/b:TAG", true},
		{"localhost/**", "LOCALHOST/x", true},
	} {
		if got := Allowed(strings.Fields(tt.patterns), tt.ref); got != tt.want {
			t.Errorf("%s by [%s]: %t", tt.ref, tt.patterns, got)
		}
	}
}

// An ID does not show the source of the image, so only a pattern for IDs allows it.
func TestHostileIDsAreAllowedByName(t *testing.T) {
	for _, ref := range []string{"sha256:" + someID, someID} {
		for patterns, want := range map[string]bool{
			"":                              true,
			"**":                            false,
			"*":                             false,
			"*:*":                           false,
			"!ruby:*":                       false,
			"!registry.example/private/**":  false,
			"** !ruby:*":                    false,
			"sha256:*":                      true,
			"ruby:* sha256:" + someID:       true,
			someID:                          true,
			"{ruby,sha256}:*":               true,
			"sha256:* !sha256:" + someID:    false,
			"sha256:* !" + someID:           false,
			"sha256:* !**":                  false,
			"sha256:9*":                     false,
			"** sha256:* !registry.example": true,
		} {
			if got := Allowed(strings.Fields(patterns), ref); got != want {
				t.Errorf("%s by [%s]: %t", ref, patterns, got)
			}
		}
	}
}

// canonical puts the parts of a name together again: all names of an image have the same text.
func canonical(ref string) string {
	if id := idOf(ref); id != "" {
		return string(id)
	}
	host, path, tag, digest := split(ref)
	if path == "" {
		return ref
	}
	name := host + "/" + path
	if tag != "" {
		name += ":" + tag
	}
	if digest != "" {
		name += "@" + digest
	}
	return name
}

func TestCanonical(t *testing.T) {
	for ref, want := range map[string]string{
		"ruby":                                   "docker.io/library/ruby:latest",
		"ruby:3":                                 "docker.io/library/ruby:3",
		"ruby:3" + digest1:                       "docker.io/library/ruby:3" + digest1,
		"ruby" + digest1:                         "docker.io/library/ruby" + digest1,
		"group/x":                                "docker.io/group/x:latest",
		"index.docker.io/ruby":                   "docker.io/library/ruby:latest",
		"registry-1.docker.io/library/ruby:Tag":  "docker.io/library/ruby:Tag",
		"Registry.Hub.Docker.com:443/group/x":    "docker.io/group/x:latest",
		"Registry.Example/a/b":                   "registry.example/a/b:latest",
		"registry.example:443/a":                 "registry.example/a:latest",
		"registry.example:5000/a":                "registry.example:5000/a:latest",
		"registry.example:80/a":                  "registry.example:80/a:latest",
		"Foo/x":                                  "foo:443/x:latest",
		"foo:443/x":                              "foo:443/x:latest",
		"sHa256:5000/x":                          "sha256:5000/x:latest",
		"LOCALHOST/x":                            "localhost/x:latest",
		"[FE80::1]:443/x":                        "[fe80::1]/x:latest",
		"sha256:" + someID:                       "sha256:" + someID,
		someID:                                   "sha256:" + someID,
		"registry.hub.docker.com/x":              "docker.io/library/x:latest",
		"registry-1.docker.io:5000/library/ruby": "registry-1.docker.io:5000/library/ruby:latest",
	} {
		got := canonical(ref)
		if got != want {
			t.Errorf("%s: got %s, want %s", ref, got, want)
		}
		if again := canonical(got); again != got {
			t.Errorf("%s: %s, and again %s", ref, got, again)
		}
	}
}

// The rules give the same result for every spelling of a name. They allow a digest or an ID only
// if a pattern names it.
func checkRules(t *testing.T, ref, pattern string) {
	// The number of alternatives grows with the braces. The administrator is responsible for it.
	pattern = strings.TrimLeft(pattern, "!")
	if Check(ref) != nil || pattern == "" || len(pattern) > 100 ||
		strings.Count(pattern, "{") > 3 || strings.Count(pattern, ",") > 6 || strings.Count(pattern, "*") > 8 {
		return
	}
	name := canonical(ref)
	if again := canonical(name); again != name {
		t.Fatalf("%q is %q, and that is %q", ref, name, again)
	}
	if len(name) < 255 && Check(name) != nil { // the canonical name may be too long
		t.Fatalf("%q is %q: %v", ref, name, Check(name))
	}
	one := Allowed([]string{pattern}, ref)
	not := Allowed([]string{"!" + pattern}, ref)
	for _, spelled := range []string{name, ForEngine(ref)} {
		if Check(spelled) == nil && (Allowed([]string{pattern}, spelled) != one || Allowed([]string{"!" + pattern}, spelled) != not) {
			t.Errorf("%q and %q differ by %q", ref, spelled, pattern)
		}
	}
	if one && not {
		t.Errorf("%q is both allowed and not forbidden by %q", ref, pattern)
	}
	has := func(part string) bool {
		return slices.ContainsFunc(alternatives(pattern), func(a string) bool { return strings.Contains(a, part) })
	}
	if id := idOf(ref); id != "" {
		algorithm, number, _ := strings.Cut(string(id), ":")
		if one && !has(algorithm+":") && !has(number) {
			t.Errorf("the ID %q is allowed by %q", ref, pattern)
		}
		return
	}
	_, digest, digested := strings.Cut(name, "@")
	if digested && one && !has("@") && !has("**") {
		t.Errorf("the digest of %q is allowed by %q", ref, pattern)
	}
	if digested {
		other := strings.Replace(name, "@"+digest, digest2, 1)
		if other != name && (Allowed([]string{name}, other) || Allowed([]string{other}, ref) || !Allowed([]string{name}, ref)) {
			t.Errorf("%q and %q are taken for one", name, other)
		}
	}
}
