package script

import (
	"regexp"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// readsEnv matches the commands that read the file of GITLAB_ENV, since Runner
// 17.7 and from 16.4 on (BashWriter.SourceEnv). They follow the job's variables.
// No value holds them: the Runner escapes the double quotes in it.
var readsEnv = regexp.MustCompile(`\nmkdir -p ".*"\ntouch ".*"\n(?:` +
	`while read -r line; do export "\$line"; done < ".*"|` +
	`set -o allexport\n(source) ".*" set\nset \+o allexport)\n`)

// prelude is the part of a stage's commands in which the Runner exports the
// job's variables. In every stage that exports them it comes first
// (AbstractShell.writeExports and its callers in shells/abstract.go). After it
// comes a cd, an echo or another command, never the job's own: each line of the
// job's is announced by an echo.
type prelude struct {
	end    int // the place after it; 0 where there is none
	source int // the place of the command source in it; 0 where there is none
}

// findPrelude fails where it cannot tell whether there is one.
func findPrelude(body string) (p prelude, err error) {
	if at := readsEnv.FindStringSubmatchIndex(body); at != nil {
		return prelude{end: at[1] - 1, source: max(at[2], 0)}, nil
	}
	// A Runner before 16.4 has the exports alone, and before that of a variable of
	// type file the two commands that write the file.
	err = statements([]byte(body), maxStatement, func(s *syntax.Stmt) bool {
		text := body[s.Pos().Offset():s.End().Offset()]
		switch {
		case strings.HasPrefix(text, "export "):
			p.end = int(s.End().Offset())
		case !strings.HasPrefix(text, "mkdir -p ") && !strings.HasPrefix(text, "printf '%s' "):
			return false
		}
		return true
	})
	if p.end > 0 {
		// What follows the exports need not be syntax.
		err = nil
	}
	return p, err
}
