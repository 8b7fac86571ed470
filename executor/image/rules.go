package image

import (
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Allowed tells whether patterns allow an image that Check accepts: one matches,
// and none behind a "!" does. Without any but such, all others are allowed.
//
// Patterns are those of doublestar: * stops at a slash, ** does not. Both sides are
// compared in their canonical form, so no spelling gets around a pattern. An engine
// ignores the tag before a digest; therefore
//   - an allowing pattern matches a digest only where it has an "@" itself, or where
//     its last part is "**";
//   - a forbidding pattern matches a digest, too, where it matches the repository
//     under any tag.
//
// An image's ID says nothing of where the image is from: with any pattern, it is
// allowed only by one that begins like an ID.
func Allowed(patterns []string, ref string) bool {
	names, id := namesOf(ref), idOf(ref)
	allows, forbids := names.allowedBy, names.forbiddenBy
	if id != "" {
		allows, forbids = id.allowedBy, id.forbiddenBy
	}
	wanted, some := false, id != "" && len(patterns) > 0
	for _, p := range patterns {
		if not, ok := strings.CutPrefix(p, "!"); ok {
			if slices.ContainsFunc(alternatives(not), forbids) {
				return false
			}
			continue
		}
		some = true
		wanted = wanted || slices.ContainsFunc(alternatives(p), allows)
	}
	return wanted || !some
}

// spellings are one image's names in canonical form and in the short ones of Docker
// Hub's images.
type spellings struct {
	repositories []string // the first is the canonical one
	tag, digest  string   // one may be empty
}

func namesOf(ref string) spellings {
	host, path, tag, digest := split(ref)
	s := spellings{[]string{host + "/" + path}, tag, digest}
	if host == dockerHub {
		s.repositories = append(s.repositories, path)
		if name, official := strings.CutPrefix(path, officialFolder); official {
			s.repositories = append(s.repositories, name, host+"/"+name)
		}
	}
	return s
}

// named are the names with a tag, where there is one, and without it where it is
// the one that is meant then.
func (s spellings) named() []string {
	var all []string
	for _, r := range s.repositories {
		if s.tag != "" {
			all = append(all, r+":"+s.tag)
		}
		if s.tag == "" || s.tag == defaultTag {
			all = append(all, r)
		}
	}
	return all
}

func (s spellings) allowedBy(pattern string) bool {
	if s.digest == "" {
		return matchesAny(pattern, s.named())
	}
	if name, digest, ok := strings.Cut(pattern, "@"); ok {
		return matches(digest, s.digest) && (matchesAny(name, s.named()) || matchesAny(name, s.repositories))
	}
	return (pattern == "**" || strings.HasSuffix(pattern, "/**")) && matchesAny(pattern, s.repositories)
}

func (s spellings) forbiddenBy(pattern string) bool {
	// Plain HTTP's port may lead to the registry of the name without it.
	if host, path, _ := strings.Cut(s.repositories[0], "/"); strings.HasSuffix(host, ":80") {
		s.repositories = append(slices.Clone(s.repositories), strings.TrimSuffix(host, ":80")+"/"+path)
	}
	names := append(s.named(), s.repositories...)
	if s.digest == "" {
		return matchesAny(pattern, s.named())
	}
	if name, digest, ok := strings.Cut(pattern, "@"); ok {
		return matches(digest, s.digest) && matchesAny(name, names)
	}
	return matchesAny(pattern, names) || matchesAny(withoutTag(pattern), s.repositories)
}

// withoutTag is a pattern of repositories made from one of tags.
func withoutTag(pattern string) string {
	if n := strings.LastIndexByte(pattern, ':'); n > strings.LastIndexByte(pattern, '/') {
		return pattern[:n]
	}
	return pattern
}

// imageID is ALGORITHM:NUMBER.
type imageID string

func (i imageID) allowedBy(pattern string) bool {
	algorithm, number, _ := strings.Cut(string(i), ":")
	return pattern == number || strings.HasPrefix(pattern, algorithm+":") && matches(pattern, string(i))
}

func (i imageID) forbiddenBy(pattern string) bool {
	_, number, _ := strings.Cut(string(i), ":")
	return pattern == number || matches(pattern, string(i))
}

func matchesAny(pattern string, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return matches(pattern, name) })
}

func matches(pattern, name string) bool {
	ok, err := doublestar.Match(pattern, name)
	return ok && err == nil
}

// alternatives are the patterns that one with braces stands for, each with its
// registry in canonical form. The configuration has checked the pattern.
func alternatives(pattern string) []string {
	begin, commas, end := braces(pattern)
	if end < 0 {
		return []string{canonicalPattern(pattern)}
	}
	var all []string
	from := begin + 1
	for _, to := range append(commas, end) {
		all = append(all, alternatives(pattern[:begin]+pattern[from:to]+pattern[end+1:])...)
		from = to + 1
	}
	return all
}

// braces finds the first pair and the commas between its alternatives; end is -1
// when there is none.
func braces(pattern string) (begin int, commas []int, end int) {
	depth, class := 0, false
	for n := 0; n < len(pattern); n++ {
		switch c := pattern[n]; {
		case c == '\\':
			n++
		case depth == 0 && c == '[':
			class = true
		case depth == 0 && c == ']':
			class = false
		case class:
		case c == '{':
			if depth++; depth == 1 {
				begin = n
			}
		case depth > 0 && c == '}':
			if depth--; depth == 0 {
				return begin, commas, n
			}
		case depth == 1 && c == ',':
			commas = append(commas, n)
		}
	}
	return 0, nil, -1
}

// canonicalPattern writes a pattern's registry as [Canonical] does. What is before
// the first slash is in lower case in every canonical name.
func canonicalPattern(pattern string) string {
	host, rest, ok := strings.Cut(pattern, "/")
	lower := strings.ToLower(host)
	switch {
	case !ok:
		return pattern
	case !strings.ContainsAny(host, `*?[\`) && (strings.ContainsAny(host, ".:") || host != lower || host == "localhost"):
		return canonicalHost(host) + "/" + rest
	}
	return lower + "/" + rest
}
