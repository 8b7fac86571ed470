package sysbox

import (
	"math"
	"reflect"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestContainersConfig(t *testing.T) {
	type text struct {
		Containers struct {
			Ulimits []string `toml:"default_ulimits"`
			Log     string   `toml:"log_driver"`
			Network string   `toml:"netns"`
			Volumes []string `toml:"volumes"`
		} `toml:"containers"`
		Engine struct {
			Cgroups string `toml:"cgroup_manager"`
			Events  string `toml:"events_logger"`
			Tmp     string `toml:"image_copy_tmp_dir"`
		} `toml:"engine"`
	}
	for name, c := range map[string]struct {
		in      Containers
		ulimits []string
		network string
	}{
		"root":      {Containers{Limits: Limits{NoFile: 20000, NProc: 96365}, TMPDIR: `/a "b`}, []string{"nofile=20000:20000", "nproc=96365:96365"}, ""},
		"rootless":  {Containers{Limits: Limits{NoFile: 1, NProc: 2}, TMPDIR: "/t", Rootless: true}, []string{"nofile=1:1", "nproc=2:2"}, "host"},
		"unlimited": {Containers{Limits: Limits{NoFile: math.MaxUint64, NProc: math.MaxUint64}, TMPDIR: "/t"}, []string{"nofile=1048576:1048576", "nproc=1048576:1048576"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got text
			if err := toml.Unmarshal(c.in.Config(), &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Containers.Ulimits, c.ulimits) || got.Containers.Log != "k8s-file" ||
				got.Engine.Cgroups != "cgroupfs" || got.Engine.Events != "file" || got.Engine.Tmp != c.in.TMPDIR ||
				got.Containers.Network != c.network || (len(got.Containers.Volumes) == 2) != c.in.Rootless {
				t.Errorf("%+v", got)
			}
		})
	}
}
