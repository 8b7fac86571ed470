package jobcontainer

import (
	"bytes"
	"encoding/json"
	"strings"

	"gitlab-sysbox-executor/executor/agent"
	"gitlab-sysbox-executor/executor/fault"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/storage"
	"gitlab-sysbox-executor/executor/sysbox"
)

// First describes the first process of the job container, which is the agent.
type First struct {
	// User is user[:group], names or numbers; empty for root.
	User string
	// Entrypoint is run by the agent; empty if there is none.
	Entrypoint []string
	// WorkingDir is that of the entrypoint; empty for the container's.
	WorkingDir string
	// Targets are the mount points of the container.
	Targets []string
	// CacheMounts means that cache mounts are shared with other jobs.
	CacheMounts bool
}

// InitRequest is the request to the agent that is PID 1 of the job container.
func InitRequest(p job.Plan, f First) agent.InitRequest {
	setup := agent.Setup{
		User: f.User,
		Folders: []agent.Folder{
			{Path: storage.RootlessStores, Mode: 0o1777},
			{Path: p.Folders.Builds, Mode: 0o777, Owned: true},
			{Path: p.Folders.Cache, Mode: 0o777, Owned: true},
			TMPDIR(p.Storage), // it may be below one of the others
		},
	}
	if f.CacheMounts {
		setup.CacheMounts = &agent.CacheMounts{Folder: storage.CacheMounts, TMPDIR: p.Storage.TMPDIR}
	}
	return agent.InitRequest{
		Setup: setup, Entrypoint: f.Entrypoint, WorkingDir: f.WorkingDir,
		Binds: engineFolders(p, f.Targets), IDs: sysbox.NamespaceSize,
	}
}

// Entrypoint is the job's entrypoint, or else the image's.
func Entrypoint(job, img []string) []string {
	if len(job) == 0 { // GitLab's Docker executor also treats an empty list as none
		job = img
	}
	if len(job) == 1 && job[0] == "" {
		return nil
	}
	return job
}

// RequestWord encodes o as an argument of the agent. Linux limits the length of an
// argument. If it is too long, the job is at fault: only its entrypoint and its TMPDIR
// can be long.
func RequestWord(o agent.InitRequest) (string, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // escaping turns one character into six
	if err := e.Encode(o); err != nil {
		return "", err
	}
	word := strings.TrimSuffix(text.String(), "\n")
	if len(word) > agent.LongestWord {
		return "", fault.Jobf("the image's entrypoint or the TMPDIR is too long: as JSON, with the other settings of the container's first process, they have %d bytes, and %d are allowed; put a long entrypoint into a file in the image", len(word), agent.LongestWord)
	}
	return word, nil
}

// TMPDIR is the job's TMPDIR as the agent has to make it. Root makes it where the
// administrator chose the path, and on the storage volume, because there the job cannot
// put a symbolic link into the path.
func TMPDIR(s storage.Settings) agent.Folder {
	return agent.Folder{Path: s.TMPDIR, Mode: 0o1777, ByUser: s.JobsTMPDIR && !storage.OnVolume(s.TMPDIR)}
}
