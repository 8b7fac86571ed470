package script

import (
	"bytes"
	"testing"
)

func TestDecode(t *testing.T) {
	for _, tc := range []struct {
		name    string
		quoting quoting
		word    string
		want    string
		refused bool
	}{
		{"plain", ansiC, `$'a b'`, "a b", false},
		{"empty", ansiC, `$''`, "", false},
		{"letters", ansiC, `$'\a\b\e\E\f\n\r\t\v'`, "\a\b\x1b\x1b\f\n\r\t\v", false},
		{"quotes", ansiC, `$'\\\'\"\?'`, `\'"?`, false},
		{"hex takes two digits", ansiC, `$'\x1b1\xA'`, "\x1b1\n", false},
		{"octal takes three digits", ansiC, `$'\0333\7'`, "\x1b3\a", false},
		{"octal beyond a byte", ansiC, `$'\501'`, "A", false},
		{"what would be syntax", ansiC, "$'$(x) `y` \"'", "$(x) `y` \"", false},
		{"NUL", ansiC, `$'a\x00b'`, "", true},
		{"locale", ansiC, `$'\u00e9'`, "", true},
		{"control", ansiC, `$'\cA'`, "", true},
		{"no digit", ansiC, `$'\xg'`, "", true},
		{"unknown escape", ansiC, `$'\z'`, "", true},
		{"no end", ansiC, `$'a\'`, "", true},
		{"ends in a backslash", ansiC, `$'a\`, "", true},

		{"plain", double, `"a b"`, "a b", false},
		{"escapes", double, "\"\\\" \\\\ \\$ \\`\"", "\" \\ $ `", false},
		{"lines", double, "\"a\nb\"", "a\nb", false},
		{"expansion", double, `"$x"`, "", true},
		{"substitution", double, "\"`x`\"", "", true},
		{"joined lines", double, "\"a\\\nb\"", "", true},
		{"lone backslash", double, `"\n"`, "", true},
		{"no end", double, `"a\"`, "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const rest = " && 'more'"
			body, end, ok := tc.quoting.decode([]byte(tc.word + rest))
			if tc.refused {
				// What follows may end the quotes, but never makes them good.
				if ok && end <= len(tc.word) {
					t.Fatalf("decoded as %q", body)
				}
				return
			}
			if !ok || string(body) != tc.want || end != len(tc.word) {
				t.Fatalf("got %q to %d (%v), want %q to %d", body, end, ok, tc.want, len(tc.word))
			}
		})
	}
}

func TestSplice(t *testing.T) {
	for _, tc := range []struct {
		name    string
		quoting quoting
		word    string
		edits   []edit
		want    string
	}{
		{"nothing", ansiC, `$'\x07\a'`, nil, `$'\x07\a'`},
		{"at the start", ansiC, `$'b'`, []edit{{span{0, 0}, "a\n"}}, `$'a\nb'`},
		{"at the end", ansiC, `$'\'a'`, []edit{{span{2, 2}, "'b\\"}}, `$'\'a\'b\\'`},
		{"after escapes", ansiC, `$'\x41\nb'`, []edit{{span{2, 2}, "é\x01"}}, `$'\x41\n\xc3\xa9\x01b'`},
		{"replaced", ansiC, `$'a\nb\n'`, []edit{{span{0, 1}, "x"}, {span{2, 3}, "yz"}}, `$'x\nyz\n'`},
		{"double", double, "\"a\\\"\nb\"", []edit{{span{2, 2}, "`$x`\\'"}}, "\"a\\\"\\`\\$x\\`\\\\'\nb\""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := tc.quoting.splice(nil, []byte(tc.word), tc.edits)
			if string(got) != tc.want {
				t.Fatalf("got %s, want %s", got, tc.want)
			}
			before, _, _ := tc.quoting.decode([]byte(tc.word))
			after, _, ok := tc.quoting.decode(got)
			if !ok || !bytes.Equal(after, apply(before, tc.edits)) {
				t.Fatalf("decodes as %q", after)
			}
		})
	}
}

func TestSingleQuote(t *testing.T) {
	for in, want := range map[string]string{
		"":       `''`,
		"a b":    `'a b'`,
		"it's":   `'it'\''s'`,
		"'":      `''\'''`,
		"$x `\\": "'$x `\\'",
	} {
		if got := singleQuote(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}
