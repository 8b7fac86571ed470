package script

import (
	"regexp"
	"strings"
)

// These match the Runner's lines under its $'...' quoting, in which no word
// contains a newline.
var (
	// quoted matches the quoted parts of a line.
	quoted = regexp.MustCompile(`'[^']*'|"(?:[^"\\]|\\.)*"|\$'(?:[^'\\]|\\.)*'`)

	// messages matches the start of a message. A POSIX echo may read backslashes in
	// it; dash's does.
	messages = regexp.MustCompile(`^( *)echo \$'`)

	// announces matches the line before a command of the job's, with the command
	// (AbstractShell.writeCommands in shells/abstract.go). Before 16.5 a control
	// sequence came before section_start.
	announces = regexp.MustCompile(`^(?:echo |printf '%b\\n' (?:\x1b\[0K)?section_start:.*)\$'\\x1b\[32;1m\$ (.*)\\x1b\[0;m'\n$`)

	// ends matches the second half of an announcement that is a section in the
	// job log.
	ends = regexp.MustCompile(`^printf '%b\\n' (?:\x1b\[0K)?section_end:.*\n`)

	// follows matches what the Runner writes after a command of the job's: a
	// message, an announcement, the line of FF_ENABLE_BASH_EXIT_CODE_CHECK, and the
	// one after pre_get_sources_script.
	follows = regexp.MustCompile(`(?m)^(?:echo \$'\\x1b\[|printf '%b\\n' (?:\x1b\[0K)?section_start:|_runner_exit_code=|export GIT_LFS_SKIP_SMUDGE=1$)`)
)

// posixLines puts each $'...' of the Runner's own lines in single quotes, and
// leaves the job's lines as they are: there, a POSIX shell has its own reading
// of $'...', and the job's author may rely on it.
func posixLines(body string) string {
	var b strings.Builder
	for len(body) > 0 {
		end := lineEnd(body)
		line := body[:end]
		b.WriteString(quoted.ReplaceAllStringFunc(messages.ReplaceAllString(line, `${1}printf '%s\n' $$'`), posixWord))
		if m := announces.FindStringSubmatch(line); m != nil {
			start := end
			end += commandEnd(body[end:], m[1])
			b.WriteString(body[start:end])
		}
		body = body[end:]
	}
	return b.String()
}

func posixWord(quoted string) string {
	inner, ok := strings.CutPrefix(quoted, "$'")
	if !ok {
		return quoted
	}
	text, err := ansiC(strings.TrimSuffix(inner, "'"))
	if err != nil {
		return quoted
	}
	return Quote(text)
}

// commandEnd gives the place after the command of the job's at the start of
// body, which is announced as said. It is announced in full, or by the first of
// its lines; then it goes on up to what follows matches.
func commandEnd(body, said string) int {
	start := len(ends.FindString(body))
	if command, err := ansiC(said); err == nil && strings.HasPrefix(body[start:], command+"\n") {
		return start + len(command) + 1
	}
	if at := follows.FindStringIndex(body[start:]); at != nil {
		return start + at[0]
	}
	return len(body)
}

// lineEnd gives the place after the first line.
func lineEnd(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i + 1
	}
	return len(s)
}
