// Package lazyregexp compiles regular expressions when they are first used: all of a program's together cost
// milliseconds at its start, and each stage of a job is a start.
package lazyregexp

import (
	"regexp"
	"sync"
)

// New returns the compiled expression. It panics at its first call if the expression is not valid.
func New(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
