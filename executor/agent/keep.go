package agent

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Keep asks for a script that goes on while the connection to the driver is broken. The driver then starts exec again, with
// the nonce of the request. The process that runs the script takes over the streams of the new one.
//
// On standard output a line with the nonce precedes the output, which begins where the driver has it already. On standard
// input the driver confirms what it has (Received) and that it has the outcome, too (Whole). What is not confirmed stays
// here. If it becomes too much, the script waits.
type Keep struct {
	For time.Duration `json:"for"`           // how long the script goes on without a driver
	Dir string        `json:"dir,omitempty"` // a folder of the job's volume for its output; empty for none
	Got int64         `json:"got,omitempty"` // how much of the output the driver has, in bytes
	// Begun means that the script was started: it is an error if it does not run.
	Begun bool `json:"begun,omitempty"`
}

// The driver's messages on standard input in addition to Cancel, if the request has Keep.
const (
	Received = 'r' // followed by the length of the output that the driver has, as 8 bytes, the highest first
	Whole    = 'w' // the driver has the output and the outcome
)

// AppendReceived appends a message that the driver has n bytes of the output.
func AppendReceived(b []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(append(b, Received), uint64(n))
}

// stageSocket is the name of the socket of the process that runs the script with this nonce. Others see the name and
// learn nothing from it.
func stageSocket(nonce string) string {
	sum := sha256.Sum256([]byte(nonce))
	return "@gitlab-sysbox-executor-" + hex.EncodeToString(sum[:16])
}

// joinTime bounds how long a process tries to run a script or to reach the one that does.
const joinTime = 15 * time.Second

// runKept runs a script that goes on without a driver, or hands its streams to the process that runs it. It returns the
// exit code.
func (o ExecRequest) runKept(in *bufio.Reader) int {
	fail := func(err error) int { return report(o.Nonce, err, nil) }
	var script *os.File
	if !o.Keep.Begun {
		var err error
		if script, err = o.read(in); err != nil {
			return fail(err)
		}
	}
	for end := time.Now().Add(joinTime); ; time.Sleep(20 * time.Millisecond) {
		l, err := listenAt(stageSocket(o.Nonce))
		switch {
		case err == nil && o.Keep.Begun:
			return fail(fmt.Errorf("the script has ended: no driver came back to it within %s", o.Keep.For))
		case err == nil:
			return o.lead(l, script, in)
		case !errors.Is(err, unix.EADDRINUSE):
			return fail(fmt.Errorf("the script's socket: %w", err))
		}
		code, err := o.join(in)
		if err == nil {
			return code
		} else if time.Now().After(end) {
			return fail(fmt.Errorf("the process that runs the script does not answer: %w", err))
		}
	}
}

// stage is a script that goes on without a driver.
type stage struct {
	ExecRequest
	spool   *spool
	stop    chan time.Duration
	over    chan struct{} // closed when the driver has everything, or does not come back
	outcome atomic.Pointer[[]byte]

	mu    sync.Mutex
	at    *driver // nil while there is none
	last  *driver // the last that was lost
	later bool    // a later stage has begun
	ended bool    // over is closed
}

// driver is a connection to the driver.
type driver struct {
	in     *bufio.Reader
	out    *os.File
	err    *os.File
	socket *net.UnixConn // of the process that has handed these streams over; nil for this process's own
	files  []*os.File    // all that were handed over
	gone   atomic.Bool
}

// lead runs the script and returns the exit code when the driver has everything.
func (o ExecRequest) lead(l *net.UnixListener, script *os.File, in *bufio.Reader) int {
	signals := make(chan os.Signal, 1)
	notifyStop(signals)
	s := &stage{ExecRequest: o, spool: newSpool(o.Keep.Dir), stop: make(chan time.Duration, 8), over: make(chan struct{})}
	later := make(chan os.Signal, 1)
	signal.Notify(later, superseded)
	go func() {
		<-later
		s.supersede()
	}()
	go acceptEach(l, s.serve)
	s.attach(&driver{in: in, out: os.Stdout, err: os.Stderr}, 0)
	endAbandoned()
	out, err := s.run(script)
	if out = outcomeOf(o.Nonce, out, err); err == nil {
		out.Output = s.spool.length()
	}
	s.settle(out)
	select {
	case <-s.over:
	case <-signals: // the container is being stopped
		select {
		case <-s.over:
		case <-time.After(signalledTime):
		}
	}
	return out.Code
}

// superseded is the signal of a later stage.
const superseded = syscall.SIGUSR1

// signalledTime bounds the wait for the driver when the container is being stopped. It is shorter than stopGrace.
const signalledTime = time.Second

