package admin

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/image"
	"gitlab-sysbox-executor/executor/shared"
	"gitlab-sysbox-executor/executor/sharedfill"
	"gitlab-sysbox-executor/stages/app"
	"gitlab-sysbox-executor/stages/plan"
)

// imagesCommand is for the administrator: it fills the image store that all jobs share.
func imagesCommand(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use:   "images",
		Short: "Fill the store of base images that all jobs share",
		Long: `Fill the store of base images that all jobs share: what is in it, builds in jobs
find without pulling it.

Each change makes a new generation beside the current one and then switches;
jobs that run keep the one they have, which goes with the last of them. A change
that fails or is interrupted leaves everything as it was.`,
	}
	c.AddCommand(pullImages(a), refreshImages(a), removeImages(a), listImages(a))
	return c
}

func pullImages(a *app.App) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "pull IMAGE...", Short: "Pull images into the store", Args: cobra.MinimumNArgs(1),
		Example: "  gitlab-sysbox-executor images pull docker.io/library/debian:12",
		RunE: func(c *cobra.Command, args []string) error {
			all, err := named(c, a, args)
			if err != nil {
				return err
			}
			return change(c, a, file, sharedfill.Change{Pull: all})
		},
	}
	authFile(c, &file)
	return c
}

func refreshImages(a *app.App) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "refresh", Short: "Pull again what is in the store, and images.references of the configuration", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.LoadForOperator(c.ErrOrStderr()); err != nil {
				return err
			}
			all, err := wholeNames(a.Config.Images.References, "images.references: ")
			if err != nil {
				return err
			}
			return change(c, a, file, sharedfill.Change{Pull: all, Refresh: true, Keep: true})
		},
	}
	authFile(c, &file)
	return c
}

func removeImages(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "remove IMAGE...", Short: "Remove images from the store", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			all, err := named(c, a, args)
			if err != nil {
				return err
			}
			return change(c, a, "", sharedfill.Change{Remove: all})
		},
	}
}

// named returns the image names of a command line. It also loads the configuration.
func named(c *cobra.Command, a *app.App, args []string) ([]string, error) {
	all, err := wholeNames(args, "")
	if err == nil {
		err = a.LoadForOperator(c.ErrOrStderr())
	}
	return all, err
}

func listImages(a *app.App) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List the images of the store, and which jobs have which generation", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.LoadForOperator(c.ErrOrStderr()); err != nil {
				return err
			}
			return a.WithImages(func(f *sharedfill.Filler) error {
				l, err := f.Shared.List(c.Context())
				if err != nil {
					return err
				}
				return printImages(l, asJSON, c.OutOrStdout())
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return c
}

func authFile(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "authfile", "", "a Docker client's config.json with credentials for registries (default the one in your home folder)")
}

func change(c *cobra.Command, a *app.App, authFile string, what sharedfill.Change) error {
	if authFile != "" {
		if _, err := os.Stat(authFile); err != nil {
			return fmt.Errorf("--authfile: %w", err)
		}
	}
	how, err := plan.ImageFill(a.Config, authFile)
	if err != nil {
		return err
	}
	how.Out = format.PrintableWriter(c.ErrOrStderr()) // the tools of an image write it
	return a.WithImages(func(f *sharedfill.Filler) error { return f.Change(c.Context(), how, what) })
}

// wholeNames adds the registry and tag to names; where is the prefix of its errors.
func wholeNames(names []string, where string) ([]string, error) {
	var all []string
	for _, name := range names {
		whole, err := image.Whole(name)
		if err != nil {
			return nil, fmt.Errorf(`%simage %.100q: %w; write for example "docker.io/library/debian:12"`, where, name, err)
		}
		all = append(all, whole)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func printImages(l shared.Listing, asJSON bool, out io.Writer) error {
	if asJSON {
		return format.WriteJSON(out, l)
	}
	return imagesTable(l, out)
}

func imagesTable(l shared.Listing, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tDIGEST\tSIZE")
	for _, i := range l.Images {
		fmt.Fprintf(w, "%s\t%s\t%s\n", printable(i.Reference), printable(i.Digest), format.Bytes(i.Size))
	}
	fmt.Fprintln(w, "\nGENERATION\tVOLUME\tJOBS")
	for _, g := range l.Generations {
		number := strconv.Itoa(g.Number)
		if g.Current {
			number += " (current)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", number, printable(g.Volume), printable(strings.Join(g.Jobs, " ")))
	}
	return w.Flush()
}
