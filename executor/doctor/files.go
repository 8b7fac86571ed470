package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// checkFiles checks owners and modes: who can write one of these files is root when the Runner
// calls the executor.
func checkFiles(_ context.Context, m *Machine) (all []Finding) {
	for _, path := range []string{m.Self, m.ConfigPath} {
		all = append(all, m.writable(path)...)
	}
	for _, path := range []string{filepath.Dir(m.Self), filepath.Dir(m.ConfigPath)} {
		all = append(all, m.writableFolder(path)...)
	}
	if key := m.Config.Engine.TLSKey; key != "" {
		if info, err := os.Stat(key); err != nil {
			all = append(all, Finding{Severity: Error, Text: "engine.tls_key: " + err.Error(), Next: "correct engine.tls_key in " + m.ConfigPath})
		} else if info.Mode().Perm()&0o077 != 0 {
			all = append(all, Finding{Severity: Warning, Text: fmt.Sprintf("%s has mode %04o: who reads this key is root on the engine's machine", key, info.Mode().Perm()), Next: "chmod 600 " + key})
		}
	}
	all = append(all, m.checkState()...)
	if len(all) == 0 {
		return ok("owners and modes of the program, the configuration and %s", m.Config.StateDir)
	}
	return all
}

// writable reports a file that others than root can change.
func (m *Machine) writable(path string) []Finding {
	info, err := os.Stat(path)
	if err != nil {
		return nil // the configuration need not exist
	}
	if owner := ownerOf(info); m.foreign(owner) {
		return found(Warning, fmt.Sprintf("%s belongs to user %d, who is root through it", path, owner), "chown root:root "+path)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return []Finding{{Severity: Error, Text: fmt.Sprintf("%s has mode %04o: others can change it, and are root through it", path, mode),
			Next: "chmod go-w " + path, fix: chmod(path, 0, 0o022)}}
	}
	return nil
}

// writableFolder reports a folder in which others than root can replace files.
func (m *Machine) writableFolder(path string) []Finding {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&fs.ModeSticky != 0 {
		return nil
	}
	if owner := ownerOf(info); m.foreign(owner) {
		return found(Warning, fmt.Sprintf("the folder %s belongs to user %d, who can replace the files in it", path, owner), "chown root:root "+path)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return found(Warning, fmt.Sprintf("the folder %s has mode %04o: others can replace the files in it", path, mode), "chmod go-w "+path)
	}
	return nil
}

// foreign reports whether a user is neither root nor the one who runs this command, as the Runner's user.
func (m *Machine) foreign(user uint32) bool { return user != 0 && int(user) != m.UID }

// ownerOf is the ID of a file's user.
func ownerOf(info fs.FileInfo) uint32 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Uid
	}
	return 0
}

// chmod is the repair of a mode: it adds and removes bits.
func chmod(path string, add, remove fs.FileMode) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		mode := info.Mode().Perm()&^remove | add
		if err := os.Chmod(path, mode|info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)); err != nil {
			return "", err
		}
		return fmt.Sprintf("changed the mode of %s to %04o", path, mode), nil
	}
}

// checkState checks the state folder and the folders in it.
func (m *Machine) checkState() (all []Finding) {
	dir := m.Config.StateDir
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []Finding{{Severity: Note, Text: "the state folder " + dir + " does not exist", Next: "the first job makes it, and so does doctor --fix",
			fix: func(context.Context) (string, error) { return "made " + dir, os.MkdirAll(dir, 0o755) }}}
	case err != nil:
		return found(Error, err.Error(), "make the folder reachable")
	case !info.IsDir():
		return found(Error, dir+" is not a folder", "remove it, or set state_dir in "+m.ConfigPath)
	}
	all = append(all, m.writable(dir)...)
	// The root of a container, an unprivileged user of the host, passes through to its job's folder.
	for path := dir; path != "/"; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o001 != 0 {
			continue
		}
		f := Finding{Severity: Error, Text: fmt.Sprintf("%s has mode %04o: a container's root cannot pass through it to the folder of its job", path, info.Mode().Perm()), Next: "chmod o+x " + path}
		if path == dir { // other folders are not ours
			f.fix = chmod(path, 0o001, 0)
		}
		all = append(all, f)
	}
	for path, mode := range m.state().Folders() {
		info, err := os.Stat(path)
		if err != nil {
			continue // made when it is needed
		}
		if owner := ownerOf(info); m.foreign(owner) {
			all = append(all, found(Warning, fmt.Sprintf("%s belongs to user %d", path, owner), "chown root:root "+path)...)
		}
		if is := info.Mode().Perm(); is != mode {
			all = append(all, Finding{Severity: Warning, Text: fmt.Sprintf("%s has mode %04o instead of %04o: other users can hold up jobs, or read what is theirs", path, is, mode),
				Next: fmt.Sprintf("chmod %04o %s", mode, path), fix: chmod(path, mode, fs.ModePerm&^mode)})
		}
	}
	return all
}
