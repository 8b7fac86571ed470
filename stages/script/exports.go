package script

import "bytes"

// export is one exported variable: its name, and the word assigned to it as
// the script has it.
type export struct{ name, word string }

// exportBlock is the part of a body in which the Runner exports variables.
type exportBlock struct {
	exports []export
	// end is the place after it.
	end int
	// source is the command word with which Runners 16.4 to 17.6 read the
	// file of GITLAB_ENV, or nothing.
	source span
}

// findExports finds the exports at the start of a body, if it has any. In every
// stage that has some they come first (AbstractShell.writeExports and its
// callers in shells/abstract.go), in this order:
//
//	export NAME=VALUE          each variable; one of type file after the lines
//	                           of skipFileVariable
//	export GITLAB_ENV=FILE     since 16.4, with the lines of skipSourceEnv
//	export NAME=VALUE          some more in some stages
//
// After it comes a cd, an echo or another command, never the job's own: each
// line of the job's is announced by an echo.
func findExports(body []byte) (block exportBlock, ok bool) {
	stray, exportsThen := unterminated, 0
	i := 0
	for i >= 0 && i < len(body) {
		if e, next := parseExport(body, i); next >= 0 {
			block.exports = append(block.exports, e)
			i = next
			continue
		}
		if next, source := skipSourceEnv(body, i); next >= 0 {
			block.end, block.source = next, source
			for {
				e, next := parseExport(body, block.end)
				if next < 0 {
					return block, true
				}
				block.exports = append(block.exports, e)
				block.end = next
			}
		}
		if next := skipFileVariable(body, i); next >= 0 {
			i = next
			continue
		}
		if len(block.exports) == 0 {
			return exportBlock{}, false
		}
		// PosixShellEscape leaves a value such as "a;b" or "a<newline>b"
		// unquoted: the shell runs b, and goes on with the exports. Values in
		// which the end of the block could be faked are quoted.
		if stray < 0 {
			stray, exportsThen = i, len(block.exports)
		}
		i = skipLine(body, i, nil)
	}
	// A Runner before 16.4: the exports are followed by what is no export.
	if stray >= 0 {
		i, block.exports = stray, block.exports[:exportsThen]
	}
	block.end = i
	return block, len(block.exports) > 0
}

// parseExport reads the line export NAME=WORD at i. The next place is
// unterminated where there is none.
func parseExport(s []byte, i int) (e export, next int) {
	name, _ := skipPattern(s, i, "export ")
	if name < 0 {
		return e, unterminated
	}
	// Neither what ends a word nor an equals sign is ever plain in a name.
	eq := name
	for eq >= 0 && eq < len(s) && s[eq] != '=' {
		if isMeta(s[eq]) {
			return e, unterminated
		}
		eq = skipPiece(s, eq, 0)
	}
	if eq < 0 || eq == len(s) {
		return e, unterminated
	}
	end := skipWord(s, eq+1)
	if end < 0 || end == len(s) || s[end] != '\n' {
		return e, unterminated
	}
	// A name that is not static is none anybody asks for.
	e.name, _ = evaluate(string(s[name:eq]))
	e.word = string(s[eq+1 : end])
	return e, end + 1
}

// skipFileVariable skips the lines that write a variable of type file, up to
// the export of its path.
func skipFileVariable(s []byte, i int) int {
	next, _ := skipPattern(s, i, "mkdir -p ", anyWord, "\nprintf '%s' ", anyWord, " > ", anyWord, "\n")
	return next
}

// skipSourceEnv skips the lines that read the file of GITLAB_ENV
// (BashWriter.SourceEnv), and finds the word source in them.
func skipSourceEnv(s []byte, i int) (next int, source span) {
	i, words := skipPattern(s, i, "mkdir -p ", anyWord, "\ntouch ", anyWord, "\n")
	if i < 0 {
		return unterminated, span{}
	}
	file := words[1]
	// 17.7 and later.
	loop := `while read -r line; do export "$line"; done < ` + file + "\n"
	if next, _ := skipPattern(s, i, loop); next >= 0 {
		return next, span{}
	}
	// 16.4 to 17.6.
	const allexport = "set -o allexport\n"
	if next, _ := skipPattern(s, i, allexport+"source "+file+" set\nset +o allexport\n"); next >= 0 {
		from := i + len(allexport)
		return next, span{from, from + len("source")}
	}
	return unterminated, span{}
}

// anyWord stands for any one word in a pattern.
const anyWord = ""

// skipPattern gives the place after the texts and words of a pattern, and the
// words, if that is what is at i.
func skipPattern(s []byte, i int, pattern ...string) (next int, words []string) {
	for _, part := range pattern {
		if part != anyWord {
			if !bytes.HasPrefix(s[i:], []byte(part)) {
				return unterminated, nil
			}
			i += len(part)
			continue
		}
		end := skipWord(s, i)
		if end < 0 {
			return unterminated, nil
		}
		words = append(words, string(s[i:end]))
		i = end
	}
	return i, words
}
