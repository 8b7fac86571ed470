// Manual writes what packages contain beside the program: man pages and the completion of shells. It is
// a program of its own, so that the executor does not link the libraries for that.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"gitlab-sysbox-executor/stages"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: manual VERSION FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
}

// write writes FOLDER/man/*.1 and FOLDER/completion/NAME.{bash,zsh,fish}. SOURCE_DATE_EPOCH, in seconds,
// is the date of the pages (https://reproducible-builds.org/specs/source-date-epoch/).
func write(version, folder string) error {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH is not a number of seconds: %w", err)
	}
	date := time.Unix(seconds, 0).UTC()
	man, completion := filepath.Join(folder, "man"), filepath.Join(folder, "completion")
	for _, dir := range []string{man, completion} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	root := stages.Command(nil) // the files of the command install are not needed
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Section: "1", Date: &date, Source: root.Name() + " " + version, Manual: "GitLab Runner custom executor for Sysbox"}
	if err := doc.GenManTree(root, header, man); err != nil {
		return err
	}
	for shell, generate := range map[string]func(*cobra.Command, string) error{
		"bash": func(c *cobra.Command, path string) error { return c.GenBashCompletionFileV2(path, true) },
		"zsh":  func(c *cobra.Command, path string) error { return c.GenZshCompletionFile(path) },
		"fish": func(c *cobra.Command, path string) error { return c.GenFishCompletionFile(path, true) },
	} {
		if err := generate(root, filepath.Join(completion, root.Name()+"."+shell)); err != nil {
			return err
		}
	}
	return nil
}
