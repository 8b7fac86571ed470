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

// State is the state of a job's storage volume. It is a file in the job's folder while the job
// lives, so that other processes can read it. Sizes are in bytes.
type State struct {
	Claim
	Backend string `json:"backend"`
	Driver  string `json:"driver"`
	Hard    bool   `json:"hard"`
	Peak    int64  `json:"peak,omitempty"`
	// Base is the size that the file system needs when it is empty.
	Base int64 `json:"base,omitempty"`
}

func statePath(folder string) string { return filepath.Join(folder, "volume.json") }

// ReadState reads the state of a job's volume from the job's folder. Without a volume the
// error is fs.ErrNotExist.
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

// NoteUse records in the job's folder what a script has used of the volume and its peak, in bytes, and returns the new
// state, also if that could not be written. Without a state before, it returns the zero value. Measure replaces the use
// by what this process sees itself where that is possible.
func NoteUse(folder string, used, peak int64, measure bool) (State, error) {
	s, err := ReadState(folder)
	if err != nil {
		return State{}, err
	}
	s.Used, s.Peak = used, max(s.Peak, peak)
	s = s.Possible()
	if measure && s.Hard {
		s.Used = s.Now()
	}
	return s, s.Write(folder)
}

// Possible limits the values that the job container reported to what the volume can hold. For
// a folder without its own limit, that is the size of the disk.
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

// Line is the summary of the volume in the job log. Files is the size of the files on it in
// bytes; zero if unknown.
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

// Claims returns the claims of all jobs in the folder jobs except the one named but. It logs a
// warning for a claim that cannot be read, and leaves it out.
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
			continue // the job has no volume yet, or is being removed
		} else if err != nil {
			log.Warnf("Could not read how much of the disk a job may still take, so it is not counted: %v", err)
			continue
		}
		all = append(all, s.Claim)
	}
	return all, nil
}

// detachTime limits the wait until the kernel detaches a volume's device.
const detachTime = 2 * time.Second

// AwaitRelease waits until the kernel has detached the device of a job's volume, after the
// engine has removed the volume. If the loop device is still in use, it returns the device and
// the image.
func AwaitRelease(ctx context.Context, folder string) (device string, image Image, err error) {
	s, err := ReadState(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return "", Image{}, nil
	} else if err != nil {
		return "", Image{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, detachTime)
	defer cancel()
	device, err = AwaitDetached(ctx, s.Image)
	return device, s.Image, err
}
