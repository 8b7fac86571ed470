package agent

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// handover is the result of the image's entrypoint: the environment and the user with which it
// executed its command. The job's scripts get both.
type handover struct {
	State   EntrypointState `json:"state"`
	Code    int             `json:"code,omitempty"`
	Env     []string        `json:"env,omitempty"`
	Account *account        `json:"account,omitempty"`
	Fault   string          `json:"fault,omitempty"` // why the first process could not do its work
}

// The requests that a client can send to the first process.
const (
	askReady = "ready" // followed by the environment as JSON
	askState = "state" // answered by a handover as JSON, as soon as there is one
)

type message struct {
	Ask string   `json:"ask"`
	Env []string `json:"env,omitempty"`
	// Wait bounds the time until an askState request is answered.
	Wait time.Duration `json:"wait,omitempty"`
}

// server is the first process's end of the socket.
type server struct {
	listener *net.UnixListener
	done     chan struct{} // closed when state is final
	first    chan handover // the first handover wins
	state    handover
}

func newServer() *server {
	d := &server{done: make(chan struct{}), first: make(chan handover, 1)}
	go func() { d.state = <-d.first; close(d.done) }()
	return d
}

func (d *server) listen() (err error) {
	if d.listener, err = listenAt(socketName); err != nil {
		return err
	}
	go acceptEach(d.listener, d.serve)
	return nil
}

// settle makes h the state unless there is a state already.
func (d *server) settle(h handover) {
	select {
	case d.first <- h:
	default:
	}
}

func (d *server) serve(c *net.UnixConn) {
	defer c.Close()
	// A process without a PID here is in another container that shares the network namespace. It must neither read the
	// job's environment nor choose one.
	if p, err := PeerOf(c); err != nil || p.Pid == 0 {
		return
	}
	var m message
	if json.NewDecoder(c).Decode(&m) != nil {
		return
	}
	switch m.Ask {
	case askReady:
		a, err := peer(c)
		if err != nil {
			return
		}
		d.settle(handover{State: EntrypointReady, Env: m.Env, Account: a})
	case askState:
		_ = json.NewEncoder(c).Encode(d.await(m.Wait))
	}
}

// await returns the state as soon as there is one. After wait it returns EntrypointIgnores.
func (d *server) await(wait time.Duration) handover {
	select {
	case <-d.done: // checked first: if both channels are ready, select picks one at random
		return d.state
	default:
	}
	select {
	case <-d.done:
		return d.state
	case <-time.After(wait):
		return handover{State: EntrypointIgnores}
	}
}

// peer returns the account of the process at the other end as the kernel reports it.
func peer(c *net.UnixConn) (*account, error) {
	cred, err := PeerOf(c)
	if err != nil {
		return nil, err
	}
	a := &account{UID: int(cred.Uid), GID: int(cred.Gid), Groups: []int{int(cred.Gid)}}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cred.Pid))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(status)) {
		if list, ok := strings.CutPrefix(line, "Groups:"); ok {
			for _, g := range strings.Fields(list) {
				n, err := strconv.Atoi(g)
				if err != nil {
					return nil, err
				}
				a.Groups = append(a.Groups, n)
			}
		}
	}
	return a, nil
}

// askHandover asks the first process for the result of the entrypoint.
func askHandover(wait time.Duration) (handover, error) {
	c, err := dial(wait)
	if err != nil {
		return handover{}, err
	}
	defer c.Close()
	if err := json.NewEncoder(c).Encode(message{Ask: askState, Wait: wait}); err != nil {
		return handover{}, err
	}
	var h handover
	if err := json.NewDecoder(c).Decode(&h); err != nil {
		return handover{}, fmt.Errorf("the container's first process does not answer: %w", err)
	}
	return h, nil
}

// dial connects to the first process, which may have started a moment ago.
func dial(wait time.Duration) (net.Conn, error) {
	for deadline := time.Now().Add(max(wait, 5*time.Second)); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socketName, Net: "unix"})
		if err == nil {
			if err = ofFirst(c); err == nil {
				return c, c.SetDeadline(time.Now().Add(wait + 10*time.Second))
			}
			c.Close()
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("the container's first process does not answer: %w", err)
		}
	}
}

// firstPID is the PID of the first process; a test hook.
var firstPID = 1

// ofFirst reports whether the other end is the first process: a process of another container that shares the network
// namespace may have taken the name.
func ofFirst(c *net.UnixConn) error {
	p, err := PeerOf(c)
	if err == nil && int(p.Pid) != firstPID {
		err = fmt.Errorf("process %d has its socket", p.Pid)
	}
	return err
}

// Ready is the command of the image's entrypoint. It passes the environment and user that it
// got on to the first process. It then stays, because some entrypoints wait for their
// command.
func Ready() error {
	c, err := dial(0)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(c).Encode(message{Ask: askReady, Env: os.Environ()}); err != nil {
		return err
	}
	c.Close()
	stop := make(chan os.Signal, 1)
	notifyStop(stop)
	s := <-stop
	os.Exit(128 + int(s.(syscall.Signal)))
	return nil
}
