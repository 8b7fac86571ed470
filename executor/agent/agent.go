// Package agent is the program inside a container: first process (Init),
// supervisor of each stage's script (Exec), and inspector for prepare (Inspect).
//
// It runs as the container's root, which Sysbox maps to an unprivileged user of the host.
// It starts the image's entrypoint and the job's scripts as the job's user. It touches
// nothing outside its container.
package agent

import (
	"time"

	"gitlab-sysbox-executor/executor/sysbox"
)

// Dir is the read-only mount point of the agent and its files in the job container.
const Dir = "/opt/gitlab-sysbox-executor"

// Path is the agent's executable in the job container.
const Path = Dir + "/agent"

// Command returns the command line of a subcommand of the agent, such as init or exec.
func Command(subcommand string, args ...string) []string {
	return append([]string{Path, "agent", subcommand}, args...)
}

// socketName is in the abstract namespace: it needs no folder, no permission and no cleanup,
// and ends with the container's network namespace.
const socketName = "@gitlab-sysbox-executor"

// Folder is a folder that has to exist before a process of the job runs.
type Folder struct {
	Path string `json:"path"`
	Mode uint32 `json:"mode"` // permission bits with the sticky bit as 0o1000
	// Owned gives the folder to the job's user and, in inspect, everything in it, because
	// an earlier job may have run as another user.
	Owned bool `json:"owned,omitempty"`
	// ByUser creates the folder with the permissions of the job's user: the job chose the
	// path. An existing folder is not changed, as it may be /etc.
	ByUser bool `json:"by_user,omitempty"`
}

// Setup is what has to exist before a process of the job runs.
type Setup struct {
	User    string   `json:"user,omitempty"` // user[:group], names or numbers; empty for root
	Folders []Folder `json:"folders,omitempty"`
	// CacheMounts are shared with other jobs; nil if they are the job's own.
	CacheMounts *CacheMounts `json:"cache_mounts,omitempty"`
}

// LongestWord is the longest argument or variable that Linux passes to a process
// (MAX_ARG_STRLEN, execve(2)), in bytes.
const LongestWord = 128<<10 - 1

// InitRequest is the request to the first process; it is one argument, as JSON.
type InitRequest struct {
	Setup
	// Facts is a file with ImageFacts that are used where the request has no user or working folder; it may be empty.
	Facts      string   `json:"facts,omitempty"`
	Entrypoint []string `json:"entrypoint,omitempty"` // the image's or the job's
	WorkingDir string   `json:"working_dir,omitempty"`
	Binds      []Bind   `json:"binds,omitempty"`
	// Pod means that the container is one of a pod of Kubernetes. Others share its network namespace, and with it the names
	// of sockets: no command is started over a socket, because for the first process they look as the driver does. The
	// first process ends with the exit code of TERM: if all containers end with 0, the kubelet forgets why it ended the pod.
	Pod bool `json:"pod,omitempty"`
	// Unasked means that nobody asks the first process for the result of an entrypoint: another container of the pod has the
	// name of the socket.
	Unasked bool `json:"unasked,omitempty"`
	// IDs is the size of the container's user namespace, which the ranges in /etc/subuid and
	// /etc/subgid are made to fit. 0 leaves them as they are.
	IDs int `json:"ids,omitempty"`
}

// InspectRequest is the request of prepare.
type InspectRequest struct {
	Setup
	// Init is false if the image's own first process runs (systemd).
	Init bool `json:"init"`
	// Timeout bounds the change of folders to the job's user.
	Timeout time.Duration `json:"timeout,omitempty"`
	// EntrypointTimeout bounds the wait until the entrypoint executes its command.
	EntrypointTimeout time.Duration `json:"entrypoint_timeout"`
	// Facts is as in InitRequest; the response has them.
	Facts string `json:"facts,omitempty"`
	// Clear is a path below the folder ClearIn that is removed first, because an earlier
	// job may have left it. It may be empty.
	Clear   string `json:"clear,omitempty"`
	ClearIn string `json:"clear_in,omitempty"`
	// Volume is the mount point of the storage volume.
	Volume string `json:"volume"`
	// ProbeOverlay asks for a test of native overlay on it.
	ProbeOverlay bool `json:"probe_overlay,omitempty"`
	// SystemdTimeout bounds the wait for the boot of systemd; 0 if it does not run.
	SystemdTimeout time.Duration `json:"systemd_timeout,omitempty"`
	// Mounts have to be visible to the job.
	Mounts []Mount `json:"mounts,omitempty"`
	// Tools asks to adapt the settings of container tools to the result of the inspection.
	Tools *Tools `json:"tools,omitempty"`
	// Emulate lists architectures (package emulator) whose programs the kernel is to run with the emulators in
	// EmulatorsDir. The response says whether it does.
	Emulate []string `json:"emulate,omitempty"`
	// IDs is as in InitRequest, for a container that boots systemd.
	IDs int `json:"ids,omitempty"`
	// Program is searched for on the PATH, as git always is; it may be empty.
	Program string `json:"program,omitempty"`
}

// LookRequest is the request of prepare to a service's container, whose first process is the
// image's own.
type LookRequest struct {
	SystemdTimeout time.Duration `json:"systemd_timeout,omitempty"` // as in InspectRequest
	Mounts         []Mount       `json:"mounts,omitempty"`
	Emulate        []string      `json:"emulate,omitempty"` // as in InspectRequest
}

