package image

import (
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Allowed reports whether patterns allow an image, which Check accepts. At least one pattern
// must match, and none with a "!" may match. If all patterns have a "!", every other image is
// allowed.
//
// Patterns have the syntax of doublestar: * stops at a slash, ** does not. Names and patterns
// are compared in their canonical form, so another spelling cannot evade a pattern. An engine
// ignores the tag before a digest. Therefore
//   - an allowing pattern matches a digest only if it contains an "@", or if its last part is
//     "**";
//   - a forbidding pattern also matches a digest if it matches the repository with any tag.
//
// An image ID does not show the source of the image. If there are patterns, an ID is allowed
// only by a pattern that begins like an ID.
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

// spellings are the names of one image in canonical form, and in the short form for images of
// Docker Hub.
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

// named are the names with a tag, if there is one, and also without it if it is the default
// tag.
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
	// HTTP's default port may lead to the same registry as the name without a port.
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

// withoutTag makes a pattern for repositories from a pattern for tags.
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

// alternatives expands the braces of a pattern, with the registry in canonical form. The
// configuration has already checked the pattern.
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

// braces finds the first pair of braces and the commas between its alternatives; end is -1 if
// there is none.
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

// canonicalPattern converts a pattern's registry as [Canonical] does. The part before the first
// slash is in lower case in every canonical name.
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
