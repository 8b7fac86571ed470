// Package logline reads the lines of a container's log, each with its time, as engines and kubelets give them.
package logline

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"time"
)

// Longest is the limit for one log line, in bytes, including its time.
const Longest = 32 << 10

// Each calls each for every line that begins with a time. If an engine has stored a
// line in several parts, the line also contains the times of the later parts.
func Each(r io.Reader, each func(at time.Time, line string)) error {
	for lines := bufio.NewReaderSize(r, Longest); ; {
		text, err := readLine(lines)
		if stamp, line, ok := strings.Cut(text, " "); ok {
			if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
				each(at, line)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// readLine reads a line and keeps what fits into the reader's buffer.
func readLine(r *bufio.Reader) (string, error) {
	part, err := r.ReadSlice('\n')
	text := strings.TrimRight(string(part), "\r\n")
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.ReadSlice('\n')
	}
	return text, err
}