// LookResponse is the response to a LookRequest.
type LookResponse struct {
	Error        string       `json:"error,omitempty"`         // if set, all other fields are empty
	SystemdFault string       `json:"systemd_fault,omitempty"` // why systemd has not booted
	Systemd      *Systemd     `json:"systemd,omitempty"`
	MountFaults  []MountFault `json:"mount_faults,omitempty"`
	EmulateFault string       `json:"emulate_fault,omitempty"` // as in InspectResponse
}

// EntrypointState is the result of the image's entrypoint.
type EntrypointState string

// The states of an entrypoint.
const (
	EntrypointNone    EntrypointState = "none"    // the image has none
	EntrypointReady   EntrypointState = "ready"   // it executed its command
	EntrypointExited  EntrypointState = "exited"  // it ended before it executed its command
	EntrypointIgnores EntrypointState = "ignores" // it still runs and has not executed its command
)

// InspectResponse is the response to an InspectRequest.
type InspectResponse struct {
	Error string `json:"error,omitempty"` // if set, all other fields are empty
	// JobFault means that the job's definition or image caused Error.
	JobFault bool `json:"job_fault,omitempty"`

	// Image has the facts that were asked for; otherwise nil.
	Image *ImageFacts `json:"image,omitempty"`
	Shell string      `json:"shell"` // path; empty when the image has none
	// ANSIQuoting means that the shell understands $'...'.
	ANSIQuoting    bool            `json:"ansi_quoting"`
	Entrypoint     EntrypointState `json:"entrypoint"`
	EntrypointCode int             `json:"entrypoint_code,omitempty"`
	UID            int             `json:"uid"`
	GID            int             `json:"gid"`
	Git            bool            `json:"git"`
	// ProgramMissing means that the image has no program of the requested name.
	ProgramMissing bool `json:"program_missing,omitempty"`
	// EntrypointFault is why the entrypoint could not be started.
	EntrypointFault string `json:"entrypoint_fault,omitempty"`
	// OverlayFault is why native overlay does not work; empty if it does.
	OverlayFault string `json:"overlay_fault,omitempty"`
	// Isolation is that of RUN lines whose trial succeeded; empty if none did or nobody asked.
	Isolation string `json:"isolation,omitempty"`
	// IsolationFault is why the trial failed or was not needed; empty in images that build no images, too.
	IsolationFault string `json:"isolation_fault,omitempty"`
	// EmulateFault is why programs for other architectures do not run; empty if they do or nobody asked.
	EmulateFault string `json:"emulate_fault,omitempty"`
	// VolumeUsed is the used space of the storage volume's file system, in bytes.
	VolumeUsed  int64         `json:"volume_used"`
	Systemd     *Systemd      `json:"systemd,omitempty"`
	MountFaults []MountFault  `json:"mount_faults,omitempty"`
	Limits      sysbox.Limits `json:"limits"`
}

// ExecRequest is the line that precedes a script on the agent's standard input.
type ExecRequest struct {
	// Nonce is random; the Outcome repeats it.
	Nonce      string `json:"nonce"`
	Length     int    `json:"length"` // bytes of script after this line
	Shell      string `json:"shell"`
	User       string `json:"user,omitempty"`
	WorkingDir string `json:"working_dir,omitempty"`
	Path       string `json:"path,omitempty"`   // a folder that is appended to PATH
	TMPDIR     string `json:"tmpdir,omitempty"` // created again if it is missing
	Init       bool   `json:"init"`
	// NoFile is the soft limit of open files; 0 does not change it. Go's runtime in runc
	// 1.1 may raise it to the hard limit, in a race with runc's own setting of limits.
	NoFile uint64        `json:"nofile,omitempty"`
	Grace  time.Duration `json:"grace"` // between TERM and KILL
	Watch  Watch         `json:"watch"`
	// Keep is nil if the end of the input means that the driver is gone.
	Keep *Keep `json:"keep,omitempty"`
}

// Outcome is the only line that Exec writes to its standard error. The script's output and
// errors share standard output, so that they keep their order.
type Outcome struct {
	Nonce    string `json:"nonce"`           // that of the request
	Error    string `json:"error,omitempty"` // the script could not be run
	JobFault bool   `json:"job_fault,omitempty"`
	Code     int    `json:"code"`             // exit code, or 128 plus the signal
	Signal   string `json:"signal,omitempty"` // name of the signal that ended the script
	Stopped  bool   `json:"stopped,omitempty"`
	// Killed means that processes did not end on TERM.
	Killed bool `json:"killed,omitempty"`
	// Survivors are processes that KILL did not end in time.
	Survivors []int  `json:"survivors,omitempty"`
	Usage     *Usage `json:"usage,omitempty"`
	// Output is the length of the script's output, in bytes, if the request had Keep.
	Output int64 `json:"output,omitempty"`
}

// Cancel is the byte after the script on the agent's standard input that asks to stop the
// script. The end of the input asks for the same, with a shorter grace period.
const Cancel = 'c'

// hasteGrace bounds the time between TERM and KILL after the driver is gone: then no process
// waits for the script.
const hasteGrace = 2 * time.Second

// killTime bounds how long KILL is repeated.
const killTime = 3 * time.Second
