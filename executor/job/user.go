package job

import (
	"strconv"
	"strings"
)

// IsRoot reports whether user[:group] is root. It does not read the container's user
// database, so it does not recognise other names for root.
func IsRoot(user string) bool {
	name, _, _ := strings.Cut(user, ":")
	id, err := strconv.Atoi(name)
	return name == "" || name == "root" || err == nil && id == 0
}
