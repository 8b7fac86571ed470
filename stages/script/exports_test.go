package script

import (
	"slices"
	"strings"
	"testing"
)

func TestFindExports(t *testing.T) {
	const (
		loop = "mkdir -p \"/p.tmp\"\ntouch \"/p.tmp/env\"\n" +
			"while read -r line; do export \"$line\"; done < \"/p.tmp/env\"\n"
		source = "mkdir -p \"/p.tmp\"\ntouch \"/p.tmp/env\"\n" +
			"set -o allexport\nsource \"/p.tmp/env\" set\nset +o allexport\n"
		file = "mkdir -p \"/p.tmp\"\nprintf '%s' $'a\\nb > \"c\"' > \"/p.tmp/F\"\nexport F=\"/p.tmp/F\"\n"
	)
	for _, tc := range []struct {
		name string
		// block is what is found at the start of block + rest.
		block, rest string
		names       []string
	}{
		{"none", "", "rm \"-f\" \"/x\"\nexport A=b\n", nil},
		{"empty body", "", "", nil},
		{"no value", "", "export A\n", nil},
		{"Runner before 16.4", "export A=b\nexport C=''\n", "cd /x\nexport D=e\n", []string{"A", "C"}},
		{"exports alone", "export A=b\n", "", []string{"A"}},
		{"Runner 16.4", "export A=b\n" + source, "cd /x\nexport D=e\n", []string{"A"}},
		{"Runner 17.7", "export A=b\n" + loop, "cd /x\nexport D=e\n", []string{"A"}},
		{"exports after the file", "export A=b\n" + loop + "export G=\"/p.tmp/g\"\nexport H=0\n", "rm x\n", []string{"A", "G", "H"}},
		{"file variables", "export A=b\n" + file + file + loop, "cd /x\n", []string{"A", "F", "F"}},
		{"file variable first", file + loop, "cd /x\n", []string{"F"}},
		{"file variable last", "export A=b\n" + file, "mkdir -p /x\n", []string{"A", "F"}},
		{"quoted name", "export $'a-b'=c\nexport $'d e'=f\n" + loop, "", []string{"a-b", "d e"}},
		{"value with newlines", "export A=\"b\n" + loop + "\nexport C=d\"\nexport E=f\n" + loop, "cd /x\n", []string{"A", "E"}},
		{"value of ANSI-C", `export A=$'b\'` + "\n" + loop + `\'c'` + "\n" + loop, "cd /x\n", []string{"A"}},
		{"value that is a command", "export A=b\nexport C=d;e\nexport F=g\n" + loop, "cd /x\n", []string{"A", "F"}},
		{"value that is a line", "export A=b\nfalse\nexport D=e\n" + loop, "cd /x\n", []string{"A", "D"}},
		{"the same before 16.4", "export A=b\n", "false\nexport D=e\ncd /x\n", []string{"A"}},
		{"another file", "export A=b\n", strings.Replace(loop, "< \"/p.tmp/env\"", "< \"/other\"", 1), []string{"A"}},
		{"quotes that do not end", "export A=b\n", "export C=it's\ncd /x\n", []string{"A"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			block, ok := findExports([]byte(tc.block + tc.rest))
			if ok != (tc.names != nil) {
				t.Fatalf("found: %v", ok)
			}
			var names []string
			for _, e := range block.exports {
				names = append(names, e.name)
			}
			if block.end != len(tc.block) || !slices.Equal(names, tc.names) {
				t.Errorf("ends at %d of %d, names %q", block.end, len(tc.block), names)
			}
			if s := block.source; strings.Contains(tc.block, "source ") != (s != span{}) {
				t.Errorf("source at %v", s)
			} else if s.from > 0 && tc.block[s.from:s.to] != "source" {
				t.Errorf("source is %q", tc.block[s.from:s.to])
			}
		})
	}
}
