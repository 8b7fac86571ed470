package sharedfill

import (
	"os/exec"
	"strings"
	"testing"
)

// An argument reaches the script unchanged, whatever it contains.
func TestHostileWords(t *testing.T) {
	words := []string{"it's $(x) \"y\"", "`id`", "", "-n", "a b", `\`, "*", "~", "!", "if", "#x", "é", `{"auths":{"a":{}}}`}
	text, err := command(`printf '<%s>\n' "$@"`, words)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("/bin/sh", "-c", text).CombinedOutput()
	if want := "<" + strings.Join(words, ">\n<") + ">\n"; err != nil || string(out) != want {
		t.Errorf("got %q, want %q: %v", out, want, err)
	}
	for _, word := range []string{"a\x00secret", "a\nsecret", "a\x1bsecret"} {
		if text, err := command("", []string{word}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q became %q: %v", word, text, err)
		}
	}
}
