package script

import "testing"

func TestPOSIXLines(t *testing.T) {
	const (
		check  = "_runner_exit_code=$?; if [ $_runner_exit_code -ne 0 ]; then exit $_runner_exit_code; fi\n"
		single = `echo $'\x1b[32;1m$ true $\'a\'\x1b[0;m'` + "\n" + `true $'a'` + "\n"
		wantS  = "printf '%s\\n' '\x1b[32;1m$ true $'\\''a'\\''\x1b[0;m'\n" + `true $'a'` + "\n"
	)
	for _, tc := range []struct{ name, body, want string }{
		{"nothing", "cd /x\n", "cd /x\n"},
		{"words", "git -c $'a=b' $'it\\'s' '$'c\n", "git -c 'a=b' 'it'\\''s' '$'c\n"},
		{"names", "export $'a'=$'b c'\n", "export 'a'='b c'\n"},
		{"message", "  echo $'\\x1b[32;1mx\\x1b[0;m'\n", "  printf '%s\\n' '\x1b[32;1mx\x1b[0;m'\n"},
		{"message with a backslash", "  echo $'a\\\\n'\n", "  printf '%s\\n' 'a\\n'\n"},
		{"quoted already", "echo '$'a '$'\n", "echo '$'a '$'\n"},
		{"within other quotes", "a '$' \"$'d'\" $'e\"'\n", "a '$' \"$'d'\" 'e\"'\n"},
		{"every escape", `a $'\a\b\t\n\v\f\r\'\\\x01\xff'` + "\n", "a '\a\b\t\n\v\f\r'\\''\\\x01\xff'\n"},
		{"line without an end", "rm $'a'", "rm 'a'"},

		{"the job's line", single, wantS},
		{"the job's lines", single + single, wantS + wantS},
		{"the job's and the Runner's", single + "rm $'x y'\n", wantS + "rm 'x y'\n"},
		{
			"several lines, then one",
			`echo $'\x1b[32;1m$ if a # collapsed multi-line command\x1b[0;m'` + "\nif a\nthen echo $'b'\nfi\n" + single,
			"printf '%s\\n' '\x1b[32;1m$ if a # collapsed multi-line command\x1b[0;m'\nif a\nthen echo $'b'\nfi\n" + wantS,
		},
		{
			"several lines, then a message",
			`echo $'\x1b[32;1m$ a # collapsed multi-line command\x1b[0;m'` + "\na\n$'b'\n" + `echo $'\x1b[32;1mx\x1b[0;m'` + "\n$'z'\n",
			"printf '%s\\n' '\x1b[32;1m$ a # collapsed multi-line command\x1b[0;m'\na\n$'b'\n" + "printf '%s\\n' '\x1b[32;1mx\x1b[0;m'\n'z'\n",
		},
		{
			"several lines, then the check of their exit code",
			`echo $'\x1b[32;1m$ a # collapsed multi-line command\x1b[0;m'` + "\na\n$'b'\n" + check + "rm $'c'\n",
			"printf '%s\\n' '\x1b[32;1m$ a # collapsed multi-line command\x1b[0;m'\na\n$'b'\n" + check + "rm 'c'\n",
		},
		{
			"several lines of which one looks like the Runner's",
			`echo $'\x1b[32;1m$ a # collapsed multi-line command\x1b[0;m'` + "\na << E\n" + `echo $'\x1b[32;1m$ b\x1b[0;m'` + "\nc\nE\n",
			"printf '%s\\n' '\x1b[32;1m$ a # collapsed multi-line command\x1b[0;m'\na << E\nprintf '%s\\n' '\x1b[32;1m$ b\x1b[0;m'\nc\nE\n",
		},
		{
			"the words of a collapsed command in one line",
			`echo $'\x1b[32;1m$ $\'a\' # collapsed multi-line command\x1b[0;m'` + "\n$'a' # collapsed multi-line command\nrm $'x'\n",
			"printf '%s\\n' '\x1b[32;1m$ $'\\''a'\\'' # collapsed multi-line command\x1b[0;m'\n$'a' # collapsed multi-line command\nrm 'x'\n",
		},
		{
			"a section",
			`printf '%b\n' section_start:$(date +%s):section_s_0[a=b]` + "\r\x1b[0K" + `$'\x1b[32;1m$ a\n$\'b\'\x1b[0;m'` + "\n" +
				`printf '%b\n' section_end:$(date +%s):section_s_0` + "\r\x1b[0K\na\n$'b'\nrm $'x'\n",
			`printf '%b\n' section_start:$(date +%s):section_s_0[a=b]` + "\r\x1b[0K'\x1b[32;1m$ a\n$'\\''b'\\''\x1b[0;m'\n" +
				`printf '%b\n' section_end:$(date +%s):section_s_0` + "\r\x1b[0K\na\n$'b'\nrm 'x'\n",
		},
		{
			"here-document",
			"  cat << EOF > /x\nA=\"$'a'\\\"\"\nEOF\n\nrm $'x'\n",
			"  cat << EOF > /x\nA=\"$'a'\\\"\"\nEOF\n\nrm 'x'\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := posixLines(tc.body); got != tc.want {
				t.Errorf("got\n%q, want\n%q", got, tc.want)
			}
		})
	}
}
