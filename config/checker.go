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

// checker gathers everything that is wrong with one file, so that it can be
// mended in one go.
type checker struct {
	file   string
	lines  map[string]int // of the keys that the file holds, counted from 1
	faults map[string][]fault
	from   map[string]string // of keys whose value is not the file's: whose it is
}

type fault struct {
	line int // 0 when no line of the file is to blame
	text string
}

func newChecker(file string) *checker {
	return &checker{file: file, lines: map[string]int{}, faults: map[string][]fault{}, from: map[string]string{}}
}

// bad notes that key's value is impossible. The message says what was found,
// then what would be right.
func (k *checker) bad(key, format string, args ...any) {
	said := key + ": "
	if from := k.from[key]; from != "" {
		said += "(" + from + ") "
	}
	k.fault(key, k.lines[key], said+fmt.Sprintf(format, args...))
}

// fault notes text against a key and a line; key is "" for the file's syntax.
func (k *checker) fault(key string, line int, text string) {
	k.faults[key] = append(k.faults[key], fault{line, text})
}

// sound tells whether nothing is wrong with the keys yet. A check that compares
// keys asks it first, to spare the reader complaints that follow from others.
func (k *checker) sound(keys ...string) bool {
	return !slices.ContainsFunc(keys, func(key string) bool { return len(k.faults[key]) > 0 })
}

// err is every fault as "file:line: key: what", a line each, in the file's
// order; nil when there is none.
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

// absolute wants a clean absolute path other than the root, and tells whether
// it is one.
func (k *checker) absolute(key, dir, example string) bool {
	switch {
	case !path.IsAbs(dir):
		k.bad(key, "%q is not an absolute path; write for example %q", dir, example)
	case path.Clean(dir) == "/":
		k.bad(key, "%q is the whole file system; write for example %q", dir, example)
	case path.Clean(dir) != dir:
		k.bad(key, "%q is not the plain form of its path; write %q", dir, path.Clean(dir))
	case strings.ContainsFunc(dir, unicode.IsControl):
		k.bad(key, "%q holds a control character; write for example %q", dir, example)
	default:
		return true
	}
	return false
}

// positive wants a time longer than nothing, and tells whether it is.
func (k *checker) positive(key string, d Duration, example string) bool {
	if d <= 0 {
		k.bad(key, "%s is no time to wait; write for example %q", d, example)
		return false
	}
	return true
}

// limited refuses [Unlimited], and tells whether all is well.
func (k *checker) limited(key string, size Size, example string) bool {
	if size < 0 {
		k.bad(key, "%q is not possible here; write for example %q, or 0", size, example)
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

// pullPolicy wants a list of when an image is pulled.
func (k *checker) pullPolicy(key string, list []string) {
	if len(list) == 0 {
		k.bad(key, `the list is empty; write for example ["always"]`)
	}
	for _, p := range list {
		k.oneOf(key, p, pullPolicies)
	}
}

// Overlap tells whether two clean absolute paths are one, or one is inside the
// other.
func Overlap(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}
