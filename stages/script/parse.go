package script

import (
	"errors"
	"io"
	"runtime"

	"mvdan.cc/sh/v3/syntax"
)

// The parser recurses with the text, without a limit, and Go ends a process whose stack is
// too large: 168 kB of "((" suffice. It also allocates about 300 bytes for each byte of
// syntax. A value can be syntax: PosixShellEscape does not change semicolons, newlines and
// single quotes.
const (
	maxFrames    = 2000
	maxStatement = 256 << 10 // bytes; a single variable of the environment has at most 128 KiB
)

var errTooLarge = errors.New("a statement is too large or nested too deeply")

// statements parses the text and calls each for every statement, until it returns false. It
// does not parse beyond the line of that statement.
func statements(text []byte, limit int, each func(*syntax.Stmt) bool) (err error) {
	in := &input{text: text, left: limit}
	more := true
	// No range loop: the sequence may continue with an error after its end, for example with
	// that of a here-document.
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

// input is the bounded input of the parser.
type input struct {
	text   []byte
	left   int
	frames [maxFrames]uintptr
}

// Read replaces bytes that the parser rejects and the shell accepts: invalid UTF-8, NUL, and
// a carriage return before a newline. The shell takes them for letters of a word. So the
// positions of the statements are right, but not their text.
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
