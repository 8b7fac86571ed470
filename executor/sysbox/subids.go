package sysbox

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// The files of FitSubIDs: ranges by user, and each user's own numbers.
const (
	SubUIDFile = "/etc/subuid"
	SubGIDFile = "/etc/subgid"
	PasswdFile = "/etc/passwd"
)

// FitSubIDs makes ranges of subordinate IDs (subuid(5)) fit a user namespace that
// has the IDs from 0 to size-1: images are made with 100000:65536, which newuidmap
// then refuses. A user some of whose ranges lie beyond is given all that there is
// but root and itself. With changed false the text is fine as it is. IDs holds
// each user's own number, by name: it must not be in its own ranges.
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

// ranges are all IDs but 0 and the user's own.
func ranges(name string, ids map[string]int, size int) string {
	own, known := ids[name]
	if n, err := strconv.Atoi(name); err == nil && !known { // the file may give the number itself
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

// UserIDs are the numbers of a passwd file's users (column 2) or of their groups
// (column 3), by the users' names.
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
