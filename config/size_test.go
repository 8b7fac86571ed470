package config

import (
	"fmt"
	"testing"
)

func TestSize(t *testing.T) {
	tests := []struct {
		toml string
		want Size
		text string
	}{
		{`0`, 0, "0B"},
		{`"0"`, 0, "0B"},
		{`1000`, 1000, "1000B"},
		{`1536`, 1536, "1536B"},
		{`"2k"`, 2048, "2KiB"},
		{`"512m"`, 512 << 20, "512MiB"},
		{`"512MB"`, 512 << 20, "512MiB"},
		{`"1.5g"`, 1536 << 20, "1536MiB"},
		{`"20GiB"`, 20 << 30, "20GiB"},
		{`"20 GiB"`, 20 << 30, "20GiB"},
		{`"8PiB"`, 8 << 50, "8PiB"},
		{`-1`, Unlimited, "unlimited"},
		{`"-1"`, Unlimited, "unlimited"},
		{`"unlimited"`, Unlimited, "unlimited"},
	}
	for _, tt := range tests {
		t.Run(tt.toml, func(t *testing.T) {
			cfg, k := Default(), newChecker("c.toml")
			decode("resources.memory_swap = "+tt.toml, cfg, k)
			if err := k.err(); err != nil {
				t.Fatal(err)
			}
			got := cfg.Resources.MemorySwap
			if got != tt.want || got.String() != tt.text {
				t.Errorf("got %d, %s; want %d, %s", got, got, tt.want, tt.text)
			}
			if back, err := parseSize(got.String()); err != nil || back != got {
				t.Errorf("%s reads back as %d, %v", got, back, err)
			}
		})
	}
}

func TestSizeRefused(t *testing.T) {
	const right = ` is not a size from 0 to 8PiB; write for example "20GiB"`
	const kinds = `; write bytes as a whole number, or a string such as "20GiB"`
	for value, wrong := range map[string]string{
		`-2`:                    `-2` + right,
		`9007199254740993`:      `9007199254740993` + right,
		`""`:                    `""` + right,
		`"much"`:                `"much"` + right,
		`"-5m"`:                 `"-5m"` + right,
		`"5 parsecs"`:           `"5 parsecs"` + right,
		`"0.1"`:                 `"0.1"` + right,
		`"9PiB"`:                `"9PiB"` + right,
		`"99999999999999999GB"`: `"99999999999999999GB"` + right,
		`1.5`:                   `found a number with a fraction` + kinds,
		`[1]`:                   `found a list that contains a whole number` + kinds,
		`1979-05-27`:            `found a date or time` + kinds,
	} {
		wantErrors(t, fmt.Sprintf("resources.shm_size = %s", value), "c.toml:1: resources.shm_size: "+wrong)
	}
}
