package storage

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/pages"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// layerTool builds with layers in an image with the tool: what docs/layers.md says, in its three parts.
type layerTool struct{ name, image, begin, build, end string }

// recipe is that of docs/layers.md that begins with this word.
func recipe(t testing.TB, name, image, begin string) (l layerTool) {
	t.Helper()
	l = layerTool{name: name, image: image}
	part := &l.begin
	for line := range strings.Lines(pages.Find(t, "docs/layers.md", begin).Text) {
		if strings.Contains(line, " build ") {
			l.build, part = strings.TrimSpace(line), &l.end
			continue
		}
		*part += line
	}
	if l.build == "" {
		t.Fatalf("the recipe of %s builds nothing", name)
	}
	return l
}

func layerTools(t testing.TB) []layerTool {
	t.Helper()
	all := []layerTool{
		recipe(t, "Buildah", "buildah", "buildah build"), recipe(t, "Podman", "buildah", "podman build"),
		recipe(t, "BuildKit", "buildkit", "buildkitd"), recipe(t, "Docker", "docker", "dockerd"),
	}
	all[2].build += " --progress=plain"        // the test reads it
	all[3].end += "kill $!; wait $! || true\n" // in the recipe the job's end ends it
	return all
}

// script builds the context, or a FROM scratch with busybox if base is empty, with so many RUN lines. It prints the
// build's time in milliseconds, and how many steps came from the cache.
func (l layerTool) script(base string, lines int) string {
	context := []string{"mkdir -p context", "cp /bin/busybox context/", `printf 'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\n' >context/Dockerfile`}
	run := "RUN echo %d >/file%d"
	if base != "" {
		context = []string{"mkdir -p context", "cp " + base + " context/root.tar", `printf 'FROM scratch\nADD root.tar /\n' >context/Dockerfile`}
		run = "RUN sed -i s/^/#/ /etc/login.defs && echo %d >/file%d"
	}
	for n := range lines {
		context = append(context, "echo '"+fmt.Sprintf(run, n, n)+"' >>context/Dockerfile")
	}
	// A new file time would be a change.
	context = append(context, "cd context", "touch -d @0 *")
	return harness.Lines(append(context,
		cmp.Or(l.begin, "true"),
		"began=$(date +%s%N)",
		"{ "+l.build+"; } >../build.log 2>&1 || { cat ../build.log *d.log; exit 1; }",
		"ended=$(date +%s%N)",
		"echo \"cached: $(grep -c -i -e 'using cache' -e ' CACHED$' ../build.log)\"",
		"echo result $(((ended - began) / 1000000))",
		cmp.Or(l.end, "true"),
	)...)
}

// layersOf plays two jobs of a project, the second with one more RUN line, and returns the times of their builds.
func layersOf(t testing.TB, p *harness.Place, l layerTool, base string, steps int) (first, second time.Duration) {
	t.Helper()
	project := harness.NewProject()
	build := func(lines int, cached string) time.Duration {
		j := harness.With(harness.Job(t, l.image, l.script(base, lines)), runner.Var("CI_REGISTRY_IMAGE", "registry.example.com/project"))
		j.ProjectID = project
		r := p.Succeed(t, j)
		harness.WantLines(t, r, "cached: "+cached)
		harness.WantTold(t, r.Call(lastStage), "is kept for the project's next job")
		text := r.Call(runner.StageBuild).Output.String()
		var ms int64
		if i := strings.LastIndex(text, "\nresult "); i < 0 {
			t.Fatal(r)
		} else if _, err := fmt.Sscanf(text[i:], "\nresult %d", &ms); err != nil {
			t.Fatal(err, r)
		}
		return time.Duration(ms) * time.Millisecond
	}
	first = build(2, "0")
	return first, build(3, fmt.Sprint(steps))
}

// A build takes all steps of an earlier job's build from the cache, with each of the tools.
func TestLayersOfEachTool(t *testing.T) {
	t.Parallel()
	p := keeping(t, "")
	for _, l := range layerTools(t)[2:] { // TestLayersAreKept has the others
		t.Run(l.name, func(t *testing.T) {
			steps := 4
			layersOf(t, p, l, "", steps)
		})
	}
}

// BenchmarkLayers builds a Debian root and two RUN lines in a job, and the same with one more RUN line in the project's next
// job: the table of docs/layers.md.
func BenchmarkLayers(b *testing.B) {
	archive := filepath.Join(harness.World.Dir, "root.tar")
	// Without device nodes, which not every tool unpacks in a user namespace.
	if _, err := harness.Command(2*time.Minute, "sh", "-c", `docker -H "$1" run --rm "$2" tar --one-file-system --exclude=./dev -cf - -C / . >"$3"`, "sh", harness.World.Engine.Host, harness.Image(b, "bookworm"), archive); err != nil {
		b.Fatal(err)
	}
	for _, driver := range []string{"vfs", "overlay"} {
		p := harness.NewPlace(b, harness.Settings{Other: "[storage]\nbackend = \"xfs-loop\"\ndriver = \"" + driver + "\"\nsize = \"16GiB\"\nkeep = \"project\"\nkeep_size = \"12GiB\"\n[container]\nvolumes = [\"" + archive + ":/root.tar:ro\"]\n"})
		b.Run(driver, func(b *testing.B) {
			for b.Loop() {
				fmt.Printf("| %s, %s | first build | next job's build | ratio |\n|---|---|---|---|\n", harness.World.Runtime, driver)
				for _, l := range layerTools(b) {
					first, second := layersOf(b, p, l, "/root.tar", 3)
					fmt.Printf("| %s | %.1f s | %.1f s | %.2f |\n", l.name, first.Seconds(), second.Seconds(), second.Seconds()/first.Seconds())
				}
			}
		})
	}
}
