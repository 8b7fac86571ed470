package script

import (
	"slices"
	"strings"
	"testing"
)

func TestSkipLine(t *testing.T) {
	for _, tc := range []struct {
		name, line string
		ansi       []string
	}{
		{"plain", "echo a\n", nil},
		{"empty", "\n", nil},
		{"ANSI-C", `echo $'a\'b' x$'c'` + "\n", []string{`$'a\'b'`, `$'c'`}},
		{"in single quotes", `echo '$'a' $'` + "\n", nil},
		{"in double quotes", `echo "$'a'"` + "\n", nil},
		{"escaped dollar", `echo \$'a'` + "\n", nil},
		{"process number", `echo $$'a'` + "\n", nil},
		{"in a comment", `echo a # $'b'` + "\n", nil},
		{"number sign in a word", `echo a#$'b'` + "\n", []string{`$'b'`}},
		{"joined lines", "echo a \\\nb\n", nil},
		{"newlines in quotes", "echo 'a\nb' \"c\nd\" $'e\nf'\n", []string{"$'e\nf'"}},
		{"substitution", "v=\"$(printf '%s\\n' \"$a\" \"$(b ')')\")\" $'x'\n", []string{"$'x'"}},
		{"subshell in substitution", "v=$( (a; b) ) $'x'\n", []string{"$'x'"}},
		{"backquotes", "echo `echo \\`a\\` 'b` $'x'\n", []string{"$'x'"}},
		{"lone dollar", "echo $ $\n", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := []byte(tc.line + "next\n")
			var ansi []string
			end := skipLine(s, 0, func(at span) { ansi = append(ansi, string(s[at.from:at.to])) })
			if end != len(tc.line) || !slices.Equal(ansi, tc.ansi) {
				t.Errorf("got %q and %q", s[:max(end, 0)], ansi)
			}
		})
	}
	for _, line := range []string{
		"", "a", "'a\n", "\"a\n", "$'a\\'\n", "`a\n", "$(a\n", "\"$(a\"\n", "a\\", "a\\\n", "# a",
		strings.Repeat("$(", 1_000_000) + "\n",
	} {
		if end := skipLine([]byte(line), 0, nil); end != unterminated {
			t.Errorf("%.20q: ends at %d", line, end)
		}
	}
}

func TestEvaluate(t *testing.T) {
	for _, tc := range []struct {
		word, want string
		static     bool
	}{
		{``, "", true},
		{`''`, "", true},
		{`a/b.c`, "a/b.c", true},
		{`$'a\'b\n'`, "a'b\n", true},
		{`$'a\x00b'c`, "ac", true},
		{`"a b"`, "a b", true},
		{"\"\\\" \\\\ \\$ \\` \\n \\\nx\"", "\" \\ $ ` \\n x", true},
		{`a\;b'c d'"e"`, `a;bc de`, true},
		{"a\\\nb", "ab", true},
		{`"$PWD/x"`, "", false},
		{"\"`x`\"", "", false},
		{`$x`, "", false},
		{`~/x`, "", false},
		{`{a,b}`, "", false},
		{`$'\u00e9'`, "", false},
		{`'a`, "", false},
	} {
		got, static := evaluate(tc.word)
		if static != tc.static || static && got != tc.want {
			t.Errorf("%s: got %q, %v", tc.word, got, static)
		}
	}
}
