package config

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// checker collects every fault of one file, so that the user can correct all of them
// at once.
type checker struct {
	file   string
	lines  map[string]int // line numbers, from 1, of the keys in the file
	faults map[string][]fault
	from   map[string]string // source of a value that is not from the file
}

type fault struct {
	line int // 0 if no line of the file caused it
	text string
}

func newChecker(file string) *checker {
	return &checker{file: file, lines: map[string]int{}, faults: map[string][]fault{}, from: map[string]string{}}
}

// bad records an impossible value of key. The message names the value, then a correct one.
func (k *checker) bad(key, format string, args ...any) {
	said := key + ": "
	if from := k.from[key]; from != "" {
		said += "(" + from + ") "
	}
	k.fault(key, k.lines[key], said+fmt.Sprintf(format, args...))
}

// fault records text for a key and a line; key is "" for a syntax error.
func (k *checker) fault(key string, line int, text string) {
	k.faults[key] = append(k.faults[key], fault{line, text})
}

// sound reports whether the keys have no fault yet. Checks that compare keys call it
// first, so that one fault does not cause others.
func (k *checker) sound(keys ...string) bool {
	return !slices.ContainsFunc(keys, func(key string) bool { return len(k.faults[key]) > 0 })
}

// err returns every fault as a line "file:line: key: what", in the order of the file, or
// nil if there is none.
func (k *checker) err() error {
	var all []fault
	for _, faults := range k.faults {
		all = append(all, faults...)
	}
	slices.SortFunc(all, func(a, b fault) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.text, b.text))
	})
	errs := make([]error, len(all))
	for i, f := range all {
		if f.line > 0 {
			errs[i] = fmt.Errorf("%s:%d: %s", k.file, f.line, f.text)
		} else {
			errs[i] = fmt.Errorf("%s: %s", k.file, f.text)
		}
	}
	return errors.Join(errs...)
}

// absolute requires a clean absolute path other than the root, and reports whether dir is
// one.
func (k *checker) absolute(key, dir, example string) bool {
	switch {
	case !path.IsAbs(dir):
		k.bad(key, "%q is not an absolute path; write for example %q", dir, example)
	case path.Clean(dir) == "/":
		k.bad(key, "%q is the root of the file system; write for example %q", dir, example)
	case path.Clean(dir) != dir:
		k.bad(key, "%q is not a clean path; write %q", dir, path.Clean(dir))
	case strings.ContainsFunc(dir, unicode.IsControl):
		k.bad(key, "%q contains a control character; write for example %q", dir, example)
	default:
		return true
	}
	return false
}

// positive requires a duration greater than zero, and reports whether d is one.
func (k *checker) positive(key string, d Duration, example string) bool {
	if d <= 0 {
		k.bad(key, "must be greater than zero, for example %q", example)
		return false
	}
	return true
}

// limited rejects [Unlimited], and reports whether size is accepted.
func (k *checker) limited(key string, size Size, example string) bool {
	if size < 0 {
		k.bad(key, "%q is not allowed here; write for example %q, or 0", size, example)
		return false
	}
	return true
}

func (k *checker) oneOf(key, value string, possible []string) {
	if slices.Contains(possible, value) {
		return
	}
	quoted := make([]string, len(possible))
	for i, p := range possible {
		quoted[i] = strconv.Quote(p)
	}
	k.bad(key, "%q is not possible; write one of %s", value, strings.Join(quoted, ", "))
}

// pullPolicy requires a list of pull policies.
func (k *checker) pullPolicy(key string, list []string) {
	if len(list) == 0 {
		k.bad(key, `the list is empty; write for example ["always"]`)
	}
	for _, p := range list {
		k.oneOf(key, p, pullPolicies)
	}
}

// Overlap reports whether two clean absolute paths are equal or one contains the other.
func Overlap(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}
