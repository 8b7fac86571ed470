package engine

import (
	"path/filepath"
	"strings"
)

// SameHost reports whether two addresses are of the same engine. /var/run is a link to
// /run on nearly every system.
func SameHost(a, b string) bool {
	resolve := func(host string) string {
		if path, ok := strings.CutPrefix(host, "unix://"); ok {
			if real, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
				return "unix://" + filepath.Join(real, filepath.Base(path))
			}
		}
		return host
	}
	return a == b || resolve(a) == resolve(b)
}
