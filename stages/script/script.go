// Package script adapts the stage scripts that GitLab Runner hands to a custom
// executor's run stage.
//
// The Runner exports the job's variables inside the script, so they beat the
// environment a container was created with: a job variable
// STORAGE_DRIVER=overlay or TMPDIR="" undoes what the executor enforces. And
// it quotes the script with $'...', which dash does not know. Adapt mends both.
//
// What a script looks like is taken from the Runner's shells/bash.go,
// shells/abstract.go and helpers/shell_escape.go (v15.0 to v19.4-dev), and
// checked against scripts of a real Runner 19.3.0.
package script

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
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

	// POSIX says that the shell which will read the script knows no $'...'
	// and no source, such as dash. What the Runner wrote is put in words of
	// POSIX; the job's own commands are left to their author.
	POSIX bool
}

// Adapt applies a to the script.
//
// Set follows the last export of the Runner and the file of GITLAB_ENV, and
// comes before anything the job's author wrote: an author's own export in a
// script line still wins. A script in which the Runner exports nothing
// (prepare_script, clear_worktree) is in no need of it and gets none.
//
// When nothing is to be changed, and with every error, out is text itself. The
// error is ErrUnrecognised for a script of an unknown form; any other is the
// caller's mistake in a: a name that no shell accepts, or a NUL in a value.
func Adapt(text []byte, a Adaptation) (out []byte, err error) {
	for _, v := range a.Set {
		if !syntax.ValidName(v.Name) {
			return text, fmt.Errorf("set variable %q: not a name a shell accepts", v.Name)
		}
		if strings.ContainsRune(v.Value, 0) {
			return text, fmt.Errorf("set variable %s: a value cannot hold a NUL", v.Name)
		}
	}
	if len(a.Set) == 0 && !a.POSIX {
		return text, nil
	}
	word, err := evalWord(text)
	if err != nil {
		return text, err
	}
	body, ansi, err := decode(word, text)
	if err != nil {
		return text, fmt.Errorf("%w: %w", ErrUnrecognised, err)
	}

	p, err := findPrelude(body)
	if err != nil {
		return text, fmt.Errorf("%w: %w", ErrUnrecognised, err)
	}
	before, after := body[:p.end], body[p.end:]
	if a.POSIX && p.source > 0 {
		before = before[:p.source] + "." + before[p.source+len("source"):]
	}
	if a.POSIX && ansi {
		before, after = posixLines(before), posixLines(after)
	}
	if p.end > 0 {
		before += a.lines()
	}
	return slices.Concat(text[:word.Pos().Offset()], []byte(Quote(before+after)), text[word.End().Offset():]), nil
}

// lines gives the shell commands that enforce the variables, in words every
// shell understands. They may follow a command on its line.
func (a Adaptation) lines() string {
	var b strings.Builder
	for _, v := range a.Set {
		b.WriteString("\nexport " + v.Name + "=" + Quote(v.Value))
	}
	b.WriteByte('\n')
	return b.String()
}

// evalWord finds the word with the commands of a stage. The Runner has them
// evaluated, in the last command but one of every script, in one of these ways
// (BashWriter.Finish in shells/bash.go):
//
//	(trap 'exit 1' TERM; eval WORD) < /dev/null    18.11.4 and later
//	: | (eval WORD)                                FF_USE_NEW_BASH_EVAL_STRATEGY
//	: | eval WORD                                  FF_USE_LEGACY_BASH_EVAL
func evalWord(text []byte) (*syntax.Word, error) {
	var words []*syntax.Word
	err := statements(text, math.MaxInt, func(s *syntax.Stmt) bool {
		syntax.Walk(s, func(n syntax.Node) bool {
			if c, ok := n.(*syntax.CallExpr); ok && len(c.Args) == 2 && c.Args[0].Lit() == "eval" {
				words = append(words, c.Args[1])
			}
			return true
		})
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnrecognised, err)
	}
	if len(words) != 1 {
		return nil, fmt.Errorf("%w: it has %d commands eval, not one", ErrUnrecognised, len(words))
	}
	return words[0], nil
}

// unescape undoes PosixShellEscape within its double quotes.
var unescape = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\$`, `$`, "\\`", "`")

// decode gives what a word of the text stands for, and whether it is quoted with
// $'...' (ShellEscape) rather than with "..." (PosixShellEscape, under
// FF_POSIXLY_CORRECT_ESCAPES) or by Quote.
func decode(word *syntax.Word, text []byte) (body string, ansi bool, err error) {
	var b strings.Builder
	for _, part := range word.Parts {
		source := string(text[part.Pos().Offset():part.End().Offset()])
		switch q := part.(type) {
		case *syntax.SglQuoted:
			if ansi = q.Dollar; !ansi {
				b.WriteString(source[1 : len(source)-1])
				break
			}
			inner, err := ansiC(source[2 : len(source)-1])
			if err != nil {
				return "", false, fmt.Errorf("the argument of eval: %w", err)
			}
			b.WriteString(inner)
		case *syntax.DblQuoted:
			if q.Dollar || slices.ContainsFunc(q.Parts, isExpansion) {
				return "", false, errors.New("the shell expands something in the argument of eval")
			}
			b.WriteString(unescape.Replace(source[1 : len(source)-1]))
		default:
			if source != `\'` {
				return "", false, errors.New("the argument of eval is not quoted")
			}
			b.WriteByte('\'')
		}
	}
	// Shells differ in what they make of it.
	if body = b.String(); strings.ContainsRune(body, 0) {
		return "", false, errors.New("it holds a NUL byte")
	}
	return body, ansi, nil
}

func isExpansion(p syntax.WordPart) bool {
	_, literal := p.(*syntax.Lit)
	return !literal
}

// ansiC gives what is meant by text between $' and '.
func ansiC(text string) (string, error) {
	// With nil for the configuration, all callers would share one.
	text, _, err := expand.Format(&expand.Config{}, text, nil)
	return text, err
}

// Quote makes one word of s for any shell.
func Quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Wrap makes a stage's script of commands, in the form of the Runner's.
func Wrap(commands string) []byte {
	var b bytes.Buffer
	b.WriteString("#!/usr/bin/env bash\n\ntrap 'exit 1' TERM\n\n" +
		"case \"$(set -o)\" in *\"pipefail\"*) set -o pipefail;; esac; set -o errexit\n" +
		"set +o noclobber\n" +
		"(trap 'exit 1' TERM; eval " + Quote(commands) + ") < /dev/null\nexit 0\n")
	return b.Bytes()
}
