package config

import "testing"

func TestResources(t *testing.T) {
	tests := []struct {
		name, data string
		want       []string
	}{
		{"all", `
cpus = 2.5
memory = "2g"
memory_swap = "4g"
memory_reservation = "1g"
pids_limit = -1
shm_size = "256m"
ulimits = ["nofile=1024:2048", "core=-1", "nproc=64"]`, nil},
		{"a whole number of processors", "cpus = 4", nil},
		{"unlimited swap without memory", `memory_swap = "unlimited"`, nil},
		{"swap equal to memory", "memory = \"1g\"\nmemory_swap = 1073741824", nil},
		{"processors", "cpus = 0.001", []string{
			"c.toml:2: resources.cpus: 0.001 is not a number of processors from 0.01 to 8192; write for example 2.5, or 0 for no limit"}},
		{"negative processors", "cpus = -1", []string{
			"c.toml:2: resources.cpus: -1 is not a number of processors from 0.01 to 8192; write for example 2.5, or 0 for no limit"}},
		{"no number of processors", "cpus = nan", []string{
			"c.toml:2: resources.cpus: NaN is not a number of processors from 0.01 to 8192; write for example 2.5, or 0 for no limit"}},
		{"endless processors", "cpus = inf", []string{
			"c.toml:2: resources.cpus: +Inf is not a number of processors from 0.01 to 8192; write for example 2.5, or 0 for no limit"}},
		{"little memory", "memory = 4096\nmemory_reservation = \"6m\"", []string{
			`c.toml:2: resources.memory: 4KiB is less than the engine's minimum, 6MiB; write at least that, or 0 for no limit`}},
		{"unlimited memory", "memory = \"unlimited\"\nshm_size = \"-1\"", []string{
			`c.toml:2: resources.memory: "unlimited" is not allowed here; write for example "4GiB", or 0`,
			`c.toml:3: resources.shm_size: "unlimited" is not allowed here; write for example "256MiB", or 0`}},
		{"swap without memory", `memory_swap = "1g"`, []string{
			`c.toml:2: resources.memory_swap: 1GiB includes memory and needs resources.memory; set that too, or write "unlimited" or 0 here`}},
		{"swap below memory", "memory_swap = \"1g\"\nmemory = \"2g\"", []string{
			`c.toml:2: resources.memory_swap: 1GiB is less than resources.memory 2GiB, which it includes; write at least that, or "unlimited" or 0`}},
		{"swap beside a broken memory", "memory_swap = \"1g\"\nmemory = true", []string{
			`c.toml:3: resources.memory: found true or false; write bytes as a whole number, or a string such as "20GiB"`}},
		{"reservation above memory", "memory = \"1g\"\nmemory_reservation = \"1025m\"", []string{
			`c.toml:3: resources.memory_reservation: 1025MiB is more than resources.memory 1GiB; write at most that, or 0`}},
		{"tasks", "pids_limit = -2", []string{
			"c.toml:2: resources.pids_limit: -2 is not a number of tasks; write for example 4096, or 0 for no limit"}},
		{"ulimits", `ulimits = ["files=1", "nofile=2:1", "core=-5", "stack=1", "stack=2"]`, []string{
			`c.toml:2: resources.ulimits: "core=-5" is negative; write for example "nofile=1024:2048", or -1 for no limit`,
			`c.toml:2: resources.ulimits: "files=1" is not a limit (invalid ulimit type: files); write for example "nofile=1024:2048"`,
			`c.toml:2: resources.ulimits: "nofile=2:1" is not a limit (ulimit soft limit must be less than or equal to hard limit: 2 > 1); write for example "nofile=1024:2048"`,
			`c.toml:2: resources.ulimits: stack is set twice; keep one`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantErrors(t, "[resources]\n"+tt.data, tt.want...) })
	}
}
