package accounting

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/observe"
	"gitlab-sysbox-executor/executor/owner"
)

// line is one line of a job's file. One of its fields is set.
type line struct {
	Begin *begin `json:"begin,omitempty"`
	End   *end   `json:"end,omitempty"`
	Over  *over  `json:"over,omitempty"`
}

// begin says that a stage begins. A stage without an end was killed.
type begin struct {
	ID    string    `json:"id"` // of the call
	Stage string    `json:"stage"`
	At    time.Time `json:"at"`
	// Ignored is true if the job may succeed although this stage fails.
	Ignored  bool         `json:"ignored,omitempty"`
	Identity job.Identity `json:"identity"`
	// Owner is the process that drives the job; only from prepare.
	Owner owner.Process `json:"owner,omitzero"`
}

type end struct {
	ID string `json:"id"`
	Outcome
	Seconds float64 `json:"seconds"`
	observe.Seen
}

// over says that the job is over. It is the last line that counts.
type over struct {
	At time.Time `json:"at"`
	By By        `json:"by"`
}

// mostBytes limits a job's file. A job has some 20 lines of 300 bytes; more are not written.
const mostBytes = 512 << 10

// readLines reads a job's file. What is no line of ours, such as the part of a line that a killed process
// wrote, is skipped and counted.
func readLines(path string) (lines []line, lost int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	text := bufio.NewReader(io.LimitReader(f, 2*mostBytes))
	for {
		raw, err := text.ReadBytes('\n')
		if len(bytes.TrimSpace(raw)) > 0 {
			var l line
			if json.Unmarshal(raw, &l) != nil || l == (line{}) {
				lost++
			} else {
				lines = append(lines, l)
			}
		}
		if errors.Is(err, io.EOF) {
			return lines, lost, nil
		} else if err != nil {
			return lines, lost, err
		}
	}
}

// appendLine appends to an open file with one write. The line begins with a line break, so that it does
// not become a part of an incomplete line before it. There is no flush to disk: after a power failure the
// last seconds of the accounting may be lost.
func appendLine(f *os.File, l line) error {
	if info, err := f.Stat(); err != nil {
		return err
	} else if info.Size() > mostBytes && l.Over == nil {
		return errors.New("the file is too long")
	}
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = f.Write(append(append([]byte("\n"), text...), '\n'))
	return err
}
