package script

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// frames are the ways in which the Runner has its script evaluated, the last
// command but one of every script (BashWriter.Finish in shells/bash.go).
var frames = []struct{ before, after string }{
	// 18.11.4 and later.
	{"(trap 'exit 1' TERM; eval ", ") < /dev/null\n"},
	// Before that with FF_USE_NEW_BASH_EVAL_STRATEGY.
	{": | (eval ", ")\n"},
	// Before that, and since then with FF_USE_LEGACY_BASH_EVAL.
	{": | eval ", "\n"},
}

// trailer ends every script.
const trailer = "exit 0\n"

// envelope is what is around the body of a script: the text before the word
// that eval gets, that word as it is written, and the text after it.
type envelope struct {
	head, word, tail []byte
	quoting          quoting
}

// open parts a script into its envelope and the text that eval will read.
func open(text []byte) (envelope, []byte, error) {
	unrecognised := func(why string) (envelope, []byte, error) {
		return envelope{}, nil, fmt.Errorf("%w: %s", ErrUnrecognised, why)
	}
	// Shells differ in what they make of it.
	if bytes.IndexByte(text, 0) >= 0 {
		return unrecognised("it holds a NUL byte")
	}
	start, after, ok := findEval(text)
	if !ok {
		return unrecognised("it has no eval line")
	}
	env := envelope{head: text[:start]}
	word := text[start:]
	for _, env.quoting = range []quoting{ansiC, double} {
		if !bytes.HasPrefix(word, []byte(env.quoting.opening())) {
			continue
		}
		body, end, ok := env.quoting.decode(word)
		if !ok {
			return unrecognised("the argument of eval is quoted in a way the Runner does not")
		}
		env.word, env.tail = word[:end], word[end:]
		if string(env.tail) != after+trailer {
			return unrecognised("something else follows the eval line")
		}
		return env, body, nil
	}
	return unrecognised("the argument of eval is not quoted")
}

// findEval finds the word that eval gets, and the text that has to follow it.
// Nothing of the job's is in a script before that line, so the first one that
// looks like it is the one.
func findEval(text []byte) (start int, after string, ok bool) {
	for i := 0; i < len(text); {
		for _, f := range frames {
			if bytes.HasPrefix(text[i:], []byte(f.before)) {
				return i + len(f.before), f.after, true
			}
		}
		n := bytes.IndexByte(text[i:], '\n')
		if n < 0 {
			break
		}
		i += n + 1
	}
	return 0, "", false
}

// span is a part of a body, from the byte at from up to that at to.
type span struct{ from, to int }

// edit puts a text in the place of a part of a body.
type edit struct {
	span
	text string
}

// close puts the edited body back. What no edit touches keeps its bytes, unless
// a POSIX shell could not read them.
func (e envelope) close(body []byte, edits []edit, posix bool) []byte {
	edits = inOrder(edits)
	out := make([]byte, 0, len(e.head)+len(e.word)+len(e.tail)+1024)
	out = append(out, e.head...)
	if posix && e.quoting == ansiC {
		out = append(out, singleQuote(string(apply(body, edits)))...)
	} else {
		out = e.quoting.splice(out, e.word, edits)
	}
	return append(out, e.tail...)
}

// inOrder sorts edits. What is put in at a place comes before what replaces
// the text there.
func inOrder(edits []edit) []edit {
	slices.SortFunc(edits, func(a, b edit) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	return edits
}

// apply gives the body with edits, which are in order and do not overlap.
func apply(body []byte, edits []edit) []byte {
	var out []byte
	done := 0
	for _, ed := range edits {
		out = append(out, body[done:ed.from]...)
		out = append(out, ed.text...)
		done = ed.to
	}
	return append(out, body[done:]...)
}
