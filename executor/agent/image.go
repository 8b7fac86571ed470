package agent

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ImageFacts are what an image says about its processes, found from inside a container of it: a backend that does not
// pull images itself cannot read their configuration.
type ImageFacts struct {
	User       string `json:"user"` // user[:group] as numbers
	WorkingDir string `json:"working_dir"`
}

// Image writes the ImageFacts of a container that runs this process as the image's user to a file. A reader sees all of
// them or none.
func Image(file string) error {
	facts := ImageFacts{User: strconv.Itoa(os.Getuid()), WorkingDir: "/"}
	// A number alone gets the user's other groups, too.
	if a, err := lookup(facts.User); err != nil || a.GID != os.Getgid() {
		facts.User = fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
	}
	if dir, err := os.Getwd(); err == nil && path.IsAbs(dir) {
		facts.WorkingDir = dir
	}
	text, err := json.Marshal(facts)
	if err != nil {
		return fmt.Errorf("agent image: %w", err)
	}
	if err := os.WriteFile(file+".new", text, 0o644); err != nil {
		return fmt.Errorf("agent image: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("agent image: %w", err)
	}
	return nil
}

// longestFacts is the longest text of ImageFacts, in bytes: that of a path (PATH_MAX) as JSON, and two numbers.
const longestFacts = 6*4096 + 100

// ReadImage reads the text that Image wrote.
func ReadImage(text []byte) (f ImageFacts, err error) {
	if len(text) > longestFacts {
		return f, fmt.Errorf("its facts have %d bytes", len(text))
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return ImageFacts{}, err
	}
	if err := f.Check(); err != nil {
		return ImageFacts{}, err
	}
	return f, nil
}

// Check returns what is impossible in the facts.
func (f ImageFacts) Check() error {
	user, group, hasGroup := strings.Cut(f.User, ":")
	switch {
	case !isID(user) || hasGroup && !isID(group):
		return fmt.Errorf("%.40q is not a user as a number", f.User)
	case !path.IsAbs(f.WorkingDir) || len(f.WorkingDir) > unix.PathMax:
		return fmt.Errorf("%.40q is not a working folder", f.WorkingDir)
	}
	return nil
}

func isID(text string) bool {
	_, err := strconv.ParseUint(text, 10, 31)
	return err == nil
}

// factsTime bounds the wait for the facts, which another container writes.
const factsTime = time.Minute

// awaitFacts reads the facts in a file as soon as it is there.
func awaitFacts(file string, stop <-chan os.Signal) (ImageFacts, error) {
	for end := time.Now().Add(factsTime); ; {
		text, err := os.ReadFile(file)
		switch {
		case err == nil:
			return ReadImage(text)
		case !errors.Is(err, fs.ErrNotExist) || time.Now().After(end):
			return ImageFacts{}, err
		}
		select {
		case <-stop:
			return ImageFacts{}, errStopped
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// readFacts completes the request with the facts in its file.
func (o *InitRequest) readFacts(stop <-chan os.Signal) error {
	if o.Facts == "" {
		return nil
	}
	f, err := awaitFacts(o.Facts, stop)
	if err != nil {
		return err
	}
	o.User, o.WorkingDir = cmp.Or(o.User, f.User), cmp.Or(o.WorkingDir, f.WorkingDir)
	return nil
}

// readFacts completes the request with the facts in its file, and returns them; nil without a file.
func (o *InspectRequest) readFacts() (*ImageFacts, error) {
	if o.Facts == "" {
		return nil, nil
	}
	f, err := awaitFacts(o.Facts, nil)
	o.User = cmp.Or(o.User, f.User)
	return &f, err
}
