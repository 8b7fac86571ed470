package statedir

import (
	"io"
	"os"
	"path/filepath"
)

// spoiledPath is a file in the job's folder. It exists while the job's storage volume must not be kept.
func (d Dir) spoiledPath(job string) string { return filepath.Join(d.Job(job), "spoiled") }

// longestReason is in bytes.
const longestReason = 1 << 10

// Spoil records why the named job's storage volume must not be kept.
func (d Dir) Spoil(job, reason string) error {
	return os.WriteFile(d.spoiledPath(job), []byte(reason), 0o600)
}

// Unspoil withdraws what Spoil recorded.
func (d Dir) Unspoil(job string) error { return os.Remove(d.spoiledPath(job)) }

// Spoiled returns the recorded reason; empty if there is none.
func (d Dir) Spoiled(job string) string {
	f, err := os.Open(d.spoiledPath(job))
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, longestReason))
	if err != nil || len(text) == 0 {
		return "a script of the job did not end in order"
	}
	return string(text)
}
