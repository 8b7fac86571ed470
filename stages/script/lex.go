package script

import (
	"bytes"
	"strings"
)

// The functions of this file walk shell text by its quoting, so that nothing
// within quotes is taken for syntax. They know what the Runner writes: no
// case within a command substitution, no here-document.

// maxNesting bounds the recursion into substitutions within substitutions.
const maxNesting = 50

// unterminated stands for a place that is not in the text: quotes, or a line,
// do not end.
const unterminated = -1

// skipPiece gives the place after the quoted piece, the substitution or the
// plain byte at i.
func skipPiece(s []byte, i, depth int) int {
	switch s[i] {
	case '\\':
		if i+1 == len(s) {
			return unterminated
		}
		return i + 2
	case '\'':
		return skipTo(s, i+1, '\'')
	case '"':
		return skipDouble(s, i+1, depth)
	case '`':
		return skipEscaped(s, i+1, '`')
	case '$':
		if i+1 == len(s) {
			return i + 1
		}
		switch s[i+1] {
		case '\'':
			return skipEscaped(s, i+2, '\'')
		case '(':
			return skipCommand(s, i+2, depth+1)
		case '$':
			return i + 2
		}
	}
	return i + 1
}

func skipTo(s []byte, i int, end byte) int {
	n := bytes.IndexByte(s[i:], end)
	if n < 0 {
		return unterminated
	}
	return i + n + 1
}

// skipEscaped is skipTo where a backslash hides the end.
func skipEscaped(s []byte, i int, end byte) int {
	for i < len(s) {
		switch s[i] {
		case end:
			return i + 1
		case '\\':
			i++
		}
		i++
	}
	return unterminated
}

// skipDouble gives the place after the double quotes that opened before i.
func skipDouble(s []byte, i, depth int) int {
	for i >= 0 && i < len(s) {
		switch {
		case s[i] == '"':
			return i + 1
		case s[i] == '\\', s[i] == '`', s[i] == '$' && i+1 < len(s) && s[i+1] == '(':
			i = skipPiece(s, i, depth)
		default:
			i++
		}
	}
	return unterminated
}

// skipCommand gives the place after the parenthesis that opened before i.
func skipCommand(s []byte, i, depth int) int {
	if depth > maxNesting {
		return unterminated
	}
	for i >= 0 && i < len(s) {
		switch s[i] {
		case ')':
			return i + 1
		case '(':
			i = skipCommand(s, i+1, depth+1)
		default:
			i = skipPiece(s, i, depth)
		}
	}
	return unterminated
}

// skipWord gives the place after the word at i, which may be empty.
func skipWord(s []byte, i int) int {
	for i >= 0 && i < len(s) && !isMeta(s[i]) {
		i = skipPiece(s, i, 0)
	}
	return i
}

// isMeta tells the bytes that end a word where they are not quoted.
func isMeta(c byte) bool { return strings.IndexByte(" \t\n;&|<>()", c) >= 0 }

// skipLine gives the place after the newline that ends the command line at i,
// and reports each $'...' in it outside other quotes to ansi, which may be nil.
func skipLine(s []byte, i int, ansi func(at span)) int {
	wordStart := true
	for i >= 0 && i < len(s) {
		switch {
		case s[i] == '\n':
			return i + 1
		case s[i] == '#' && wordStart:
			return skipTo(s, i, '\n')
		}
		next := skipPiece(s, i, 0)
		if ansi != nil && next >= 0 && bytes.HasPrefix(s[i:], []byte("$'")) {
			ansi(span{i, next})
		}
		wordStart = isMeta(s[i])
		i = next
	}
	return unterminated
}

// evaluate gives what a word of an assignment stands for, and whether that can
// be told without a shell.
func evaluate(word string) (value string, static bool) {
	s := []byte(word)
	var out []byte
	for i := 0; i < len(s); {
		next := skipPiece(s, i, 0)
		if next < 0 {
			return "", false
		}
		piece := s[i:next]
		i = next
		switch {
		case piece[0] == '\'':
			out = append(out, piece[1:len(piece)-1]...)
		case piece[0] == '\\':
			if piece[1] != '\n' {
				out = append(out, piece[1])
			}
		case piece[0] == '"':
			inner, ok := evaluateDouble(piece[1 : len(piece)-1])
			if !ok {
				return "", false
			}
			out = append(out, inner...)
		case bytes.HasPrefix(piece, []byte("$'")):
			inner, ok := decodeANSI(piece[2 : len(piece)-1])
			if !ok {
				return "", false
			}
			out = append(out, inner...)
		case strings.IndexByte("$`~{", piece[0]) >= 0:
			return "", false
		default:
			out = append(out, piece...)
		}
	}
	return string(out), true
}

// evaluateDouble does so for what is between double quotes.
func evaluateDouble(s []byte) (value []byte, static bool) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '$' || s[i] == '`':
			return nil, false
		case s[i] == '\\' && i+1 < len(s) && strings.IndexByte("`\"\\$\n", s[i+1]) >= 0:
			i++
			if s[i] == '\n' {
				continue
			}
		}
		value = append(value, s[i])
	}
	return value, true
}
