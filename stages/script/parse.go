package script

import (
	"errors"
	"io"
	"runtime"

	"mvdan.cc/sh/v3/syntax"
)

// The parser recurses with the text, without a bound, and Go ends a process whose
// stack is too large: 168 kB of "((" are enough. And it makes some 300 bytes of
// each byte of syntax. Values can be syntax: PosixShellEscape leaves a
// semicolon, a newline and a single quote as they are.
const (
	maxFrames    = 2000
	maxStatement = 256 << 10 // bytes; a single variable of the environment has at most 128 KiB
)

var errTooLarge = errors.New("a statement is too large or nested too deeply")

// statements parses the text and calls each with one statement after the other,
// until it returns false. Nothing after that statement's line is parsed.
func statements(text []byte, limit int, each func(*syntax.Stmt) bool) (err error) {
	in := &input{text: text, left: limit}
	more := true
	// Not ranged over: the sequence may go on with an error after its end, as of a
	// here-document.
	syntax.NewParser().StmtsSeq(in)(func(s *syntax.Stmt, e error) bool {
		if !more {
			return false
		}
		if err = e; err == nil {
			in.left = limit
			more = each(s)
		}
		return more && err == nil
	})
	return err
}

// input is what the parser reads, within the bounds.
type input struct {
	text   []byte
	left   int
	frames [maxFrames]uintptr
}

// Read replaces what the parser does not take as the shell does: bytes that are
// no UTF-8, NUL, and a carriage return before a newline. To the shell they are
// letters of a word. So the statements' places are right, not their text.
func (in *input) Read(p []byte) (int, error) {
	n := copy(p, in.text)
	if n == 0 {
		return 0, io.EOF
	}
	in.text = in.text[n:]
	for i, c := range p[:n] {
		if c >= 0x80 || c == 0 || c == '\r' {
			p[i] = '_'
		}
	}
	in.left -= n
	if in.left < 0 || runtime.Callers(0, in.frames[:]) == maxFrames {
		return 0, errTooLarge
	}
	return n, nil
}
