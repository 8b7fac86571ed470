package executor

import (
	"fmt"
	"io"
	"os"
)

// placeAgent puts our own executable at path, readable for everyone. A link
// spares the copying and keeps the running version when the executable is
// replaced by a newer one.
func placeAgent(path string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	info, err := os.Stat(self)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o555 == 0o555 && os.Link(self, path) == nil {
		return nil
	}
	from, err := os.Open(self)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return fmt.Errorf("copying %s: %w", self, err)
	}
	return to.Close()
}
