package job

import (
	"strconv"
	"strings"
)

// IsRoot tells whether user[:group] is a container's root, as far as it can be
// told without looking into the container.
func IsRoot(user string) bool {
	name, _, _ := strings.Cut(user, ":")
	id, err := strconv.Atoi(name)
	return name == "" || name == "root" || err == nil && id == 0
}
