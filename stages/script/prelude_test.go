package script

import (
	"strings"
	"testing"
)

func TestFindPrelude(t *testing.T) {
	const (
		loop = "mkdir -p \"/p.tmp\"\ntouch \"/p.tmp/env\"\n" +
			"while read -r line; do export \"$line\"; done < \"/p.tmp/env\"\n"
		source = "mkdir -p \"/p.tmp\"\ntouch \"/p.tmp/env\"\n" +
			"set -o allexport\nsource \"/p.tmp/env\" set\nset +o allexport\n"
		file = "mkdir -p \"/p.tmp\"\nprintf '%s' $'a\\nb > \"c\"' > \"/p.tmp/F\"\nexport F=\"/p.tmp/F\"\n"
	)
	for _, tc := range []struct {
		name string
		// prelude is what is found at the start of prelude + rest.
		prelude, rest string
	}{
		{"none", "", "rm \"-f\" \"/x\"\nexport A=b\n"},
		{"empty", "", ""},
		{"Runner before 16.4", "export A=b\nexport C=''\n", "cd /x\nexport D=e\n"},
		{"exports alone", "export A=b\n", ""},
		{"Runner 16.4", "export A=b\n" + source, "cd /x\nexport D=e\n"},
		{"Runner 17.7", "export A=b\n" + loop, "cd /x\nexport D=e\n"},
		{"file variables", "export A=b\n" + file + file + loop, "cd /x\n"},
		{"file variable first", file + loop, "cd /x\n"},
		{"file variable last", "export A=b\n" + file, "mkdir -p /x\ncd /y\n"},
		{"quoted name", "export $'a-b'=c\nexport $'d e'=f\n" + loop, ""},
		{"quoted name before 16.4", "export $'a-b'=c\nexport $'d e'=f\n", "cd /x\n"},
		{"value with newlines", "export A=\"b\n" + strings.ReplaceAll(loop, `"`, `\"`) + "\nexport C=d\"\nexport E=f\n" + loop, "cd /x\n"},
		{"value of ANSI-C", `export A=$'b\'` + strings.ReplaceAll(loop, "\n", `\n`) + `\'c'` + "\n" + loop, "cd /x\n"},
		{"value that is a command", "export A=b\nexport C=d;e\nexport F=g\n" + loop, "cd /x\n"},
		{"the same before 16.4", "export A=b\n", "false\nexport D=e\ncd /x\n"},
		{"commands that look alike", "export A=b\n" + loop, "echo x\n" + loop},
		{"the job's look alike before 16.4", "export A=b\n", "echo x\n" + strings.Replace(loop, "touch", "echo", 1)},
		{"no UTF-8", "export A=\xff\xc3\"(\x00\r\n\xe2\"\n", "cd /x\n"},
		{"quotes that do not end", "export A=b\n", "export C=it's\ncd /x\n"},
		{"values nested too deep", "export A=b\n", "export C=it's\nexport D=\"'|" + strings.Repeat("((", 500_000) + "\"\ncd /x\n"},
		{"values too large", "export A=b\n", "export C=it's\nexport D=\"'" + strings.Repeat("|a", 500_000) + "\"\ncd /x\n"},
		{"values that are blocks", "export A=b;", strings.Repeat("{\n", 500_000) + "\ncd /x\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := findPrelude(tc.prelude + tc.rest)
			if want := strings.TrimSuffix(tc.prelude, "\n"); err != nil || p.end != len(want) {
				t.Errorf("ends at %d of %d (%v)", p.end, len(want), err)
			}
			if at := p.source; strings.Contains(tc.prelude, source) != (at > 0) || at > 0 && !strings.HasPrefix(tc.prelude[at:], "source ") {
				t.Errorf("source at %d", at)
			}
		})
	}
}
