package engine

import (
	"path/filepath"
	"strings"
)

// SameHost tells whether two addresses are one engine's: /var/run is a link to
// /run nearly everywhere.
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
