package script

import "strings"

// quoting is a way of the Runner to quote the argument of eval.
type quoting int

const (
	// ansiC is $'...', written by ShellEscape and, before 17.0, by
	// ShellEscapeLegacy, which only chooses other escapes for some bytes.
	ansiC quoting = iota
	// double is "...", written by PosixShellEscape under
	// FF_POSIXLY_CORRECT_ESCAPES.
	double
)

// opening is how a word of the quoting starts. It ends with the last byte of it.
func (q quoting) opening() string {
	if q == ansiC {
		return "$'"
	}
	return `"`
}

// unit reads what stands for one byte of the body at the start of s. Its width
// is 0 at what the Runner does not write inside the quotes.
func (q quoting) unit(s []byte) (c byte, width int) {
	if q == ansiC {
		return ansiUnit(s)
	}
	return doubleUnit(s)
}

// escape appends what stands for c between the quotes.
func (q quoting) escape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch {
	case q == double && strings.IndexByte("`\"\\$", c) >= 0,
		q == ansiC && (c == '\'' || c == '\\'):
		return append(dst, '\\', c)
	case q == ansiC && c == '\n':
		return append(dst, `\n`...)
	case q == ansiC && (c < ' ' || c > '~'):
		return append(dst, '\\', 'x', hex[c>>4], hex[c&0xf])
	}
	return append(dst, c)
}

// decode reads the quoted word at the start of s, and says where it ends.
func (q quoting) decode(s []byte) (body []byte, end int, ok bool) {
	i := len(q.opening())
	shut := s[i-1]
	body = make([]byte, 0, len(s))
	for {
		n := plain(s[i:])
		body = append(body, s[i:i+n]...)
		i += n
		if i == len(s) {
			return nil, 0, false
		}
		if s[i] == shut {
			return body, i + 1, true
		}
		c, width := q.unit(s[i:])
		if width == 0 || c == 0 {
			return nil, 0, false
		}
		body = append(body, c)
		i += width
	}
}

// plain gives the length of what, at the start of s, stands for itself in
// either quoting.
func plain(s []byte) int {
	for i, c := range s {
		switch c {
		case '\\', '\'', '"', '$', '`':
			return i
		}
	}
	return len(s)
}

// splice appends the quoted word with edits of what it says. They are in order
// and do not overlap; the bytes between them are kept as they are written.
func (q quoting) splice(dst, word []byte, edits []edit) []byte {
	i, at := len(q.opening()), 0
	dst = append(dst, word[:i]...)
	skip := func(to int) []byte {
		from := i
		for at < to {
			if n := plain(word[i:min(i+to-at, len(word))]); n > 0 {
				at, i = at+n, i+n
				continue
			}
			_, width := q.unit(word[i:])
			at, i = at+1, i+width
		}
		return word[from:i]
	}
	for _, ed := range edits {
		dst = append(dst, skip(ed.from)...)
		skip(ed.to)
		for _, c := range []byte(ed.text) {
			dst = q.escape(dst, c)
		}
	}
	return append(dst, word[i:]...)
}

// ansiUnit reads one byte's worth of bash's ANSI-C quoting. \u and \U are
// refused since what they stand for hangs on the shell's locale, \c since its
// meaning hangs on the version; the Runner writes neither.
func ansiUnit(s []byte) (c byte, width int) {
	if s[0] != '\\' {
		return s[0], 1
	}
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case 'a':
		return '\a', 2
	case 'b':
		return '\b', 2
	case 'e', 'E':
		return 0x1b, 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'v':
		return '\v', 2
	case '\\', '\'', '"', '?':
		return s[1], 2
	case 'x':
		c, digits := number(s[2:], 16, 2)
		if digits == 0 {
			return 0, 0
		}
		return c, 2 + digits
	default:
		c, digits := number(s[1:], 8, 3)
		if digits == 0 {
			return 0, 0
		}
		return c, 1 + digits
	}
}

// number reads up to most digits; what does not fit a byte is cut off, as bash
// does it.
func number(s []byte, base, most int) (c byte, digits int) {
	for digits < most && digits < len(s) {
		d := strings.IndexByte("0123456789abcdef"[:base], lower(s[digits]))
		if d < 0 {
			break
		}
		c = c*byte(base) + byte(d)
		digits++
	}
	return c, digits
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// doubleUnit reads one byte's worth of double quotes. The Runner escapes every
// byte that a shell would see anything in.
func doubleUnit(s []byte) (c byte, width int) {
	switch s[0] {
	case '$', '`':
		return 0, 0
	case '\\':
		if len(s) < 2 || strings.IndexByte("`\"\\$", s[1]) < 0 {
			return 0, 0
		}
		return s[1], 2
	}
	return s[0], 1
}

// decodeANSI gives what a $'...' stands for; s is what is between the quotes.
// A NUL ends it, as in bash.
func decodeANSI(s []byte) (string, bool) {
	out := make([]byte, 0, len(s))
	for len(s) > 0 {
		c, width := ansiUnit(s)
		if width == 0 {
			return "", false
		}
		if c != 0 {
			out = append(out, c)
			s = s[width:]
			continue
		}
		return string(out), true
	}
	return string(out), true
}

// singleQuote quotes s for any shell.
func singleQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
