// Package agent is our own binary's life inside the job container: as its first
// process (Init), as the parent of each stage's script (Exec) and as the eye that
// tells prepare what the container is like (Inspect).
//
// It runs there as the container's root, which under Sysbox is nobody on the
// host, and starts the image's entrypoint and the job's scripts as the user they
// are meant to have. It touches nothing outside its container.
package agent

import (
	"time"

	"gitlab-sysbox-executor/executor/sysbox"
)

// Dir is where the agent and the files that belong to it are mounted, read-only,
// in the job container.
const Dir = "/opt/gitlab-sysbox-executor"

// Path is the agent's executable in the job container.
const Path = Dir + "/agent"

// Command is the command line of one of the agent's faces: init, ready, exec, inspect or look.
func Command(face string, args ...string) []string {
	return append([]string{Path, "agent", face}, args...)
}

// socketName is in the abstract name space: it needs no folder, no permission and
// no clean-up, and lives exactly as long as the container's network name space.
const socketName = "@gitlab-sysbox-executor"

// Folder is a folder that has to exist before anything of the job runs.
type Folder struct {
	Path string `json:"path"`
	Mode uint32 `json:"mode"` // permission bits with the sticky bit as 0o1000
	// Owned gives the folder to the job's user and, in inspect, all that is in it:
	// a job before may have run as another.
	Owned bool `json:"owned,omitempty"`
	// ByUser makes it with the rights of the job's user, where the job chose its place.
	// One that is there stays as it is: it may be /etc.
	ByUser bool `json:"by_user,omitempty"`
}

// Setup is what has to be in place before anything of the job runs.
type Setup struct {
	User    string   `json:"user,omitempty"` // user[:group], names or numbers; empty for root
	Folders []Folder `json:"folders,omitempty"`
	// CacheMounts are kept for other jobs; nil where they are the job's own.
	CacheMounts *CacheMounts `json:"cache_mounts,omitempty"`
}

// LongestWord is what Linux passes on to a process in one argument or variable
// (MAX_ARG_STRLEN, execve(2)), in bytes.
const LongestWord = 128<<10 - 1

// InitOrder is what the first process is to do; as JSON it is one argument.
type InitOrder struct {
	Setup
	Entrypoint []string `json:"entrypoint,omitempty"` // the image's or the job's
	WorkingDir string   `json:"working_dir,omitempty"`
	Binds      []Bind   `json:"binds,omitempty"`
}

// InspectOrder is what prepare asks.
type InspectOrder struct {
	Setup
	// Init is false where the image's own first process runs (systemd).
	Init bool `json:"init"`
	// Timeout bounds the giving of folders to the job's user.
	Timeout time.Duration `json:"timeout,omitempty"`
	// EntrypointTimeout bounds the wait for the entrypoint to hand over.
	EntrypointTimeout time.Duration `json:"entrypoint_timeout"`
	// Clear is a path below the folder ClearIn that is to be removed: a job before may
	// have left it. It may be empty.
	Clear   string `json:"clear,omitempty"`
	ClearIn string `json:"clear_in,omitempty"`
	// Volume is where the storage volume is mounted.
	Volume string `json:"volume"`
	// ProbeOverlay asks to try native overlay on it.
	ProbeOverlay bool `json:"probe_overlay,omitempty"`
	// SystemdTimeout bounds the wait for systemd to boot; 0 where it does not run.
	SystemdTimeout time.Duration `json:"systemd_timeout,omitempty"`
	// Mounts are to be visible to the job.
	Mounts []Mount `json:"mounts,omitempty"`
	// Tools asks to bring the settings of container tools up to what was found.
	Tools *Tools `json:"tools,omitempty"`
}

// LookOrder is what prepare asks of a service's container, whose first process is
// the image's own.
type LookOrder struct {
	SystemdTimeout time.Duration `json:"systemd_timeout,omitempty"` // as in InspectOrder
	Mounts         []Mount       `json:"mounts,omitempty"`
}

