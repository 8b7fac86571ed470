package job

import (
	"time"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/storage"
)

// Plan describes the resources and settings of a job, as plain data. It is read-only.
type Plan struct {
	Identity Identity
	Runtime  string // name of the OCI runtime on the backend
	Hostname string

	Image image.Request
	// Entrypoint replaces the image's. Nil keeps it, and one empty string clears it.
	Entrypoint []string
	// User is user[:group], names or numbers; empty for the image's user.
	User string
	// Environment is a list of NAME=value, without the storage settings.
	Environment []string
	// Systemd sets whether systemd is the first process; nil leaves it to the image.
	Systemd *bool
	// SystemdRefused is the reason why none of the job's containers may boot systemd, which
	// runs as root; empty if they may.
	SystemdRefused string

	Resources config.Resources
	Container config.Container
	Hardening config.Hardening
	Network   config.Network
	Storage   storage.Settings
	Volume    Volume
	// Emulate lists other architectures whose programs the job can run; EmulatorDir is the folder of the emulators on
	// this machine.
	Emulate     []string
	EmulatorDir string
	// SharedImages gives the job access to the shared images.
	SharedImages bool
	Folders      Folders
	Helper       Helper

	// Keep is how long the job's resources are to stay after its end, if a person asked for that.
	Keep time.Duration

	Services []Service
	// ServiceLogs adds the logs of the services to the job log.
	ServiceLogs bool

	EntrypointTimeout time.Duration
	// InspectTimeout limits the inspection of a started container, without the time for
	// its entrypoint and for systemd.
	InspectTimeout time.Duration
	SystemdTimeout time.Duration
	ServiceTimeout time.Duration // for all services together; do not wait unless positive
}

// KeepLabel is the label that says how long a person wants to look at the job; nil if nobody does.
func (p Plan) KeepLabel() map[string]string {
	if p.Keep <= 0 {
		return nil
	}
	return map[string]string{LabelKeep: p.Keep.String()}
}

// Images are the images that the job needs: its own first, then those of its services.
func (p Plan) Images() []image.Request {
	all := []image.Request{p.Image}
	for _, s := range p.Services {
		all = append(all, s.Image)
	}
	return all
}

// Service is a container that runs beside the job container, on its network, with its
// volumes and its storage settings.
type Service struct {
	Image       image.Request
	Aliases     []string // its names on the job's network
	Label       string   // prefix of its lines in the job log
	Entrypoint  []string // nil keeps the image's
	Command     []string // nil keeps the image's
	Systemd     *bool    // as in Plan
	User        string
	Environment []string // NAME=value
	Runtime     string
	Resources   config.Resources
	Tmpfs       []string // path or path:options
}
