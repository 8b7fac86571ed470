package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// Path of this program, and of the shell, in the trial image.
const (
	trialProgram = "/bin/gitlab-sysbox-executor"
	trialShell   = "/bin/sh"
)

// IsShell reports whether this program was started under the name of the trial image's shell.
func IsShell(argv0 string) bool { return argv0 == trialShell }

// Shell is the shell of the trial image, which has no other program: `sh -c TEXT` or `sh FILE`. It
// returns the exit code.
func Shell(ctx context.Context, args []string) int {
	text, err := shellText(args)
	if err == nil {
		err = interpret(ctx, text, os.Stdin, os.Stdout, os.Stderr)
	}
	if status, ok := errors.AsType[interp.ExitStatus](err); ok {
		return int(status)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sh:", err)
		return 2
	}
	return 0
}

func shellText(args []string) (string, error) {
	switch {
	case len(args) >= 2 && args[0] == "-c":
		return args[1], nil
	case len(args) == 1 && !strings.HasPrefix(args[0], "-"):
		text, err := os.ReadFile(args[0])
		return string(text), err
	}
	return "", errors.New("usage: sh -c TEXT, or sh FILE")
}

func interpret(ctx context.Context, text string, in io.Reader, out, errOut io.Writer) error {
	file, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		return err
	}
	runner, err := interp.New(interp.StdIO(in, out, errOut))
	if err != nil {
		return err
	}
	return runner.Run(ctx, file)
}
