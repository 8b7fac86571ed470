package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
)

// ImageFacts are what an image says about its processes, found from inside a container of it: a backend that does not
// pull images itself cannot read their configuration.
type ImageFacts struct {
	User       string `json:"user"` // user[:group] as numbers
	WorkingDir string `json:"working_dir"`
}

// Image writes the ImageFacts of a container that runs this process as the image's user to files that exist or can be
// made.
func Image(files []string) error {
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
	for _, file := range files {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return fmt.Errorf("agent image: %w", err)
		}
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
		return f, err
	}
	user, group, hasGroup := strings.Cut(f.User, ":")
	if !isID(user) || hasGroup && !isID(group) {
		return ImageFacts{}, fmt.Errorf("%.40q is not a user as a number", f.User)
	}
	if !path.IsAbs(f.WorkingDir) {
		return ImageFacts{}, fmt.Errorf("the working folder %.40q is not absolute", f.WorkingDir)
	}
	return f, nil
}

func isID(text string) bool {
	_, err := strconv.ParseUint(text, 10, 31)
	return err == nil
}

// readFacts completes the request with the facts in its file.
func (o *InitRequest) readFacts() error {
	if o.Facts == "" {
		return nil
	}
	text, err := os.ReadFile(o.Facts)
	if err != nil {
		return err
	}
	f, err := ReadImage(text)
	if err != nil {
		return err
	}
	if o.User == "" {
		o.User = f.User
	}
	if o.WorkingDir == "" {
		o.WorkingDir = f.WorkingDir
	}
	return nil
}
