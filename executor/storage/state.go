package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/format"
)

// State is what is known of a job's storage volume while the job lives: in the job's
// folder, for other processes to read. Sizes are bytes.
type State struct {
	Claim
	Backend string `json:"backend"`
	Driver  string `json:"driver"`
	Hard    bool   `json:"hard"`
	Peak    int64  `json:"peak,omitempty"`
	// Base is what the empty file system uses for itself.
	Base int64 `json:"base,omitempty"`
}

func statePath(folder string) string { return filepath.Join(folder, "volume.json") }

// ReadState reads the state of the volume of the job with that folder. Without a
// volume it is an fs.ErrNotExist.
func ReadState(folder string) (s State, err error) {
	text, err := os.ReadFile(statePath(folder))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s: %w", statePath(folder), err)
	}
	return s.Possible(), nil
}

// Write replaces the state in the job's folder.
func (s State) Write(folder string) error {
	text, err := json.Marshal(s.Possible())
	if err != nil {
		return err
	}
	return renameio.WriteFile(statePath(folder), append(text, '\n'), 0o644)
}

// Possible is s with what the job's container says of it cut to what the volume can
// hold: a folder without a limit of its own, as much as the disk.
func (s State) Possible() State {
	most := max(0, s.Limit)
	if !s.Hard && s.Mountpoint != "" {
		if disk, err := DiskPool(s.Mountpoint); err == nil {
			most = max(most, disk.Size)
		}
	}
	s.Limit = max(0, s.Limit)
	for _, n := range []*int64{&s.Used, &s.Peak, &s.Base} {
		*n = min(max(0, *n), most)
	}
	return s
}

// Line is what the job's log says of the volume at the end. The files on it have that
// many bytes; zero where that is not known.
func (s State) Line(files int64) string {
	if !s.Hard {
		used := "use unknown"
		if files > 0 {
			used = format.Bytes(files) + " in files"
		}
		return fmt.Sprintf("Storage: driver %s on %s, %s, no limit.", s.Driver, s.Backend, used)
	}
	line := fmt.Sprintf("Storage: driver %s on %s, %s of %s used, peak %s", s.Driver, s.Backend, format.Bytes(max(0, s.Used-s.Base)), format.Bytes(s.Limit), format.Bytes(max(0, s.Peak-s.Base)))
	if saved := files - (s.Used - s.Base); files > 0 {
		line += fmt.Sprintf(", %s saved by shared blocks", format.Bytes(max(0, saved)))
	}
	return line + "."
}

// Claims are those of all jobs with a folder below jobs but the named one. One that
// cannot be read is left out with a warning.
func Claims(jobs, but string, log logrus.FieldLogger) ([]Claim, error) {
	entries, err := os.ReadDir(jobs)
	if err != nil {
		return nil, err
	}
	var all []Claim
	for _, e := range entries {
		if e.Name() == but {
			continue
		}
		s, err := ReadState(filepath.Join(jobs, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has none yet, or is being removed
		} else if err != nil {
			log.Warnf("What a job may still take of the disk is not known: %v", err)
			continue
		}
		all = append(all, s.Claim)
	}
	return all, nil
}

// detachTime bounds the wait for the kernel to take back a volume's device.
const detachTime = 2 * time.Second

// AwaitRelease waits until the kernel has taken back what was behind the volume of the
// job with that folder, once the engine has removed the volume. It returns the loop
// device that somebody keeps; empty where there is none.
func AwaitRelease(ctx context.Context, folder string) (device string, err error) {
	s, err := ReadState(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, detachTime)
	defer cancel()
	return AwaitDetached(ctx, s.Image)
}
