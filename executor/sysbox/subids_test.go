package sysbox

import "testing"

func TestFitSubIDs(t *testing.T) {
	passwd := []byte("root:x:0:0::/root:/bin/sh\nuser:x:1000:1001::/home/user:/bin/sh\nlast:x:65535:65535::/:/bin/sh\nbroken\n")
	for name, c := range map[string]struct{ in, want string }{
		"empty":            {"", ""},
		"fits":             {"user:1:999\nuser:1001:64535\n", "user:1:999\nuser:1001:64535\n"},
		"beyond":           {"user:100000:65536\n", "user:1:999\nuser:1001:64535\n"},
		"just beyond":      {"user:1:65536\n", "user:1:999\nuser:1001:64535\n"},
		"one of two":       {"user:1:5\nother:2000:10\nuser:100000:65536", "user:1:999\nuser:1001:64535\nother:2000:10\n"},
		"by number":        {"1000:100000:65536\n", "1000:1:999\n1000:1001:64535\n"},
		"root":             {"root:100000:65536\n", "root:1:65535\n"},
		"no such user":     {"nobody:231072:65536\n", "nobody:1:65535\n"},
		"the last number":  {"last:100000:65536\n", "last:1:65534\n"},
		"nonsense is kept": {"# a comment\nuser:x:y\nuser:100000:65536\n", "# a comment\nuser:x:y\nuser:1:999\nuser:1001:64535\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, changed := FitSubIDs([]byte(c.in), UserIDs(passwd, 2), 65536)
			if string(got) != c.want || changed != (c.in != c.want) {
				t.Errorf("got %q %v, want %q", got, changed, c.want)
			}
		})
	}
	if got := UserIDs(passwd, 3)["user"]; got != 1001 {
		t.Errorf("group %d", got)
	}
}
