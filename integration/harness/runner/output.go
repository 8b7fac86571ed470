package runner

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Stream tells where a line was written to.
type Stream int

// The driver's two streams.
const (
	Stdout Stream = iota + 1
	Stderr
)

// Line is one line of a driver's output.
type Line struct {
	At     time.Time // when its last byte arrived
	Stage  string
	Stream Stream
	Text   string
}

// Output collects lines as they arrive.
type Output struct {
	mu    sync.Mutex
	lines []Line
	grown chan struct{} // closed and replaced with every line
	tee   *Output
}

func (o *Output) add(l Line) {
	o.mu.Lock()
	o.lines = append(o.lines, l)
	if o.grown != nil {
		close(o.grown)
		o.grown = nil
	}
	o.mu.Unlock()
	if o.tee != nil {
		o.tee.add(l)
	}
}

// Lines are all lines so far.
func (o *Output) Lines() []Line {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.lines)
}

// Of is the text of one stream so far.
func (o *Output) Of(stream Stream) string {
	var text strings.Builder
	for _, l := range o.Lines() {
		if l.Stream == stream {
			text.WriteString(l.Text + "\n")
		}
	}
	return text.String()
}

// String is both streams in the order of arrival.
func (o *Output) String() string {
	var text strings.Builder
	for _, l := range o.Lines() {
		text.WriteString(l.Text + "\n")
	}
	return text.String()
}

// Has tells whether a line is exactly this text.
func (o *Output) Has(text string) bool {
	return slices.ContainsFunc(o.Lines(), func(l Line) bool { return l.Text == text })
}

// WaitFor waits for a line that is exactly this text.
func (o *Output) WaitFor(text string, limit time.Duration) (Line, error) {
	deadline := time.After(limit)
	for seen := 0; ; {
		o.mu.Lock()
		lines := o.lines[seen:]
		seen = len(o.lines)
		if o.grown == nil {
			o.grown = make(chan struct{})
		}
		grown := o.grown
		o.mu.Unlock()
		for _, l := range lines {
			if l.Text == text {
				return l, nil
			}
		}
		select {
		case <-grown:
		case <-deadline:
			return Line{}, fmt.Errorf("no line %q within %s; so far:\n%s", text, limit, o)
		}
	}
}

// lineWriter cuts what a process writes into lines.
type lineWriter struct {
	output *Output
	stage  string
	stream Stream
	part   []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	now := time.Now()
	w.part = append(w.part, p...)
	for {
		i := bytes.IndexByte(w.part, '\n')
		if i < 0 {
			return len(p), nil
		}
		w.output.add(Line{At: now, Stage: w.stage, Stream: w.stream, Text: string(w.part[:i])})
		w.part = w.part[i+1:]
	}
}

// flush ends a last line that has no newline.
func (w *lineWriter) flush() {
	if len(w.part) > 0 {
		w.output.add(Line{At: time.Now(), Stage: w.stage, Stream: w.stream, Text: string(w.part)})
		w.part = nil
	}
}
