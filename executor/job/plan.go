package job

import (
	"time"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/storage"
)

// Plan is what one job is to have, as plain data. It is read-only.
type Plan struct {
	Identity Identity
	Runtime  string // OCI runtime, by the name under which the backend has it
	Hostname string

	Image image.Request
	// Entrypoint replaces the image's own: nil keeps it, one empty string clears it.
	Entrypoint []string
	// User is user[:group], names or numbers; empty for the image's own.
	User string
	// Environment holds NAME=value. The storage settings are added to it.
	Environment []string
	// Systemd says whether systemd is the first process; nil leaves it to the image.
	Systemd *bool
	// SystemdRefused says why none of the job's containers may boot systemd, which
	// runs as root; empty when they may.
	SystemdRefused string

	Resources config.Resources
	Container config.Container
	Hardening config.Hardening
	Network   config.Network
	Storage   storage.Settings
	Volume    Volume
	// SharedImages offers the job the images that all jobs share.
	SharedImages bool
	Folders      Folders
	Helper       Helper

	Services []Service
	// ServiceLogs shows the services' logs in the job's.
	ServiceLogs bool

	EntrypointTimeout time.Duration
	// InspectTimeout bounds a look at a container that was started, apart from the
	// waiting for its entrypoint and for systemd.
	InspectTimeout time.Duration
	SystemdTimeout time.Duration
	ServiceTimeout time.Duration // for all services together; none when not positive
}

// Images are the images that the job needs: its own, then those of its services.
func (p Plan) Images() []image.Request {
	all := []image.Request{p.Image}
	for _, s := range p.Services {
		all = append(all, s.Image)
	}
	return all
}

// Service is a container that runs beside the job's, on its network, with its
// volumes and its storage settings.
type Service struct {
	Image       image.Request
	Aliases     []string // all its names on the job's network
	Label       string   // what its lines in the job log begin with
	Entrypoint  []string // nil keeps the image's own
	Command     []string // nil keeps the image's own
	Systemd     *bool    // as the Plan's
	User        string
	Environment []string // NAME=value
	Runtime     string
	Resources   config.Resources
	Tmpfs       []string // path or path:options
}
