package script

import (
	"bytes"
	"strings"
)

// How the Runner colours its messages, and how it starts an announcement
// (helpers/ansi_colors.go).
const (
	colour   = "\x1b["
	reset    = "\x1b[0;m"
	announce = "\x1b[32;1m$ "
)

// collapsed ends the announcement of a command of several lines.
const collapsed = " # collapsed multi-line command"

// sectionLine starts the lines that open and close a section in the job log.
const sectionLine = `printf '%b\n' `

// posixWords puts the $'...' of the Runner's own lines in single quotes, and
// leaves the job's lines as they are: there, a POSIX shell has its own reading
// of $'...', and the job's author may rely on it.
//
// The job's lines are found by how the Runner announces each of its commands
// (AbstractShell.writeCommands in shells/abstract.go):
//
//	echo $'<colour>$ COMMAND<reset>'
//	COMMAND
//
// A command of several lines is announced in full in a log section, so that
// its end is known; or by its first line only, and then it is taken to go on up
// to what isRunners knows. So a collapsed command that quotes a whole
// announcement with its command, or a message, is changed there; and what the
// Runner writes after a collapsed hook stays as it is up to the next such line.
func posixWords(body []byte) []edit {
	var edits []edit
	for i := 0; i < len(body); {
		if next := skipHereDocument(body, i); next >= 0 {
			i = next
			continue
		}
		line := readLine(body, i)
		if line.end < 0 {
			break
		}
		edits = append(edits, line.edits...)
		i = line.end
		if line.announces != "" {
			i = skipCommandOf(body, i, line)
		}
	}
	return edits
}

// line is a command line of the Runner's.
type line struct {
	end   int
	edits []edit
	// says is the text, if the line is an echo of a text in $'...' and
	// nothing else.
	says string
	// announces is the command of the job's that it announces, if any;
	// section tells whether it opens a section to do so.
	announces string
	section   bool
}

// readLine reads the command line at i. Its end is unterminated where there is
// no whole one.
func readLine(body []byte, i int) line {
	var l line
	var words []edit
	l.end = skipLine(body, i, func(at span) {
		if text, ok := decodeANSI(body[at.from+2 : at.to-1]); ok {
			words = append(words, edit{at, text})
			l.edits = append(l.edits, edit{at, singleQuote(text)})
		}
	})
	if l.end < 0 || len(words) == 0 {
		return l
	}
	first, last := words[0], words[len(words)-1]

	const echo = "echo "
	indent := len(body[i:]) - len(bytes.TrimLeft(body[i:], " "))
	said := bytes.HasPrefix(body[i+indent:], []byte(echo)) && first.from == i+indent+len(echo)
	if at := i + indent; said && strings.Contains(first.text, `\`) {
		// A POSIX echo may read backslashes; dash's does.
		l.edits = append(l.edits, edit{span{at, at + len(echo)}, `printf '%s\n' `})
	}

	switch alone := last.to == l.end-1; {
	case alone && said && indent == 0 && len(words) == 1:
		l.says, l.announces = last.text, announced(last.text)
	case alone && isSection(body[i:l.end], "section_start:"):
		l.announces, l.section = announced(last.text), true
	}
	return l
}

// announced gives the command out of an announcement.
func announced(text string) string {
	text, ok := strings.CutPrefix(text, announce)
	if !ok {
		return ""
	}
	text, ok = strings.CutSuffix(text, reset)
	if !ok {
		return ""
	}
	return text
}

// isSection tells a line that opens or closes a section in the job log. Before
// 16.5 a control sequence came first.
func isSection(line []byte, kind string) bool {
	line, ok := bytes.CutPrefix(line, []byte(sectionLine))
	line = bytes.TrimPrefix(line, []byte("\x1b[0K"))
	return ok && bytes.HasPrefix(line, []byte(kind))
}

// skipCommandOf gives the place after the job's command which l announced.
func skipCommandOf(body []byte, i int, l line) int {
	if l.section && isSection(body[i:], "section_end:") {
		i = max(i, skipLine(body, i, nil))
	}
	if bytes.HasPrefix(body[i:], []byte(l.announces+"\n")) {
		return i + len(l.announces) + 1
	}
	for i < len(body) {
		if i = skipTo(body, i, '\n'); i < 0 {
			break
		}
		if isRunners(body, i) {
			return i
		}
	}
	return len(body)
}

// ownLines are lines of the Runner's that follow commands of the job's, beside
// announcements.
var ownLines = []string{
	// FF_ENABLE_BASH_EXIT_CODE_CHECK (BashWriter.CheckForErrors).
	"_runner_exit_code=$?; if [ $_runner_exit_code -ne 0 ]; then exit $_runner_exit_code; fi\n",
	// After the pre_get_sources_script (AbstractShell.writeCloneFetchCmds).
	"export GIT_LFS_SKIP_SMUDGE=1\n",
}

// isRunners tells a line that the Runner wrote after a command of the job's: a
// message, the announcement of a command that does follow, or one of ownLines.
func isRunners(body []byte, i int) bool {
	rest := body[i:]
	for _, own := range ownLines {
		if bytes.HasPrefix(rest, []byte(own)) {
			return true
		}
	}
	if !bytes.HasPrefix(rest, []byte(`echo $'\x1b[`)) && !isSection(rest, "section_start:") {
		return false
	}
	l := readLine(body, i)
	if l.end < 0 {
		return false
	}
	if l.announces == "" {
		return strings.HasPrefix(l.says, colour) && strings.HasSuffix(l.says, reset)
	}
	if l.section && isSection(body[l.end:], "section_end:") {
		l.end = max(l.end, skipLine(body, l.end, nil))
	}
	first := strings.TrimSuffix(l.announces, collapsed) + "\n"
	return bytes.HasPrefix(body[l.end:], []byte(l.announces+"\n")) ||
		bytes.HasPrefix(body[l.end:], []byte(first))
}

// skipHereDocument skips the one here-document the Runner writes
// (BashWriter.DotEnvVariables), whose lines are none of the shell's.
func skipHereDocument(body []byte, i int) int {
	rest := bytes.TrimLeft(body[i:], " ")
	if !bytes.HasPrefix(rest, []byte("cat << EOF > ")) {
		return unterminated
	}
	const end = "\nEOF\n"
	n := bytes.Index(rest, []byte(end))
	if n < 0 {
		return unterminated
	}
	return len(body) - len(rest) + n + len(end)
}
