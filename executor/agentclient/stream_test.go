package agentclient

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync/atomic"
	"testing"
)

// process is one in a container, as a test has it: it reads its standard input and
// writes to the two others, and returns its exit code.
type process func(in *bufio.Reader, stdout, stderr io.Writer) int

// fakeStream is such a process with its streams attached.
type fakeStream struct {
	in             *io.PipeWriter
	stdout, stderr *io.PipeReader
	code           atomic.Int64 // -1 before its end
	asked          error        // what asking after its end gives
	drop           func(error)
}

var errClosed = errors.New("use of closed network connection")

func start(p process) *fakeStream {
	s := &fakeStream{}
	in, toIn := io.Pipe()
	stdout, toStdout := io.Pipe()
	stderr, toStderr := io.Pipe()
	s.in, s.stdout, s.stderr = toIn, stdout, stderr
	s.code.Store(-1)
	s.drop = func(err error) {
		_, _, _ = toIn.CloseWithError(err), stdout.CloseWithError(err), stderr.CloseWithError(err) // they give none
	}
	go func() {
		s.code.Store(int64(p(bufio.NewReader(in), toStdout, toStderr)))
		toStdout.Close()
		toStderr.Close()
		in.Close()
	}()
	return s
}

func (s *fakeStream) Write(p []byte) (int, error) { return s.in.Write(p) }

func (s *fakeStream) Copy(stdout, stderr io.Writer) error {
	done := make(chan error, 2)
	for w, r := range map[io.Writer]io.Reader{stdout: s.stdout, stderr: s.stderr} {
		go func() {
			_, err := io.Copy(w, r)
			done <- err
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}

func (s *fakeStream) Finish() {}

func (s *fakeStream) Ended(context.Context) (bool, int, error) {
	code := int(s.code.Load())
	return code >= 0, max(0, code), s.asked
}

func (s *fakeStream) Close() { s.drop(errClosed) }

// container is one in which that process is started instead of the agent.
func container(t testing.TB, p process) Container {
	return Container{Name: "the test's container", Exec: func(context.Context, []string) (Stream, error) {
		s := start(p)
		t.Cleanup(s.Close)
		return s, nil
	}}
}

// nonceOf reads a request and returns its nonce.
func nonceOf(in *bufio.Reader) string {
	line, err := in.ReadBytes('\n')
	var request struct {
		Nonce  string
		Length int
	}
	if err == nil {
		err = json.Unmarshal(line, &request)
	}
	if err == nil {
		_, err = in.Discard(request.Length)
	}
	if err != nil {
		return err.Error()
	}
	return request.Nonce
}
