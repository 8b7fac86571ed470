// Package script reads and adapts the stage scripts that GitLab Runner hands
// to a custom executor's run stage.
//
// The Runner exports the job's variables inside the script, so they beat the
// environment a container was created with: a job variable
// STORAGE_DRIVER=overlay or TMPDIR="" undoes what the executor enforces. And
// it quotes the script with $'...', which dash does not know. Adapt mends both
// and leaves every other byte as it was.
//
// What a script looks like is taken from the Runner's shells/bash.go,
// shells/abstract.go and helpers/shell_escape.go (v15.0 to v19.4-dev), and
// checked against scripts of a real Runner 19.3.0.
package script

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnrecognised says that a text is no script of a form the Runner's bash
// writer is known to produce. The text can still be run as it is; nothing is
// enforced in it.
var ErrUnrecognised = errors.New("not a stage script of a known GitLab Runner")

// Variable is an environment variable.
type Variable struct{ Name, Value string }

// Adaptation says what to change in a script.
type Adaptation struct {
	// Set is exported, in this order, after the Runner's own exports.
	Set []Variable

	// Unset is removed there.
	Unset []string

	// POSIX says that the shell which will read the script knows no $'...'
	// and no source, such as dash. What the Runner wrote is put in words of
	// POSIX; the job's own commands are left to their author.
	POSIX bool
}

// Conflict is a variable of Adaptation.Set that the script exports with
// another value, or one of Adaptation.Unset that it exports at all. The value
// may be a secret. It is the word as written where the shell would expand
// something in it.
type Conflict struct{ Name, Value string }

// Adapt applies a to the script and says which of the job's variables lost by
// it: those of Set first, each name once, with the value that would have won.
//
// Set and Unset follow the last export of the Runner and the file of GITLAB_ENV,
// and come before anything the job's author wrote: an author's own export in a
// script line still wins. A script in which the Runner exports nothing
// (prepare_script, clear_worktree) is in no need of them and gets none.
//
// When nothing is to be changed, and with every error, out is text itself. The
// error is ErrUnrecognised for a script of an unknown form; any other is the
// caller's mistake in a: a name that no shell accepts, or a NUL in a value.
func Adapt(text []byte, a Adaptation) (out []byte, conflicts []Conflict, err error) {
	if err := a.validate(); err != nil {
		return text, nil, err
	}
	if len(a.Set) == 0 && len(a.Unset) == 0 && !a.POSIX {
		return text, nil, nil
	}
	env, body, err := open(text)
	if err != nil {
		return text, nil, err
	}

	var edits []edit
	if a.POSIX && env.quoting == ansiC {
		edits = posixWords(body)
	}
	if block, ok := findExports(body); ok {
		if a.POSIX && block.source != (span{}) {
			edits = append(edits, edit{block.source, "."})
		}
		if lines := a.lines(); lines != "" {
			edits = append(edits, edit{span{block.end, block.end}, lines})
		}
		conflicts = a.conflicts(block.exports)
	}
	return env.close(body, edits, a.POSIX), conflicts, nil
}

// lines gives the shell commands that enforce the variables, in words every
// shell understands.
func (a Adaptation) lines() string {
	var b strings.Builder
	for _, v := range a.Set {
		b.WriteString("export " + v.Name + "=" + singleQuote(v.Value) + "\n")
	}
	for _, name := range a.Unset {
		// Without -v, bash would remove a function where no variable is.
		b.WriteString("unset -v " + name + "\n")
	}
	return b.String()
}

func (a Adaptation) conflicts(exports []export) []Conflict {
	// A later export of the same name wins, as it does in the shell.
	last := make(map[string]string)
	for _, e := range exports {
		last[e.name] = e.word
	}

	var found []Conflict
	lost := func(name string, agrees func(value string) bool) {
		word, ok := last[name]
		if !ok {
			return
		}
		delete(last, name)
		value, static := evaluate(word)
		if !static {
			value = word
		}
		if !static || !agrees(value) {
			found = append(found, Conflict{name, value})
		}
	}
	for _, v := range a.Set {
		lost(v.Name, func(value string) bool { return value == v.Value })
	}
	for _, name := range a.Unset {
		lost(name, func(string) bool { return false })
	}
	return found
}

func (a Adaptation) validate() error {
	for _, v := range a.Set {
		if !isName(v.Name) {
			return fmt.Errorf("set variable %q: not a name a shell accepts", v.Name)
		}
		if strings.ContainsRune(v.Value, 0) {
			return fmt.Errorf("set variable %s: a value cannot hold a NUL", v.Name)
		}
	}
	for _, name := range a.Unset {
		if !isName(name) {
			return fmt.Errorf("unset variable %q: not a name a shell accepts", name)
		}
	}
	return nil
}

// isName tells a name as POSIX defines it (Base Definitions, 3.216).
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
