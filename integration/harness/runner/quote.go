package runner

import (
	"strconv"
	"strings"
)

// Characters that the Runner's escaping leaves bare, and those that need
// quotes but no backslash. Whatever is in neither becomes a hex code.
const (
	ansiBare   = ",-./0123456789@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
	ansiQuoted = " !\"#$%&()*+:;<=>?[]^`{|}~"
	ansiBlack  = "\a\b\t\n\v\f\r'\\"
	ansiLetter = `abtnvfr'\`

	posixBackslash = "`\"\\$"
	posixQuoted    = " !#%&()*<=>?[|"
)

// ansiQuote is the Runner's helpers.ShellEscape: bash's $'...', unless nothing
// in the text needs it.
func ansiQuote(text string) string {
	if text == "" {
		return "''"
	}
	var out strings.Builder
	quoted := false
	for _, c := range []byte(text) {
		switch {
		case strings.IndexByte(ansiBare, c) >= 0:
			out.WriteByte(c)
			continue
		case strings.IndexByte(ansiQuoted, c) >= 0:
			out.WriteByte(c)
		case strings.IndexByte(ansiBlack, c) >= 0:
			out.WriteByte('\\')
			out.WriteByte(ansiLetter[strings.IndexByte(ansiBlack, c)])
		default:
			out.WriteString(`\x`)
			out.WriteString(strconv.FormatInt(int64(c)+0x100, 16)[1:])
		}
		quoted = true
	}
	if !quoted {
		return out.String()
	}
	return "$'" + out.String() + "'"
}

// posixQuote is the Runner's helpers.PosixShellEscape, used when
// FF_POSIXLY_CORRECT_ESCAPES is on.
func posixQuote(text string) string {
	if text == "" {
		return "''"
	}
	var out strings.Builder
	quoted := false
	for _, c := range []byte(text) {
		if strings.IndexByte(posixBackslash, c) >= 0 {
			out.WriteByte('\\')
			quoted = true
		}
		quoted = quoted || strings.IndexByte(posixQuoted, c) >= 0
		out.WriteByte(c)
	}
	if !quoted {
		return out.String()
	}
	return `"` + out.String() + `"`
}

// doubleQuote is for arguments in which the shell may expand variables; the
// Runner escapes nothing in them.
func doubleQuote(text string) string { return `"` + text + `"` }
