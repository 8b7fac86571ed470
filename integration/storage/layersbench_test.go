package storage

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gitlab-sysbox-executor/integration/harness"
	"gitlab-sysbox-executor/integration/harness/runner"
)

// layerTool builds the image "built" of the folder context, with layers, in an image with the tool.
type layerTool struct{ name, image, begin, build, end string }

var layerTools = []layerTool{
	{name: "Buildah", image: "buildah", build: "buildah build -t built context"},
	{name: "Podman", image: "buildah", build: "podman build -t built context"},
	{
		name: "BuildKit", image: "buildkit",
		begin: harness.Lines("buildkitd $BUILDKITD_FLAGS >buildkitd.log 2>&1 & daemon=$!", "for i in $(seq 100); do buildctl debug workers >/dev/null 2>&1 && break; sleep 0.1; done"),
		build: "buildctl build --progress=plain --frontend=dockerfile.v0 --local context=context --local dockerfile=context",
		end:   "kill $daemon; wait $daemon || true",
	},
	{
		name: "Docker", image: "docker",
		begin: harness.Lines("dockerd >dockerd.log 2>&1 & daemon=$!", "timeout 60 sh -c 'until docker version >version.log 2>&1; do sleep 0.2; done'"),
		build: "docker build --tag built context",
		end:   "kill $daemon; wait $daemon || true",
	},
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
	context = append(context, "touch -d @0 context/*")
	return harness.Lines(append(context,
		cmp.Or(l.begin, "true"),
		"began=$(date +%s%N)",
		"{ "+l.build+"; } >build.log 2>&1 || { cat build.log *d.log; exit 1; }",
		"ended=$(date +%s%N)",
		"echo \"cached: $(grep -c -i -e 'using cache' -e ' CACHED$' build.log)\"",
		"echo result $(((ended - began) / 1000000))",
		cmp.Or(l.end, "true"),
	)...)
}

// layersOf plays two jobs of a project, the second with one more RUN line, and returns the times of their builds.
func layersOf(t testing.TB, p *harness.Place, l layerTool, base string, steps int) (first, second time.Duration) {
	t.Helper()
	project := harness.NewProject()
	build := func(lines int, cached string) time.Duration {
		j := harness.Job(t, l.image, l.script(base, lines))
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
	for _, l := range layerTools[len(layerTools)-2:] { // TestLayersAreKept has the others
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
	for _, command := range [][]string{
		{"docker", "-H", harness.World.Engine.Host, "create", "--name", "gsx-layers-root", harness.Image(b, "bookworm")},
		{"docker", "-H", harness.World.Engine.Host, "export", "--output", archive, "gsx-layers-root"},
		{"docker", "-H", harness.World.Engine.Host, "rm", "gsx-layers-root"},
	} {
		if _, err := harness.Command(2*time.Minute, command[0], command[1:]...); err != nil {
			b.Fatal(err)
		}
	}
	p := harness.NewPlace(b, harness.Settings{Other: "[storage]\nbackend = \"xfs-loop\"\nsize = \"16GiB\"\nkeep = \"project\"\nkeep_size = \"12GiB\"\n[container]\nvolumes = [\"" + archive + ":/root.tar:ro\"]\n"})
	for b.Loop() {
		fmt.Printf("| %s | first build | next job's build | ratio |\n|---|---|---|---|\n", harness.World.Runtime)
		for _, l := range layerTools {
			first, second := layersOf(b, p, l, "/root.tar", 3)
			fmt.Printf("| %s | %.1f s | %.1f s | %.2f |\n", l.name, first.Seconds(), second.Seconds(), second.Seconds()/first.Seconds())
		}
	}
}
