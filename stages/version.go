package stages

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// These are set when the program is linked (scripts/build.sh). If Version is empty, the version is the
// commit.
var (
	Version = ""
	Commit  = "" // hash
	Date    = "" // of the commit, RFC 3339
)

// release describes this program.
type release struct {
	Version string   `json:"version"`
	Commit  string   `json:"commit"` // empty if unknown, as are date and modules
	Date    string   `json:"date"`   // of the commit, RFC 3339
	Go      string   `json:"go"`
	OS      string   `json:"os"`
	Arch    string   `json:"arch"`
	Modules []module `json:"modules"`
}

type module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Sum     string `json:"sum,omitempty"` // as in go.sum
}

func thisRelease() release {
	r := release{Version: "0.0.0", Commit: Commit, Date: Date, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, Modules: []module{}}
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				r.Commit = cmp.Or(r.Commit, s.Value)
			case "vcs.time":
				r.Date = cmp.Or(r.Date, s.Value)
			}
		}
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			r.Modules = append(r.Modules, module{m.Path, m.Version, m.Sum})
		}
	}
	if r.Commit != "" {
		r.Version += "-" + r.Commit[:min(12, len(r.Commit))]
	}
	r.Version = cmp.Or(Version, r.Version)
	return r
}

// version is called at every start, where the list of modules would take time.
func version() string {
	if Version != "" {
		return Version
	}
	return thisRelease().Version
}

func versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !asJSON {
				_, err := fmt.Fprintln(c.OutOrStdout(), version())
				return err
			}
			text, err := json.MarshalIndent(thisRelease(), "", "  ")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), string(text))
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print version, commit, date, Go version and modules as a JSON object")
	return c
}
