// Package script adapts the stage scripts that GitLab Runner passes to a custom executor's run
// stage.
//
// The Runner exports the job's variables inside the script, so they override the container's
// environment: a job variable STORAGE_DRIVER=overlay or TMPDIR="" undoes what the executor
// enforces. It also quotes the script with $'...', which dash does not support. Adapt
// corrects both.
//
// The form of a script is that of the Runner's shells/bash.go, shells/abstract.go and
// helpers/shell_escape.go (v15.0 to v19.4-dev). It was checked against scripts of a real Runner
// 19.3.0.
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

// ErrUnrecognised means that a text does not have a known form of the Runner's bash scripts.
// The text can still be run, but nothing is enforced in it.
var ErrUnrecognised = errors.New("not a stage script of a known GitLab Runner")

// Variable is an environment variable.
type Variable struct{ Name, Value string }

// Adaptation describes the changes to a script.
type Adaptation struct {
	// Set is exported in this order, after the Runner's own exports.
	Set []Variable

	// POSIX means that the shell supports neither $'...' nor source, as dash. The Runner's
	// lines are rewritten in POSIX syntax; the job's own commands are not changed.
	POSIX bool
}

// Adapt applies a to the script.
//
// Set comes after the last export of the Runner and the file of GITLAB_ENV, and before the
// commands of the job's author, so an export in a script line still wins. A script without
// exports (prepare_script, clear_worktree) does not need Set and does not get it.
//
// If there is no change, or with an error, out is text itself. The error is ErrUnrecognised
// for a script of an unknown form. Other errors are mistakes in a: a name that no shell
// accepts, or a NUL in a value.
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

// lines returns the shell commands that set the variables, in a syntax of every shell. They
// may come after a command on its line.
func (a Adaptation) lines() string {
	var b strings.Builder
	for _, v := range a.Set {
		b.WriteString("\nexport " + v.Name + "=" + Quote(v.Value))
	}
	b.WriteByte('\n')
	return b.String()
}

// evalWord finds the word with the commands of a stage. The last command but one of every script
// evaluates them, in one of these ways (BashWriter.Finish in shells/bash.go):
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

// unescape reverts PosixShellEscape within its double quotes.
var unescape = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\$`, `$`, "\\`", "`")

// decode returns the content of a word, and whether it is quoted with $'...' (ShellEscape)
// rather than with "..." (PosixShellEscape, under FF_POSIXLY_CORRECT_ESCAPES) or by Quote.
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
	// Shells interpret a NUL byte in different ways.
	if body = b.String(); strings.ContainsRune(body, 0) {
		return "", false, errors.New("it holds a NUL byte")
	}
	return body, ansi, nil
}

func isExpansion(p syntax.WordPart) bool {
	_, literal := p.(*syntax.Lit)
	return !literal
}

// ansiC returns the content of text between $' and '.
func ansiC(text string) (string, error) {
	// With a nil configuration all callers would share one.
	text, _, err := expand.Format(&expand.Config{}, text, nil)
	return text, err
}

// Quote returns s as one word for any shell.
func Quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Wrap returns a stage script with these commands, in the Runner's form.
func Wrap(commands string) []byte {
	var b bytes.Buffer
	b.WriteString("#!/usr/bin/env bash\n\ntrap 'exit 1' TERM\n\n" +
		"case \"$(set -o)\" in *\"pipefail\"*) set -o pipefail;; esac; set -o errexit\n" +
		"set +o noclobber\n" +
		"(trap 'exit 1' TERM; eval " + Quote(commands) + ") < /dev/null\nexit 0\n")
	return b.Bytes()
}
