package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"
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

// InstallAndStay is Install in a container that has to live until it is asked to end: Installed is a second process in it.
func InstallAndStay(dir, request string) error {
	stop := make(chan os.Signal, 1)
	notifyStop(stop)
	if err := Install(dir, request); err != nil {
		return err
	}
	<-stop
	return errStopped
}

// installTime bounds the time for the copies.
const installTime = time.Minute

// Installed returns when Install has put everything into the folder.
func Installed(dir string) error {
	for end := time.Now().Add(installTime); ; time.Sleep(2 * time.Millisecond) {
		_, err := os.Stat(path.Join(dir, path.Base(Path)))
		if err == nil || !errors.Is(err, fs.ErrNotExist) || time.Now().After(end) {
			return err
		}
	}
}

// Install puts the requested files and then a copy of this program into a folder. It replaces what is there: the
// container may have to run again. The program is the last, and appears at once.
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
	for _, file := range o.Files {
		err = errors.Join(err, place(root, file.Name, fs.FileMode(file.Mode)&fs.ModePerm, func(f *os.File) error {
			_, err := f.WriteString(file.Text)
			return err
		}))
	}
	for _, f := range o.Folders {
		err = errors.Join(err, f.makeHere(account{}))
	}
	if err == nil {
		err = place(root, unfinished, 0o755, func(f *os.File) error {
			_, err := io.Copy(f, self)
			return err
		})
	}
	if err == nil {
		err = root.Rename(unfinished, path.Base(Path))
	}
	if err != nil {
		return fmt.Errorf("agent install: %w", err)
	}
	return nil
}

// unfinished is the name of the program while it is copied.
const unfinished = "agent.new"

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
