package service

import (
	"fmt"
	"strings"
	"time"
)

// The Runner's colours (gitlab-runner, helpers/ansi_colors.go).
const (
	yellow = "\x1b[0;33m"
	grey   = "\x1b[0;37m"
	reset  = "\x1b[0;m"
)

// Waiting is the same line as in GitLab's Docker executor.
func Waiting(timeout time.Duration) string {
	return fmt.Sprintf("Waiting for services to be up and running (timeout %v seconds)...", timeout.Seconds())
}

// NotStarted is the same warning as in GitLab's Docker executor, with the reason and the end of the service's
// log.
func NotStarted(name, why, log string) string {
	return block("Service "+name+" probably didn't start properly.", "Health check error:\n"+why, log)
}

// Died is a similar warning for a service that ended while the job ran.
func Died(name, why, log string) string {
	return block("Service "+name+" has ended while the job needed it.", why, log)
}

func block(headline, why, log string) string {
	if log = strings.TrimSpace(log); log == "" {
		log = "(it wrote nothing)"
	}
	return "\n" + yellow + "*** WARNING:" + reset + " " + headline + "\n\n" + why +
		"\n\nService container logs:\n" + log + "\n\n" + yellow + "*********" + reset + "\n"
}

// Line is a line of a service's log in the job log
// (gitlab-runner, helpers/service, InlineServiceLogWriter).
func Line(prefix string, at time.Time, text string) string {
	return grey + "[service:" + prefix + "] " + at.UTC().Format(time.RFC3339Nano) + " " + text + reset
}

// Ended describes how a service's first process ended.
func Ended(code int, outOfMemory bool) string {
	if outOfMemory {
		return fmt.Sprintf("its first process has ended with exit code %d, killed by the kernel because memory ran out", code)
	}
	return fmt.Sprintf("its first process has ended with exit code %d", code)
}
