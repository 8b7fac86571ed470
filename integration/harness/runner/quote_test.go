package runner

import (
	"os/exec"
	"strings"
	"testing"
)

// FuzzQuotesSurviveTheShell lets bash and dash take the quotes off again.
func FuzzQuotesSurviveTheShell(f *testing.F) {
	for _, seed := range []string{
		"", "plain", "it's", `back\slash`, "a b", "tab\tnew\nline\r", "$HOME `id` $(id)", `"double"`, "!#%&()*", "umläut €", "\x01\x7f\xff", "~",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ReplaceAll(text, "\x00", "") // no shell word holds one
		shellSays(t, "bash", ansiQuote(text), text)
	})
}

// TestPosixQuotes has no fuzzing: the Runner's own POSIX form leaves bare what
// only happens to be harmless within `export K=V`.
func TestPosixQuotes(t *testing.T) {
	for _, text := range []string{"", "plain", "a b", `back\slash "q"`, "$HOME `id` $(id)", "new\nline and more"} {
		shellSays(t, "sh", posixQuote(text), text)
	}
}

func shellSays(t *testing.T, shell, word, want string) {
	t.Helper()
	got, err := exec.Command(shell, "-c", "printf %s "+word).Output()
	if err != nil || string(got) != want {
		t.Errorf("%s reads %s as %q (%v), want %q", shell, word, got, err, want)
	}
}
