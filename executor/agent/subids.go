package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/executor/sysbox"
)

// mostIDs bounds what is read of a file with users' IDs, in bytes. A larger file is not changed.
const mostIDs = 64 << 10

// fitSubIDs makes the ranges of /etc/subuid and /etc/subgid fit a user namespace of size IDs.
func fitSubIDs(size int) error {
	var problems []error
	for file, column := range map[string]int{sysbox.SubUIDFile: 2, sysbox.SubGIDFile: 3} {
		if err := fitSubIDFile(file, sysbox.PasswdFile, column, size); err != nil {
			problems = append(problems, fmt.Errorf("the ranges of IDs in %s: %w", file, err))
		}
	}
	return errors.Join(problems...)
}

// fitSubIDFile does so for one file. Column is that of the users' own IDs in passwd. It keeps
// the owner and the mode of the file.
func fitSubIDFile(file, passwd string, column, size int) error {
	text, err := readIDs(file)
	if err != nil {
		return err
	}
	if _, changed := sysbox.FitSubIDs(text, nil, size); !changed {
		return nil
	}
	users, err := readIDs(passwd)
	if err != nil {
		return err
	}
	fitted, _ := sysbox.FitSubIDs(text, sysbox.UserIDs(users, column), size)
	if err := os.WriteFile(file, fitted, 0o644); err != nil {
		// A full disk, for example. The old text needs no more room.
		return errors.Join(err, os.WriteFile(file, text, 0o644))
	}
	return nil
}

// readIDs returns the content of a plain file. It returns nothing if there is none, or if it is
// too large. The image may have put anything at the path; a symbolic link is not followed.
func readIDs(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > mostIDs {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, mostIDs))
}
