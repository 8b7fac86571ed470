package config

import (
	"fmt"
	"testing"
)

func TestAmount(t *testing.T) {
	for _, tt := range []struct {
		toml, text string
		of         int64 // of a disk of 1000 GiB
	}{
		{`0`, "0B", 0},
		{`"0"`, "0B", 0},
		{`4096`, "4KiB", 4096},
		{`"100GiB"`, "100GiB", 100 << 30},
		{`"20%"`, "20%", 200 << 30},
		{`"100%"`, "100%", 1000 << 30},
		{`"0.5%"`, "0.5%", 5 << 30},
		{`"0.0000000000001%"`, "0.0000000000001%", 1},
	} {
		cfg, k := Default(), newChecker("c.toml")
		decode("gc.most_volumes = "+tt.toml, cfg, k)
		if err := k.err(); err != nil {
			t.Error(err)
			continue
		}
		a := cfg.GC.MostVolumes
		if a.String() != tt.text || a.Of(1000<<30) != tt.of {
			t.Errorf("%s: %s, %d of 1000 GiB", tt.toml, a, a.Of(1000<<30))
		}
		if of := a.Of(0); of != 0 && a.Percent > 0 {
			t.Errorf("%s: %d of a disk of unknown size", tt.toml, of)
		}
		var back Amount
		if err := back.UnmarshalTOML(a.String()); err != nil || back != a {
			t.Errorf("%s reads back as %+v, %v", a, back, err)
		}
	}
}

func TestAmountRefused(t *testing.T) {
	const share = ` is not a share of the disk from above 0% to 100%; write for example "20%"`
	const size = ` is not a size from 0 to 8PiB; write for example "20GiB", or a share of the disk such as "20%"`
	for value, wrong := range map[string]string{
		`"0%"`:         `"0%"` + share,
		`"-5%"`:        `"-5%"` + share,
		`"101%"`:       `"101%"` + share,
		`"NaN%"`:       `"NaN%"` + share,
		`"%"`:          `"%"` + share,
		`"20 percent"`: `"20 percent"` + size,
		`"%20"`:        `"%20"` + size,
		`-2`:           `-2` + size,
		`"unlimited"`:  `"unlimited" is not an amount; write for example "20%" or "100GiB", or 0 for any`,
		`-1`:           `"unlimited" is not an amount; write for example "20%" or "100GiB", or 0 for any`,
		`true`:         `found true or false; write bytes as a whole number, or a string such as "20GiB", or a share of the disk such as "20%"`,
	} {
		wantErrors(t, fmt.Sprintf("gc.volume_size = %s", value), "c.toml:1: gc.volume_size: "+wrong)
	}
}