// LookReport is what prepare learns of it.
type LookReport struct {
	Error        string       `json:"error,omitempty"`         // why there is nothing else in it
	SystemdFault string       `json:"systemd_fault,omitempty"` // why systemd has not booted
	Systemd      *Systemd     `json:"systemd,omitempty"`
	MountFaults  []MountFault `json:"mount_faults,omitempty"`
}

// EntrypointState is what became of the image's entrypoint.
type EntrypointState string

// The states of an entrypoint.
const (
	EntrypointNone    EntrypointState = "none"    // the image has none
	EntrypointReady   EntrypointState = "ready"   // it executed the command behind it
	EntrypointExited  EntrypointState = "exited"  // it ended without doing so
	EntrypointIgnores EntrypointState = "ignores" // it runs on without having done so
)

// Report is what prepare learns of the container.
type Report struct {
	Error string `json:"error,omitempty"` // why there is nothing else in it
	// JobFault tells that Error is the fault of the job's definition or image.
	JobFault bool `json:"job_fault,omitempty"`

	Shell string `json:"shell"` // path; empty when the image has none
	// ANSIQuoting tells that the shell understands $'...'.
	ANSIQuoting    bool            `json:"ansi_quoting"`
	Entrypoint     EntrypointState `json:"entrypoint"`
	EntrypointCode int             `json:"entrypoint_code,omitempty"`
	UID            int             `json:"uid"`
	GID            int             `json:"gid"`
	Git            bool            `json:"git"`
	// EntrypointFault is why the entrypoint could not be started.
	EntrypointFault string `json:"entrypoint_fault,omitempty"`
	// OverlayFault is why native overlay does not work; empty when it does.
	OverlayFault string `json:"overlay_fault,omitempty"`
	// VolumeUsed is what the file system of the storage volume uses, in bytes.
	VolumeUsed  int64         `json:"volume_used"`
	Systemd     *Systemd      `json:"systemd,omitempty"`
	MountFaults []MountFault  `json:"mount_faults,omitempty"`
	Limits      sysbox.Limits `json:"limits"`
	// Versions are those of the known tools that there are, by command.
	Versions map[string]string `json:"versions,omitempty"`
}

// ExecOrder is the line that precedes a script on the agent's standard input.
type ExecOrder struct {
	// Nonce is random; the Outcome repeats it.
	Nonce      string `json:"nonce"`
	Length     int    `json:"length"` // bytes of script that follow the line
	Shell      string `json:"shell"`
	User       string `json:"user,omitempty"`
	WorkingDir string `json:"working_dir,omitempty"`
	Path       string `json:"path,omitempty"`   // a folder to add to the end of PATH
	TMPDIR     string `json:"tmpdir,omitempty"` // made again if it is gone
	Init       bool   `json:"init"`
	// NoFile is the soft limit of open files; 0 leaves it. Go's runtime in runc 1.1
	// may raise it to the hard one, in a race with runc's own setting of limits.
	NoFile uint64        `json:"nofile,omitempty"`
	Grace  time.Duration `json:"grace"` // between TERM and KILL
	Watch  Watch         `json:"watch"`
}

// Outcome is the last line that Exec writes to its standard error, which carries
// nothing else: the script's own output and errors share standard output, so
// that they keep their order.
type Outcome struct {
	Nonce    string `json:"nonce"`           // the order's
	Error    string `json:"error,omitempty"` // the script could not be run
	JobFault bool   `json:"job_fault,omitempty"`
	Code     int    `json:"code"`             // exit code, or 128 plus the signal
	Signal   string `json:"signal,omitempty"` // name of the signal that ended the script
	Stopped  bool   `json:"stopped,omitempty"`
	// Survivors are processes that even KILL did not end in time.
	Survivors []int  `json:"survivors,omitempty"`
	Usage     *Usage `json:"usage,omitempty"`
}

// Cancel is the byte that, on the agent's standard input behind the script, asks
// for the script to be ended. The end of the input asks for the same, in haste.
const Cancel = 'c'

// hasteGrace bounds the time between TERM and KILL when the driver is gone:
// nobody waits for the script any more.
const hasteGrace = 2 * time.Second

// killTime bounds how long KILL is repeated until no process is left.
const killTime = 3 * time.Second
