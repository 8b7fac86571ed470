package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// InstallRequest is the request to the container that puts the agent into a folder of a job's containers; it is one
// argument, as JSON.
type InstallRequest struct {
	Files []InstallFile `json:"files"`
	// Folders are made where they are, not below the folder.
	Folders []Folder `json:"folders,omitempty"`
}

// InstallFile is a file to put beside the agent.
type InstallFile struct {
	Name string `json:"name"` // its path below the folder
	Text string `json:"text"`
	Mode uint32 `json:"mode"` // permission bits
}

// Install puts a copy of this program and the requested files into a folder. It replaces what is there: the container
// may have to run again.
func Install(dir, request string) error {
	var o InstallRequest
	if err := json.Unmarshal([]byte(request), &o); err != nil {
		return fmt.Errorf("agent install: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("agent install: %w", err)
	}
	defer root.Close()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("agent install: %w", err)
	}
	defer self.Close()
	err = place(root, path.Base(Path), 0o755, func(f *os.File) error {
		_, err := io.Copy(f, self)
		return err
	})
	for _, file := range o.Files {
		err = errors.Join(err, place(root, file.Name, fs.FileMode(file.Mode)&fs.ModePerm, func(f *os.File) error {
			_, err := f.WriteString(file.Text)
			return err
		}))
	}
	for _, f := range o.Folders {
		err = errors.Join(err, f.makeHere(account{}))
	}
	if err != nil {
		return fmt.Errorf("agent install: %w", err)
	}
	return nil
}

// place makes a file with these permissions, whatever the umask.
func place(root *os.Root, name string, mode fs.FileMode, fill func(*os.File) error) (err error) {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := fill(f); err != nil {
		return err
	}
	return f.Chmod(mode)
}
