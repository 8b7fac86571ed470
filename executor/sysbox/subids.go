package sysbox

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// NamespaceSize is the number of IDs in a container: Sysbox's allocation (sysbox-mgr, main.go,
// subidRangeSize), and the default of the engine's user-namespace remapping.
const NamespaceSize = 65536

// The files for FitSubIDs: the ranges of each user, and each user's own IDs.
const (
	SubUIDFile = "/etc/subuid"
	SubGIDFile = "/etc/subgid"
	PasswdFile = "/etc/passwd"
)

// FitSubIDs fits ranges of subordinate IDs (subuid(5)) to a user namespace with the IDs from
// 0 to size-1: images often have 100000:65536, which newuidmap rejects there. A user with a
// range beyond size gets all IDs except root's and its own. If changed is false, the text
// already fits. ids has each user's own ID by name, because it must not be in the user's
// ranges.
func FitSubIDs(text []byte, ids map[string]int, size int) (fitted []byte, changed bool) {
	beyond := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if name, first, count, ok := subIDs(line); ok && first+count > size {
			beyond[name] = true
		}
	}
	if len(beyond) == 0 {
		return text, false
	}
	var b bytes.Buffer
	given := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		name, _, _, ok := subIDs(line)
		switch {
		case !ok || !beyond[name]:
			b.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		case !given[name]:
			given[name] = true
			b.WriteString(ranges(name, ids, size))
		}
	}
	return b.Bytes(), true
}

// FitFiles fits the ranges in SubUIDFile and SubGIDFile of a container. Read returns nothing
// for a file that is not there. Only what does not fit is written.
func FitFiles(size int, read func(path string) ([]byte, error), write func(path string, text []byte) error) error {
	for file, column := range map[string]int{SubUIDFile: 2, SubGIDFile: 3} {
		text, err := read(file)
		if err != nil {
			return err
		}
		if _, changed := FitSubIDs(text, nil, size); !changed {
			continue
		}
		passwd, err := read(PasswdFile)
		if err != nil {
			return err
		}
		fitted, _ := FitSubIDs(text, UserIDs(passwd, column), size)
		if err := write(file, fitted); err != nil {
			return err
		}
	}
	return nil
}

func subIDs(line string) (name string, first, count int, ok bool) {
	fields := strings.Split(strings.TrimSpace(line), ":")
	if len(fields) != 3 {
		return "", 0, 0, false
	}
	first, err := strconv.Atoi(fields[1])
	if err != nil || first < 0 {
		return "", 0, 0, false
	}
	count, err = strconv.Atoi(fields[2])
	if err != nil || count < 0 || count > 1<<32 {
		return "", 0, 0, false
	}
	return fields[0], first, count, true
}

// ranges returns all IDs except 0 and the user's own.
func ranges(name string, ids map[string]int, size int) string {
	own, known := ids[name]
	if n, err := strconv.Atoi(name); err == nil && !known { // the file may have the ID instead of the name
		own = n
	}
	if own <= 0 || own >= size {
		return fmt.Sprintf("%s:1:%d\n", name, size-1)
	}
	text := ""
	if own > 1 {
		text = fmt.Sprintf("%s:1:%d\n", name, own-1)
	}
	if own+1 < size {
		text += fmt.Sprintf("%s:%d:%d\n", name, own+1, size-own-1)
	}
	return text
}

// UserIDs returns the IDs of the users in a passwd file (column 2) or of their groups
// (column 3), by user name.
func UserIDs(passwd []byte, column int) map[string]int {
	ids := map[string]int{}
	for line := range strings.Lines(string(passwd)) {
		fields := strings.Split(line, ":")
		if len(fields) < 4 {
			continue
		}
		if n, err := strconv.Atoi(fields[column]); err == nil {
			ids[fields[0]] = n
		}
	}
	return ids
}
