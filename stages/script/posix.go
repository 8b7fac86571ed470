package script

import (
	"strings"

	"gitlab-sysbox-executor/lazyregexp"
)

// These match the Runner's lines with $'...' quoting, in which no word contains a newline.
var (
	// quoted matches the quoted parts of a line.
	quoted = lazyregexp.New(`'[^']*'|"(?:[^"\\]|\\.)*"|\$'(?:[^'\\]|\\.)*'`)

	// messages matches the start of a message. A POSIX echo may interpret backslashes;
	// dash's does.
	messages = lazyregexp.New(`^( *)echo \$'`)

	// announces matches the line before a command of the job, with the command
	// (AbstractShell.writeCommands in shells/abstract.go). Before 16.5 a control sequence came
	// before section_start.
	announces = lazyregexp.New(`^(?:echo |printf '%b\\n' (?:\x1b\[0K)?section_start:.*)\$'\\x1b\[32;1m\$ (.*)\\x1b\[0;m'\n$`)

	// ends matches the second half of an announcement that is a section in the job log.
	ends = lazyregexp.New(`^printf '%b\\n' (?:\x1b\[0K)?section_end:.*\n`)

	// follows matches what the Runner writes after a command of the job: a message, an
	// announcement, the line of FF_ENABLE_BASH_EXIT_CODE_CHECK, and the one after
	// pre_get_sources_script.
	follows = lazyregexp.New(`(?m)^(?:echo \$'\\x1b\[|printf '%b\\n' (?:\x1b\[0K)?section_start:|_runner_exit_code=|export GIT_LFS_SKIP_SMUDGE=1$)`)
)

// posixLines changes each $'...' of the Runner's own lines to single quotes. It does not
// change the job's lines: a POSIX shell interprets $'...' in its own way, and the job's
// author may rely on it.
func posixLines(body string) string {
	var b strings.Builder
	for len(body) > 0 {
		end := lineEnd(body)
		line := body[:end]
		b.WriteString(quoted().ReplaceAllStringFunc(messages().ReplaceAllString(line, `${1}printf '%s\n' $$'`), posixWord))
		if m := announces().FindStringSubmatch(line); m != nil {
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

// commandEnd returns the position after the job's command at the start of body, which the Runner
// announced as said. The announcement has the whole command, or its first line; then the command
// extends to what follows matches.
func commandEnd(body, said string) int {
	start := len(ends().FindString(body))
	if command, err := ansiC(said); err == nil && strings.HasPrefix(body[start:], command+"\n") {
		return start + len(command) + 1
	}
	if at := follows().FindStringIndex(body[start:]); at != nil {
		return start + at[0]
	}
	return len(body)
}

// lineEnd returns the position after the first line.
func lineEnd(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i + 1
	}
	return len(s)
}
