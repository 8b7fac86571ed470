package agent

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The messages to a process that has handed over its streams, one byte each. The process that runs the script sends them.
const (
	taken      = 't' // it has taken them
	handedBack = 'b' // it does not need them any more
)

// handOver is the request of a process that hands its streams over.
type handOver struct {
	Nonce string `json:"nonce"`
	Got   int64  `json:"got"`
	Input []byte `json:"input,omitempty"` // what it has read of the driver's messages
}

// longestHandOver bounds a handOver as JSON, in bytes. The input is at most what a bufio.Reader has.
const longestHandOver = 16 << 10

// serve takes over the streams of a process that knows the nonce. It must be in this container, and of the agent's user.
func (s *stage) serve(c *net.UnixConn) {
	if ofAgent(c) != nil {
		c.Close()
		return
	}
	var o handOver
	files, err := receive(c, &o, longestHandOver, 3)
	if err != nil || len(files) != 3 || o.Nonce != s.Nonce {
		closeAll(files)
		c.Close()
		return
	}
	in := bufio.NewReader(io.MultiReader(bytes.NewReader(o.Input), files[0]))
	d := &driver{in: in, out: files[1], err: files[2], socket: c, files: files}
	_, _ = c.Write([]byte{taken}) // before the first byte of the output: on failure the connection ends soon
	if !s.attach(d, o.Got) {
		d.close(s.spool)
	}
}

// ofAgent reports whether the other end is a process of this container and of this process's user.
func ofAgent(c *net.UnixConn) error {
	p, err := PeerOf(c)
	switch {
	case err != nil:
		return err
	case p.Pid == 0 || int(p.Uid) != os.Geteuid():
		return fmt.Errorf("process %d of user %d has its socket", p.Pid, p.Uid)
	}
	return nil
}

// join hands this process's streams to the process that runs the script, and waits until it needs them no more. It returns
// the exit code.
func (o ExecRequest) join(in *bufio.Reader) (int, error) {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: stageSocket(o.Nonce), Net: "unix"})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := ofAgent(c); err != nil {
		return 0, err
	}
	input, _ := in.Peek(in.Buffered())
	text, err := json.Marshal(handOver{o.Nonce, o.Keep.Got, input})
	if err != nil {
		return 0, err
	}
	_ = c.SetDeadline(time.Now().Add(joinTime))
	if _, _, err := c.WriteMsgUnix(append(text, '\n'), unix.UnixRights(0, 1, 2), nil); err != nil {
		return 0, err
	}
	var said [1]byte
	if _, err := io.ReadFull(c, said[:]); err != nil {
		return 0, err
	}
	_ = c.SetDeadline(time.Time{})
	if _, err := io.ReadFull(c, said[:]); err != nil { // killed
		return 128 + int(syscall.SIGKILL), nil
	}
	return 0, nil
}
