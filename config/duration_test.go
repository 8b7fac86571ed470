package config

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s":   90 * time.Second,
		"1h30m": 90 * time.Minute,
		"1.5s":  1500 * time.Millisecond,
		"0":     0,
	} {
		var got Duration
		if err := got.UnmarshalTOML(text); err != nil || time.Duration(got) != want {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
	}
}

func TestDurationRefused(t *testing.T) {
	for value, wrong := range map[string]string{
		`90`:                      `90 has no unit; write "90s"`,
		`"90"`:                    `"90" has no unit; write "90s"`,
		`"1d"`:                    `"1d" is not a time span; write for example "90s" or "1h30m"`,
		`""`:                      `"" is not a time span; write for example "90s" or "1h30m"`,
		`"9999999999h"`:           `"9999999999h" is not a time span; write for example "90s" or "1h30m"`,
		`1.5`:                     `found a number with a fraction; write for example "90s" or "1h30m"`,
		`true`:                    `found true or false; write for example "90s" or "1h30m"`,
		`07:32:00`:                `found a date or time; write for example "90s" or "1h30m"`,
		`{ minutes = 2, b = "" }`: `found a table; write for example "90s" or "1h30m"`,
	} {
		wantErrors(t, "cleanup.timeout = "+value, "c.toml:1: cleanup.timeout: "+wrong)
	}
}