// run runs the script until its processes have ended and the spool has their output.
func (s *stage) run(script *os.File) (Outcome, error) {
	var ends [2]int
	// Not os.Pipe, which makes both ends non-blocking: few programs expect that of their output.
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return Outcome{}, os.NewSyscallError("pipe2", err)
	}
	if err := unix.SetNonblock(ends[0], true); err != nil {
		return Outcome{}, err
	}
	from, to := os.NewFile(uintptr(ends[0]), "the script's output"), os.NewFile(uintptr(ends[1]), "the script's output")
	copied := make(chan error, 1)
	go func() {
		err := CopyPipe(s.spool, from)
		if err != nil {
			s.ask(0)
		}
		copied <- err
	}()
	out, err := s.supervise(script, streams{script: to, notes: s.spool, watch: func() {}, stop: s.stop})
	to.Close()
	_ = from.SetReadDeadline(time.Now().Add(drainGrace)) // a process that could not be killed has the other end
	if failed := <-copied; err == nil {
		err = failed
	}
	return out, err
}

// ask asks to end the script.
func (s *stage) ask(grace time.Duration) {
	select {
	case s.stop <- grace:
	default: // that was asked often enough
	}
}

// settle makes the outcome known. The driver gets it after the output.
func (s *stage) settle(o Outcome) {
	line, _ := json.Marshal(o) // it has nothing that cannot be encoded
	line = append(line, '\n')
	s.outcome.Store(&line)
	s.spool.wake()
}

// attach makes d the connection to the driver, which has got so much of the output; false if that is impossible.
func (s *stage) attach(d *driver, got int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || !s.spool.confirm(got) {
		return false
	}
	if s.at != nil {
		s.at.close(s.spool)
	}
	s.at = d
	setName(withDriver)
	go s.listen(d)
	go s.send(d, got)
	return true
}

// lost notes the end of a connection. If no driver comes back in time, it ends the script.
func (s *stage) lost(d *driver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at != d {
		return
	}
	d.close(s.spool)
	s.at = nil
	s.last = d
	setName(withoutDriver)
	if s.later {
		s.abandon()
		return
	}
	time.AfterFunc(s.Keep.For, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.last == d {
			s.abandon()
		}
	})
}

// supersede notes that a later stage has begun: no driver comes back to this one.
func (s *stage) supersede() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.later = true
	s.abandon()
}

// abandon ends the script unless there is a driver. The caller holds mu.
func (s *stage) abandon() {
	if s.at == nil {
		s.finish()
		s.ask(min(s.Grace, hasteGrace))
	}
}

// finish ends the wait for a driver. The caller holds mu.
func (s *stage) finish() {
	if !s.ended {
		s.ended = true
		close(s.over)
		s.spool.close()
	}
}

// listen reads the driver's messages until the connection ends.
func (s *stage) listen(d *driver) {
	for {
		kind, err := d.in.ReadByte()
		var number [8]byte
		if err == nil && kind == Received {
			_, err = io.ReadFull(d.in, number[:])
		}
		if err != nil {
			s.lost(d)
			return
		}
		switch kind {
		case Cancel:
			s.ask(s.Grace)
		case Received:
			s.spool.confirm(int64(binary.BigEndian.Uint64(number[:])))
		case Whole:
			s.mu.Lock()
			if s.outcome.Load() != nil && s.at == d {
				s.finish()
			}
			s.mu.Unlock()
		}
	}
}

// send sends the output from a position on and then the outcome, until the connection ends.
func (s *stage) send(d *driver, from int64) {
	if _, err := io.WriteString(d.out, s.Nonce+"\n"); err != nil {
		s.lost(d)
		return
	}
	part := make([]byte, 64<<10)
	for !d.gone.Load() {
		n, err := s.spool.next(part, from, func() bool { return s.outcome.Load() != nil || d.gone.Load() })
		if err == nil && n == 0 && !d.gone.Load() {
			if line := s.outcome.Load(); line != nil {
				_, err = d.err.Write(*line)
			}
			if err == nil {
				return
			}
		}
		if err == nil {
			_, err = d.out.Write(part[:n])
		}
		if err != nil {
			s.lost(d)
			return
		}
		from += int64(n)
	}
}

// close drops the connection. This process's own streams stay open, because their numbers have a meaning.
func (d *driver) close(s *spool) {
	d.gone.Store(true)
	s.wake()
	closeAll(d.files)
	if d.socket != nil {
		_, _ = d.socket.Write([]byte{handedBack})
		d.socket.Close()
	}
}
